"""Whether a rule is asked about a device, and which part of ``on`` keeps it from that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, assert_never

import msgspec

from fieldgate_devices.event import Lane
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.quantities import format_duration
from fieldgate_rules.rule import CronTrigger, EventTrigger, EveryTrigger, GatewayTrigger, Rule, RuleTrigger

__all__ = ["Heard", "TriggerAnswer", "place_of", "trigger_answers"]

_NOTHING: Final[Mapping[str, object]] = {}


class Heard(msgspec.Struct, frozen=True):
    """A device as it was heard: the type and lane of its events, and what it said last.

    ``lane`` is None where nobody knows it. ``age_s`` is how long ago it was heard, if that is known.
    """

    device: str
    type: str
    lane: int | None = None
    fields: Mapping[str, object] = _NOTHING
    age_s: float | None = None


class TriggerAnswer(msgspec.Struct, frozen=True):
    """What one trigger says: whether it takes the device's events, in words, and the place of the part that decides."""

    takes: bool
    text: str
    where: Location


def place_of(rule: Rule, *keys: str) -> Location:
    """Return the place of the first of ``keys`` that the file has, or of the rule."""
    return next((rule.places[key] for key in keys if key in rule.places), rule.where)


def trigger_answers(rule: Rule, device: str, heard: Sequence[Heard] | None) -> list[TriggerAnswer]:
    """Return what each entry of ``on`` says of a device, which was heard as any of ``heard`` (None: not known)."""
    answers = []
    for number, trigger in enumerate(rule.triggers):
        key = f"on[{number}]"
        where = place_of(rule, key, "on")
        match trigger:
            case EventTrigger():
                answers.append(_of_events(rule, trigger, number, device, heard))
            case RuleTrigger():
                answers.append(TriggerAnswer(False, f"asked when {_any(trigger.rules)} fires", where))
            case GatewayTrigger():
                kinds = _any(kind.replace("_", " ") for kind in trigger.kinds)
                answers.append(TriggerAnswer(False, f"asked when the gateway says {kinds}", where))
            case EveryTrigger():
                answers.append(TriggerAnswer(False, f"asked every {format_duration(trigger.every_s)}", where))
            case CronTrigger():
                answers.append(TriggerAnswer(False, f"asked at {trigger.text!r} of {trigger.zone}", where))
            case _:
                assert_never(trigger)
    return answers


def _of_events(
    rule: Rule, trigger: EventTrigger, number: int, device: str, heard: Sequence[Heard] | None
) -> TriggerAnswer:
    key = f"on[{number}]"
    if trigger.devices and not any(fnmatchcase(device, glob) for glob in trigger.devices):
        said = f"{device} is not {_any(trigger.devices)}"
        return TriggerAnswer(False, said, place_of(rule, f"{key}.device", key, "on"))
    if heard is None:
        return TriggerAnswer(False, f"no event of {device} has come that it takes", place_of(rule, key, "on"))
    if not heard:
        return TriggerAnswer(False, f"{device} was never heard", place_of(rule, key, "on"))
    refused: TriggerAnswer | None = None
    for one in heard:
        excluded = next(_excluding(rule, trigger, number, one), None)
        if excluded is None:
            return TriggerAnswer(True, f"takes {device}, profile {one.type}", place_of(rule, key, "on"))
        refused = refused or excluded
    assert refused is not None
    return refused


def _excluding(rule: Rule, trigger: EventTrigger, number: int, one: Heard) -> Iterator[TriggerAnswer]:
    """The parts of a trigger that keep a device from it, besides its name."""
    key = f"on[{number}]"
    if trigger.types and one.type not in trigger.types:
        said = f"{one.device} is of profile {one.type}, not {_any(trigger.types)}"
        yield TriggerAnswer(False, said, place_of(rule, f"{key}.profile", key, "on"))
    if trigger.lanes and one.lane is not None and one.lane not in trigger.lanes:
        lanes = _any(Lane(lane).name.lower() for lane in sorted(trigger.lanes))
        said = f"{one.device} comes in lane {Lane(one.lane).name.lower()}, not {lanes}"
        yield TriggerAnswer(False, said, place_of(rule, f"{key}.lane", key, "on"))
    if trigger.tagged_devices is None or one.type in trigger.tagged_types:
        return
    if not any(fnmatchcase(one.device, glob) for glob in trigger.tagged_devices):
        spec = rule.spec.on[number] if number < len(rule.spec.on) else None
        tags = _any(spec.tag) if spec is not None and spec.tag else "of these tags"
        yield TriggerAnswer(False, f"{one.device} has not the tag {tags}", place_of(rule, f"{key}.tag", key, "on"))


def _any(words: Iterable[str]) -> str:
    return " or ".join(sorted(words))
