"""Who gets a message: subscriptions of all sessions, shared ones among them, and for each topic in use the answer.

Laws of this file:

- A client gets one copy however many of its own subscriptions match, at the highest QoS of them and with all their
  identifiers [MQTT-3.3.4-2, MQTT-3.3.4-3]; RETAIN stays as published if one of them asks for it.
- No Local keeps a client's own messages from a subscription [MQTT-3.8.3-3], not from its others.
- Of a shared subscription one member gets a message [4.8.2]: the next one in turn that is connected and can take it
  at once, else the next that is connected, else the next that is away and keeps messages; never one that has no right
  to it. What a client gets by a share it gets beside what its own subscriptions give it.
- The answer for a topic is made once and kept until a subscription changes; what is kept is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from fieldgate.mqtt.packets import Subscription
from fieldgate.mqtt.session_state import SessionState, Subscribed
from fieldgate.mqtt.topics import TopicTrie, split_share

__all__ = ["Audience", "Recipient", "Share", "Subscriptions", "Terms"]

_MAX_KNOWN: Final = 4096
_MAX_KNOWN_TOPIC: Final = 256  # longer topics are matched each time, so that what is kept stays small


class Terms(msgspec.Struct, frozen=True):
    """How a client gets a message: at most at ``qos``."""

    qos: int
    retain_as_published: bool
    subscription_ids: tuple[int, ...]


class Recipient(msgspec.Struct):
    """A client that gets a message. ``own_terms`` hold for what it published itself; None: it does not get that."""

    state: SessionState
    terms: Terms
    own_terms: Terms | None


class _Subscriber:
    __slots__ = ("state", "subscribed")

    def __init__(self, state: SessionState, subscribed: Subscribed) -> None:
        self.state = state
        self.subscribed = subscribed


class Share:
    """One shared subscription: ``$share/{name}/{filter}`` and its members, in turn."""

    __slots__ = ("_members", "_next", "full_filter")

    def __init__(self, full_filter: str) -> None:
        self.full_filter = full_filter
        self._members: list[_Subscriber] = []
        self._next = 0

    @property
    def members(self) -> list[SessionState]:
        """The sessions that share it."""
        return [member.state for member in self._members]

    def join(self, state: SessionState, subscribed: Subscribed) -> None:
        """Add a member, or change its options."""
        for member in self._members:
            if member.state is state:
                member.subscribed = subscribed
                return
        self._members.append(_Subscriber(state, subscribed))

    def leave(self, state: SessionState) -> bool:
        """Take a member out; answers whether nobody is left."""
        for index, member in enumerate(self._members):
            if member.state is state:
                del self._members[index]
                self._next -= index < self._next
                break
        return not self._members

    def may_receive(self, topic: str) -> bool:
        """Whether any member has the right to get messages on ``topic``."""
        return any(_may_receive(member.state, topic) for member in self._members)

    def choose(self, topic: str, qos: int) -> Recipient | None:
        """The member whose turn it is to get a message of ``qos`` on ``topic``; None where nobody could."""
        count = len(self._members)
        best = best_rank = -1
        for step in range(count):
            index = (self._next + step) % count
            rank = _rank(self._members[index], topic, qos)
            if rank > best_rank:
                best, best_rank = index, rank
                if rank == _READY:
                    break
        if best < 0:
            return None
        self._next = (best + 1) % count
        terms = _terms((self._members[best].subscribed,))
        return Recipient(self._members[best].state, terms, terms)


_READY: Final = 2


def _may_receive(state: SessionState, topic: str) -> bool:
    return state.rights is None or state.rights.may_receive(topic)


def _rank(member: _Subscriber, topic: str, qos: int) -> int:
    """2: gets it at once; 1: is connected; 0: is away, and it would be kept; -1: would lose it, or may not have it."""
    state = member.state
    if not _may_receive(state, topic):
        return -1
    if state.client is not None:
        return _READY if state.outbound.is_ready else 1
    return 0 if state.expiry_s > 0 and min(qos, member.subscribed.options.qos) else -1


class Audience(msgspec.Struct):
    """Who gets messages of one topic. ``topic_utf8`` is the topic, encoded once for all of them."""

    topic_utf8: bytes
    recipients: list[Recipient]
    shares: list[Share]


class Subscriptions:
    """All subscriptions. ``is_empty`` is the one question asked where nobody subscribes to anything."""

    def __init__(self) -> None:
        self.is_empty = True
        self._filed: TopicTrie[_Subscriber | Share] = TopicTrie()
        self._shares: dict[str, Share] = {}
        self._known: dict[str, Audience] = {}
        self._count = 0

    def __len__(self) -> int:
        """Answer how many subscriptions there are, each member of a share counted."""
        return self._count

    def levels_with(self, full_filter: str) -> int:
        """How many levels the filters have with one more, those that several begin with counted once: their memory."""
        return self._filed.nodes + self._filed.new_nodes(split_share(full_filter)[1])

    def add(self, state: SessionState, options: Subscription, subscription_id: int) -> bool:
        """Add or replace the subscription of ``state`` to a valid filter; answers whether it is new [MQTT-3.8.4-3]."""
        full_filter = options.filter
        is_new = full_filter not in state.subscriptions
        subscribed = state.subscriptions[full_filter] = Subscribed(options, subscription_id)
        name, plain = split_share(full_filter)
        if name is None:
            self._filed.add(plain, state.client_id, _Subscriber(state, subscribed))
        else:
            share = self._shares.get(full_filter)
            if share is None:
                share = self._shares[full_filter] = Share(full_filter)
                self._filed.add(plain, share, share)
            share.join(state, subscribed)
        if is_new:
            state.filter_bytes += len(full_filter.encode())
            self._count += 1
        self._changed()
        state.changed()
        return is_new

    def remove(self, state: SessionState, full_filter: str) -> bool:
        """Remove one subscription; answers whether it existed."""
        if state.subscriptions.pop(full_filter, None) is None:
            return False
        name, plain = split_share(full_filter)
        if name is None:
            self._filed.remove(plain, state.client_id)
        else:
            share = self._shares[full_filter]
            if share.leave(state):
                del self._shares[full_filter]
                self._filed.remove(plain, share)
        state.filter_bytes -= len(full_filter.encode())
        self._count -= 1
        self._changed()
        state.changed()
        return True

    def share(self, full_filter: str) -> Share | None:
        """The shared subscription of this filter, if it has members."""
        return self._shares.get(full_filter)

    def audience(self, topic: str) -> Audience:
        """Answer who gets messages of ``topic``."""
        found = self._known.get(topic)
        if found is None:
            found = _audience(topic, self._filed.match(topic))
            if len(topic) <= _MAX_KNOWN_TOPIC:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[topic] = found
        return found

    def _changed(self) -> None:
        self._known.clear()
        self.is_empty = not self._count


def _audience(topic: str, found: list[_Subscriber | Share]) -> Audience:
    shares: list[Share] = []
    by_client: dict[str, list[_Subscriber]] = {}
    for one in found:
        if isinstance(one, Share):
            shares.append(one)
        else:
            by_client.setdefault(one.state.client_id, []).append(one)
    return Audience(topic.encode(), [_recipient(each) for each in by_client.values()], shares)


def _recipient(subscribers: list[_Subscriber]) -> Recipient:
    terms = _terms([one.subscribed for one in subscribers])
    foreign = [one.subscribed for one in subscribers if not one.subscribed.options.no_local]
    if len(foreign) == len(subscribers):
        return Recipient(subscribers[0].state, terms, terms)
    return Recipient(subscribers[0].state, terms, _terms(foreign) if foreign else None)


def _terms(subscribed: Iterable[Subscribed]) -> Terms:
    each = list(subscribed)
    return Terms(
        max(one.options.qos for one in each),
        any(one.options.retain_as_published for one in each),
        tuple(sorted(one.subscription_id for one in each if one.subscription_id)),
    )
