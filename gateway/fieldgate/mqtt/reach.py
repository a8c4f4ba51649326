"""Who would get a message on a topic, of those that can be taken for the one that it is meant for.

A device subscribes to its own topics, others to many: a recorder reads ``#``. So of those who would get the message
only they count whose filter says most about the topic, and never one that says nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from fieldgate.mqtt.session_state import SessionState
from fieldgate.mqtt.subscriptions import Subscriptions
from fieldgate.mqtt.topics import matches, split_share

__all__ = ["Reach", "who_gets"]


class Reach(msgspec.Struct, frozen=True):
    """One who would get it: ``name`` is a client id, or the full filter of a shared subscription.

    ``client_ids`` are the sessions that it may go to. ``qos`` is that of the delivery. ``is_kept``: the client is away,
    and its session would keep the message.
    """

    name: str
    client_ids: tuple[str, ...]
    qos: int
    is_connected: bool
    is_kept: bool


def who_gets(
    subscriptions: Subscriptions, topic: str, qos: int, *, is_kept: Callable[[SessionState], bool]
) -> list[Reach]:
    """Return those who are nearest to ``topic`` and may have messages on it, for one of ``qos`` from the gateway."""
    found: list[tuple[tuple[int, bool], Reach]] = []
    audience = subscriptions.audience(topic)
    for one in audience.recipients:
        state = one.state
        if state.rights is not None and not state.rights.may_receive(topic):
            continue
        nearest = max(_rank(each) for each in state.subscriptions if _is_plain_match(each, topic))
        given = min(qos, one.terms.qos)
        kept = bool(given) and is_kept(state)
        found.append((nearest, Reach(state.client_id, (state.client_id,), given, state.client is not None, kept)))
    for share in audience.shares:
        states = [state for state in share.members if state.rights is None or state.rights.may_receive(topic)]
        if states:
            given = min(qos, max(state.subscriptions[share.full_filter].options.qos for state in states))
            is_connected = any(state.client is not None for state in states)
            kept = bool(given) and any(map(is_kept, states))
            names = tuple(state.client_id for state in states)
            nearest = _rank(split_share(share.full_filter)[1])
            found.append((nearest, Reach(share.full_filter, names, given, is_connected, kept)))
    best = max((rank for rank, _ in found), default=(0, False))
    return [reach for rank, reach in found if rank == best and rank[0]]


def _is_plain_match(full_filter: str, topic: str) -> bool:
    name, plain = split_share(full_filter)
    return name is None and matches(plain, topic)


def _rank(plain: str) -> tuple[int, bool]:
    """Greater the more a filter says: how many levels of text, and whether it ends somewhere."""
    levels: Iterable[str] = plain.split("/")
    return sum(level not in ("+", "#") for level in levels), not plain.endswith("#")
