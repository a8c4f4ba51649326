"""Who may publish and subscribe to what: rules about topic filters, and what they say of one client.

Laws of this file:

- What no rule allows is denied. A rule that denies beats every rule that allows, in whatever order they stand.
- A subscription is allowed when one allowing rule covers all of its filter, and no denying one does. What a denying
  rule takes out of the middle is left out when messages are delivered: `Rights.may_receive` is asked for each.
- ``%u`` and ``%c`` in a filter stand for the user's name and the client id. A name that could change the meaning of
  the filter (with ``+``, ``#``, ``/``, ``$`` in front, or empty) makes the rule match nothing (CVE-2017-7650).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fieldgate.mqtt.topics import matches, split_share
from fieldgate_devices.files.location import Location

__all__ = [
    "PATTERN", "AccessRules", "ClientRights", "Decision", "Rule", "covers", "fill_in", "publishing", "receiving",
    "subscribing",
]  # fmt: skip

PATTERN: Final = re.compile("%.?", re.DOTALL)
_UNSAFE: Final = re.compile(r"[+#/\0]|^\$|^$")
_MAX_KNOWN: Final = 512
_MAX_NOTED: Final = 1_000
_MAX_KNOWN_TOPIC: Final = 256  # longer topics are judged each time


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: what it says about ``topic``, a filter that may hold ``%u``, ``%c`` and ``%%``."""

    topic: str
    may_publish: bool
    may_subscribe: bool
    is_allowed: bool
    where: Location


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and the rule that made it; None where no rule matched."""

    is_allowed: bool
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class AccessRules:
    """All rules of a file, by whom they are about."""

    anonymous: tuple[Rule, ...] = ()
    all_users: tuple[Rule, ...] = ()
    users: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)

    def about(self, user: str, client_id: str) -> tuple[Rule, ...]:
        """Return the rules for one client, filled in; ``user`` is empty for one that did not log in."""
        rules = (*self.all_users, *self.users.get(user, ())) if user else self.anonymous
        filled = ((rule, fill_in(rule.topic, user=user, client_id=client_id)) for rule in rules)
        return tuple(replace(rule, topic=topic) for rule, topic in filled if topic is not None)


def fill_in(topic_filter: str, *, user: str, client_id: str) -> str | None:
    """Put the names into a filter; None if one of them must not stand there."""
    names = {"%u": user, "%c": client_id, "%%": "%"}
    used = set(PATTERN.findall(topic_filter))
    if any(_UNSAFE.search(names[one]) for one in used - {"%%"}):
        return None
    return PATTERN.sub(lambda match: names[match[0]], topic_filter) if used else topic_filter


def covers(wide: str, narrow: str) -> bool:
    """Say whether every topic that ``narrow`` matches is matched by ``wide``; both are valid and unshared."""
    if narrow[:1] == "$" and wide[:1] in ("#", "+"):
        return False
    wide_levels, narrow_levels = wide.split("/"), narrow.split("/")
    for index, level in enumerate(wide_levels):
        if level == "#":
            return True
        if index >= len(narrow_levels) or narrow_levels[index] == "#":
            return False
        if level not in ("+", narrow_levels[index]):
            return False
    return len(wide_levels) == len(narrow_levels)


def publishing(rules: Iterable[Rule], topic: str) -> Decision:
    """Decide about publishing to a valid ``topic``."""
    return _decide(rule for rule in rules if rule.may_publish and matches(rule.topic, topic))


def subscribing(rules: Iterable[Rule], topic_filter: str) -> Decision:
    """Decide about a subscription; of a shared one, its filter counts."""
    _, plain = split_share(topic_filter)
    return _decide(rule for rule in rules if rule.may_subscribe and covers(rule.topic, plain))


def receiving(rules: Iterable[Rule], topic: str) -> Decision:
    """Decide about the delivery of a message on ``topic``."""
    return _decide(rule for rule in rules if rule.may_subscribe and matches(rule.topic, topic))


def _decide(matching: Iterable[Rule]) -> Decision:
    allowing: Rule | None = None
    for rule in matching:
        if not rule.is_allowed:
            return Decision(False, rule)
        allowing = allowing or rule
    return Decision(allowing is not None, allowing)


class ClientRights:
    """The `Rights` of one connection under rules that may be exchanged while it lives.

    ``denied`` counts refused subscriptions; who asks about messages counts them itself. ``denied_to`` counts what was
    denied to whom: subscriptions, and topics of messages, each about once.
    """

    __slots__ = ("__weakref__", "_publish", "_receive", "_rules", "client_id", "denied", "denied_to", "user")

    def __init__(
        self,
        rules: AccessRules,
        *,
        user: str,
        client_id: str,
        denied: Counter[str],
        denied_to: Counter[tuple[str, str]] | None = None,
    ) -> None:
        self.user = user
        self.client_id = client_id
        self.denied = denied
        self.denied_to = denied_to
        self._publish: dict[str, bool] = {}
        self._receive: dict[str, bool] = {}
        self.exchange(rules)

    def exchange(self, rules: AccessRules) -> None:
        """These rules hold from now on."""
        self._rules = rules.about(self.user, self.client_id)
        self._publish.clear()
        self._receive.clear()

    def may_publish(self, topic: str) -> bool:
        """See `Rights`."""
        known = self._publish.get(topic)
        return self._learn(self._publish, topic, publishing) if known is None else known

    def may_receive(self, topic: str) -> bool:
        """See `Rights`."""
        known = self._receive.get(topic)
        return self._learn(self._receive, topic, receiving) if known is None else known

    def may_subscribe(self, topic_filter: str) -> bool:
        """See `Rights`."""
        is_allowed = subscribing(self._rules, topic_filter).is_allowed
        if not is_allowed:
            self.denied["subscribe"] += 1
            self._note("subscribe")
        return is_allowed

    def _note(self, what: str) -> None:
        denied_to, key = self.denied_to, (what, self.user)
        if denied_to is not None and (key in denied_to or len(denied_to) < _MAX_NOTED):
            denied_to[key] += 1

    def _learn(self, known: dict[str, bool], topic: str, decide: Callable[[Iterable[Rule], str], Decision]) -> bool:
        is_allowed = decide(self._rules, topic).is_allowed
        if not is_allowed and decide is publishing:
            self._note("publish")
        if len(topic) <= _MAX_KNOWN_TOPIC:
            if len(known) >= _MAX_KNOWN:
                known.clear()
            known[topic] = is_allowed
        return is_allowed
