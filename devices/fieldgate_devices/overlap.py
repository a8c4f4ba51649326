"""Which profiles stand in each other's way: those that never get a message, and those between which only the order of
letters decides.

What is said here is so: each finding rests on a topic that both take, or on a pattern that takes all of another. Not
everything is found: of conditions on JSON only plain values are compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from fieldgate_devices.contract import Contract
from fieldgate_devices.matching import SERIAL, Matcher
from fieldgate_devices.profile import MatchSpec
from fieldgate_devices.topic_pattern import TopicPattern

__all__ = ["Overlap", "find_overlaps"]

_CAPTURE: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*#?\}")
_MAX_TRIES: Final = 256
_NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Overlap:
    """Entry ``number`` of the match of profile ``of`` and another profile. ``is_never``: it gets nothing at all.

    Else ``winner`` is whichever of the two gets what both take; ``topic`` is an example of that.
    """

    of: str
    number: int
    other: str
    winner: str
    topic: str
    is_never: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    number: int
    matcher: Matcher
    spec: MatchSpec


def find_overlaps(own: Sequence[Contract], built_in: Sequence[Contract]) -> list[Overlap]:
    """Return what concerns ``own``: profiles with different ids, those that are in use."""
    entries = list(_ordered(own))
    others = [*entries, *_ordered(built_in)]
    found = []
    for entry in entries:
        above = [one for one in others if one is not entry and _is_before(one, entry, is_own=one in entries)]
        stronger = next((one for one in above if _takes_all(one, entry)), None)
        if stronger is not None:
            topic = _sample(entry.matcher)
            found.append(Overlap(entry.name, entry.number, stronger.name, stronger.name, topic, is_never=True))
    shadowed = {(one.of, one.number) for one in found}
    for place, one in enumerate(entries):
        for other in entries[place + 1 :]:
            is_known = (one.name, one.number) in shadowed or (other.name, other.number) in shadowed
            if one.name == other.name or one.matcher.rank != other.matcher.rank or is_known:
                continue
            common = _common_topic(one.matcher, other.matcher)
            if common and not _exclude(one.spec.conditions, other.spec.conditions):
                winner = min(one.name, other.name)
                found.append(Overlap(one.name, one.number, other.name, winner, common, is_never=False))
                found.append(Overlap(other.name, other.number, one.name, winner, common, is_never=False))
    return found


def _ordered(contracts: Sequence[Contract]) -> Iterator[_Entry]:
    for contract in contracts:
        for number, (matcher, spec) in enumerate(zip(contract.matchers, contract.profile.match, strict=True)):
            yield _Entry(contract.profile.profile, number, matcher, spec)


def _is_before(one: _Entry, entry: _Entry, *, is_own: bool) -> bool:
    """Whether ``one`` is asked before ``entry``, which is one of yours."""
    if one.matcher.rank != entry.matcher.rank:
        return one.matcher.rank > entry.matcher.rank
    return is_own and (one.name, one.number) < (entry.name, entry.number)


def _takes_all(one: _Entry, entry: _Entry) -> bool:
    """Whether ``one`` takes every message that ``entry`` would."""
    if any(entry.spec.conditions.get(path, _NOTHING) != wanted for path, wanted in one.spec.conditions.items()):
        return False
    if not {but.text for but in one.matcher.but} <= {but.text for but in entry.matcher.but}:
        return False
    if one.matcher.serial is not None or entry.matcher.serial is not None:
        return one.matcher.serial == entry.matcher.serial
    if one.matcher.topic is None or entry.matcher.topic is None:
        return one.matcher.topic is None
    return _covers(_levels(one.matcher.topic), _levels(entry.matcher.topic))


def _levels(pattern: TopicPattern) -> list[str]:
    """Without the names of captures: ``+``, ``#``, ``!#`` (at least one level), or text with ``{}`` in it."""
    levels = []
    for level in pattern.text.split("/"):
        bare = _CAPTURE.sub("{}", level)
        levels.append("!#" if level.endswith("#}") else "!+" if bare == "{}" else bare)
    return levels


def _covers(above: list[str], below: list[str]) -> bool:
    """Whether ``above`` takes each topic that ``below`` takes; ``+`` takes an empty level, a capture does not."""
    first = below[0]
    if above[0] in {"#", "+", "!#", "!+"} and first.startswith("$"):
        return False  # [MQTT-4.7.2-1]
    for place, level in enumerate(above):
        rest = below[place:]
        if level == "#":
            return True
        if not rest:
            return False
        if level == "!#":
            return rest[0] != "#" and rest not in (["+"], [""])
        if rest[0] in {"#", "!#"}:
            return False
        is_same = rest[0] == level
        if not (is_same or level == "+" or (level == "!+" and rest[0] not in {"+", ""})):
            return False
    return len(above) == len(below)


def _common_topic(one: Matcher, other: Matcher) -> str:
    """A topic that both take; empty where none is found."""
    if one.serial is not None or other.serial is not None:
        return f"{SERIAL}{one.serial}" if one.serial == other.serial else ""
    if one.topic is None or other.topic is None:
        return _sample(one if other.topic is None else other) if one.topic is other.topic else ""
    return next((topic for topic in _candidates(one.topic, other.topic) if _both(one, other, topic)), "")


def _both(one: Matcher, other: Matcher, topic: str) -> bool:
    return one.of_topic(topic) is not None and other.of_topic(topic) is not None


def _candidates(one: TopicPattern, other: TopicPattern) -> Iterator[str]:
    mine, theirs = _padded(_levels(one), len(_levels(other))), _padded(_levels(other), len(_levels(one)))
    if len(mine) != len(theirs):
        return
    choices = [sorted({_filled(a), _filled(b)}, key=len, reverse=True) for a, b in zip(mine, theirs, strict=True)]
    for number, levels in enumerate(product(*choices)):
        if number == _MAX_TRIES:
            return
        yield "/".join(levels)


def _padded(levels: list[str], length: int) -> list[str]:
    """With ``#`` at the end stretched to as many levels as the other pattern has."""
    if levels[-1] in {"#", "!#"} and len(levels) < length:
        return [*levels[:-1], *["+"] * (length - len(levels) + 1)]
    return levels


def _filled(level: str) -> str:
    return "x" if level in {"+", "#", "!#", "!+"} else level.replace("{}", "x")


def _sample(matcher: Matcher) -> str:
    if matcher.serial is not None:
        return f"{SERIAL}{matcher.serial}"
    return "any topic" if matcher.topic is None else "/".join(map(_filled, _levels(matcher.topic)))


def _exclude(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether no message can fulfil both conditions."""
    return any(path in other and _differ(wanted, other[path]) for path, wanted in one.items())


def _differ(one: Any, other: Any) -> bool:
    mine, theirs = (value if isinstance(value, list) else [value] for value in (one, other))
    if any(isinstance(value, dict) or (isinstance(value, str) and "*" in value) for value in (*mine, *theirs)):
        exists = [value["exists"] for value in (*mine, *theirs) if isinstance(value, dict)]
        return len(exists) == 2 and exists[0] != exists[1]
    return not any(value == wanted for value in mine for wanted in theirs)
