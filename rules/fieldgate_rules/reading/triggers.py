"""``on``: which events a rule is asked about, and what can be in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from fieldgate_devices.event import GENERIC, Lane
from fieldgate_devices.files.document import Loc
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_rules.condition import EventKind
from fieldgate_rules.model import TriggerSpec
from fieldgate_rules.reading.kinds import SCHEDULE, Kinds, rule_kind
from fieldgate_rules.reading.part import RulePart
from fieldgate_rules.rule import CronTrigger, EventTrigger, EveryTrigger, GatewayTrigger, RuleTrigger, Trigger

__all__ = ["ReadTriggers", "Tags", "read_triggers"]

_LANES: Final = {"high": Lane.HIGH, "normal": Lane.NORMAL, "low": Lane.LOW}
_GLOB: Final = frozenset("*?[")
_CRON: Final = 'write five fields: minute, hour, day, month, weekday, such as "0 6 * * mon-fri"'


@dataclass(frozen=True, slots=True)
class Tags:
    """What tags stand for: globs of devices, and profiles."""

    devices: Mapping[str, tuple[str, ...]]
    types: Mapping[str, frozenset[str]]

    def names(self) -> set[str]:
        """All tags there are."""
        return {*self.devices, *self.types}


@dataclass(frozen=True, slots=True)
class ReadTriggers:
    """``kinds`` and ``is_open`` are what a `Scope` wants; ``profiles`` the profiles of all devices, if each has one."""

    triggers: tuple[Trigger, ...]
    kinds: tuple[EventKind, ...]
    is_open: bool
    profiles: tuple[str, ...] | None


class _Collected:
    """What the entries of ``on`` come to."""

    def __init__(self) -> None:
        self.kinds: dict[int, EventKind] = {}
        self.is_open = False
        self.profiles: dict[str, None] | None = {}

    def add(self, kind: EventKind | None) -> None:
        if kind is None:
            self.is_open = True
        else:
            self.kinds[id(kind)] = kind

    def add_profile(self, name: str | None) -> None:
        if name is None:
            self.profiles = None
        elif self.profiles is not None:
            self.profiles[name] = None


def read_triggers(part: RulePart, kinds: Kinds, tags: Tags, rule_ids: Collection[str]) -> ReadTriggers:
    """Return what the rule is on; names that there are not are said."""
    found = _Collected()
    triggers = [
        _trigger(part, ("on", number), spec, found, kinds, tags, rule_ids) for number, spec in enumerate(part.spec.on)
    ]
    made = tuple(one for one in triggers if one is not None)
    profiles = None if found.profiles is None else tuple(found.profiles)
    return ReadTriggers(made, tuple(found.kinds.values()), found.is_open, profiles)


def _trigger(
    part: RulePart, loc: Loc, spec: TriggerSpec, found: _Collected, kinds: Kinds, tags: Tags, rule_ids: Collection[str]
) -> Trigger | None:
    if spec.rule:
        found.add(rule_kind())
        found.add_profile(None)
        _check_names(part, (*loc, "rule"), spec.rule, rule_ids, "rule")
        return RuleTrigger(frozenset(spec.rule))
    if spec.gateway:
        found.add(kinds.of_gateway(spec.gateway))
        found.add_profile(None)
        if spec.device or spec.profile or spec.tag or spec.lane:
            part.complain(loc, "gateway stands alone; compare device and profile in when", at_key=True)
        return GatewayTrigger(frozenset(spec.gateway), spec.above or 80)
    if spec.every is not None or spec.cron is not None:
        found.add(SCHEDULE)
        found.add_profile(None)
        return EveryTrigger(spec.every) if spec.every is not None else _cron(part, loc, spec)
    return _event_trigger(part, loc, spec, found, kinds, tags)


def _cron(part: RulePart, loc: Loc, spec: TriggerSpec) -> Trigger | None:
    assert spec.cron is not None
    try:
        if len(spec.cron.split()) != 5:
            raise CronSimError("Wrong number of fields")
        CronSim(spec.cron, datetime(2026, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError, ValueError) as error:  # it asserts what it did not think of
        said = str(error)
        what = f"{said[:1].lower()}{said[1:]}; " if said and not said.startswith("Wrong") else ""
        part.complain((*loc, "cron"), f"{spec.cron!r} is no time: {what}{_CRON}")
        return None
    return CronTrigger(spec.cron, ZoneInfo(spec.zone or part.spec.zone))


def _event_trigger(
    part: RulePart, loc: Loc, spec: TriggerSpec, found: _Collected, kinds: Kinds, tags: Tags
) -> EventTrigger:
    tagged_devices: tuple[str, ...] | None = None
    tagged_types: frozenset[str] = frozenset()
    if spec.tag:
        _check_names(part, (*loc, "tag"), spec.tag, tags.names(), "tag")
        tagged_devices = tuple(dict.fromkeys(one for tag in spec.tag for one in tags.devices.get(tag, ())))
        tagged_types = frozenset().union(*(tags.types.get(tag, frozenset()) for tag in spec.tag))
    if spec.profile:
        _check_profiles(part, (*loc, "profile"), spec.profile, kinds)
        _add_types(found, spec.profile, kinds)
    elif tagged_types and not tagged_devices:
        _add_types(found, sorted(tagged_types), kinds)
    else:
        _add_devices(found, spec.device or tagged_devices or (), kinds)
    return EventTrigger(
        spec.device,
        frozenset(spec.profile),
        frozenset(_LANES[one] for one in spec.lane),
        tagged_devices,
        tagged_types,
    )


def _add_types(found: _Collected, types: Iterable[str], kinds: Kinds) -> None:
    for type_ in types:
        found.add(None if type_ == GENERIC else kinds.of_type(type_))
        if kinds.is_open(type_):
            found.add(None)
        found.add_profile(type_ if kinds.profile(type_) is not None else None)


def _add_devices(found: _Collected, globs: Sequence[str], kinds: Kinds) -> None:
    """Devices by their names: what they send is known where all of them are, one by one."""
    profiles = [None if _GLOB & set(one) else kinds.profile_of(one) for one in globs] or [None]
    for profile in profiles:
        found.add(kinds.of_type(profile) if profile else None)
        found.add_profile(profile or None)


def _check_names(part: RulePart, loc: Loc, names: Sequence[str], known: Collection[str], what: str) -> None:
    for number, name in enumerate(names):
        if name not in known:
            hint = did_you_mean(name, known) or (f"; known: {', '.join(sorted(known)[:12])}" if known else "")
            part.complain((*loc, number), f"there is no {what} {name!r}{hint}")


def _check_profiles(part: RulePart, loc: Loc, names: Sequence[str], kinds: Kinds) -> None:
    for number, name in enumerate(names):
        match kinds.problem_of(name):
            case "own":
                hint = "; write on: {rule: …}" if name == "alert" else "; write on: {gateway: …}"
                part.complain((*loc, number), f"{name!r} is the gateway's own{hint}")
            case "unknown":
                hint = did_you_mean(name, kinds.types()) or "; 'fieldgate devices list' shows all profiles"
                part.complain((*loc, number), f"there is no profile {name!r}, and no rule emits it{hint}")
