"""The kinds of events that a gateway emits: of its profiles, of its rules, ``generic``, and those it makes itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any, Final

from fieldgate.forward.encode import GAP_TYPE
from fieldgate_devices.event import GENERIC
from fieldgate_devices.export import data_schema, derived_schema, generic_schema, schema_id
from fieldgate_devices.profile import Profile
from fieldgate_rules.rule import DerivedKind, RuleSet

__all__ = ["Kind", "all_kinds", "derived_kinds"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of events. ``dataschema`` is empty where no contract stands behind it; ``may_be_bytes``: not JSON.

    ``also`` are other versions that its events say: rules may emit one type in several.
    """

    name: str
    version: int
    summary: str
    data: dict[str, Any]
    may_be_bytes: bool = False
    also: tuple[int, ...] = ()

    @property
    def dataschema(self) -> str:
        """What the envelope says of the data's contract."""
        return schema_id(self.name, self.version) if self.version else ""

    @property
    def dataschemas(self) -> list[str]:
        """All that its envelopes may say."""
        return [schema_id(self.name, one) for one in (self.version, *self.also)] if self.version else []


def all_kinds(profiles: Iterable[Profile], derived: Iterable[Kind] = ()) -> list[Kind]:
    """Return every kind of a gateway with these profiles, then ``derived`` of rules, its own at the end."""
    own = [
        Kind(one.profile, one.version, one.description or f"What a {one.profile} says.", data_schema(one))
        for one in sorted(profiles, key=lambda one: one.profile)
    ]
    generic = Kind(GENERIC, 0, "What a device says that no profile names.", generic_schema(), may_be_bytes=True)
    return [*own, *derived, generic, *(Kind(name, 0, summary, data) for name, summary, data in _OWN)]


def derived_kinds(rules: RuleSet) -> list[Kind]:
    """Return what rules emit that are in force, sorted by type; one in shadow mode emits nothing."""
    active = (one for one in rules.rules if one.spec.enabled and not one.is_shadow)
    emitted = sorted((kind for rule in active for kind in rule.emits), key=lambda one: one.type)
    return [_derived(type_, list(kinds)) for type_, kinds in groupby(emitted, key=lambda one: one.type)]


def _derived(type_: str, kinds: list[DerivedKind]) -> Kind:
    """What several rules emit as one type has the fields of all of them: they differ neither in kind nor in unit."""
    joined = reduce(DerivedKind.joined, kinds)
    version, *also = sorted({one.version for one in kinds}, reverse=True)
    rules = list(dict.fromkeys(one.rule for one in kinds))
    summary = f"What the rule {rules[0]} makes." if len(rules) == 1 else f"What the rules {', '.join(rules)} make."
    data = derived_schema(f"{type_} {version}", summary, joined.fields, is_open=bool(joined.loose))
    return Kind(type_, version, summary, data, also=tuple(also))


def _mapping(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_COUNT: Final = {"type": "integer", "minimum": 1}
_TIME: Final = {"type": "string", "format": "date-time"}
_SILENCE: Final = _mapping(
    ["device", "profile"],
    device={"type": "string", "description": "Whose silence it is."},
    profile={"type": "string", "description": "The type of its events."},
    since={**_TIME, "description": "When it was heard last (UTC); absent where that cannot be known."},
    for_s={"type": "number", "minimum": 0, "x-unit": "s", "description": "How long before this event that was."},
    values={"type": "object", "description": "The fields that it said last; absent where they are too many."},
)
_GAP: Final = _mapping(
    ["reason", "lane", "count", "run", "first", "last"],
    reason={"type": "string", "description": "Why the events are lost, such as evicted, expired, parked or corrupt."},
    lane={"enum": ["high", "normal", "low"]},
    count={**_COUNT, "description": "How many events."},
    run={"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "The run part of their ids."},
    first={**_COUNT, "description": "The first number that may be among them."},
    last={**_COUNT, "description": "The last number that may be among them."},
)
_CLOCK: Final = _mapping(
    ["osboot", "offsetns"],
    osboot={"type": "string", "description": "The OS boot whose events were marked unsynced."},
    offsetns={"type": "integer", "description": "UTC minus time since that boot.", "x-unit": "ns"},
)
_COMMAND: Final = _mapping(
    ["device", "name", "id", "origin", "status", "reason", "arguments", "received", "started", "answered"],
    device={"type": "string", "description": "The device that was told."},
    name={"type": "string", "description": "The command, as its profile calls it."},
    id={"type": "string", "description": "The id that whoever gave it chose, or one that was made."},
    origin={"type": "string", "description": "Who gave it: cli, uplink:NAME or rule:ID."},
    status={"enum": ["refused", "done", "timeout", "unknown"], "description": "What became of it."},
    reason={"type": "string", "description": "Why, for a person; empty where it is done."},
    arguments={"type": ["object", "null"], "description": "As they were given; null where they are too long."},
    received={**_TIME, "description": "When it was received."},
    started={"type": ["string", "null"], "format": "date-time", "description": "When it was begun; null: it was not."},
    answered={**_TIME, "description": "When that became of it."},
)
_RULES: Final = _mapping(
    ["outcome", "rules", "changed", "problems"],
    outcome={"enum": ["loaded", "refused"], "description": "Refused: the rules that were read before go on."},
    rules={"type": "integer", "minimum": 0, "description": "How many rules are in force."},
    changed={
        "type": "array",
        "items": {"type": "string"},
        "description": "Ids of rules that are new, altered or gone.",
    },
    problems={"type": "array", "items": {"type": "string"}, "description": "What is wrong, each with its place."},
)
_ALERT: Final = {
    **_mapping(
        ["state", "rule", "key", "severity", "text"],
        state={"enum": ["raised", "updated", "resolved"]},
        rule={"type": "string", "description": "The id of the rule."},
        key={"type": "string", "description": "What makes it one and the same alert of this rule."},
        severity={"enum": ["info", "warning", "critical"]},
        text={"type": "string", "description": "What is said, for a person."},
        since={**_TIME, "description": "When it was raised (UTC); absent where nobody knew the time."},
        reason={"type": "string", "description": "Why it ended, where not because the rule does not hold any more."},
    ),
    "additionalProperties": {"description": "The fields that the rule gives it."},
}
_BYTES: Final = {"type": "integer", "minimum": 0, "x-unit": "B"}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_SECONDS: Final = {"type": "number", "minimum": 0, "x-unit": "s"}
_UPLINK: Final = _mapping(
    ["up", "delivered", "backlog", "lost", "parked"],
    up={"type": "boolean", "description": "Whether it takes events now."},
    delivered={**_NUMBER, "description": "Events that were acknowledged since the start."},
    backlog={**_NUMBER, "description": "Events that it has still to get."},
    backlog_age_s={**_SECONDS, "description": "How old the oldest of them is; absent where there is none."},
    lost={**_NUMBER, "description": "Events that it never gets, since it was configured."},
    parked={**_NUMBER, "description": "Events that it has refused."},
)
_VITALS_JOURNAL: Final = _mapping(
    ["full"],
    full={"enum": ["", "limit", "disk", "read_only"], "description": "Why nothing more can be stored, if so."},
    bytes={**_BYTES, "description": "Its size on the disk; absent, as the rest, where the disk does not answer."},
    limit_bytes={**_BYTES, "description": "The size that it may have."},
    events={**_NUMBER, "description": "Events in it."},
)
_VITALS: Final = _mapping(
    ["uptime_s", "clock", "events", "events_per_s", "unsettled_bytes", "dead_letters", "devices", "devices_silent",
     "rule_errors", "alerts", "uplinks", "amiss", "journal", "cpu_s"],
    uptime_s={**_SECONDS, "description": "Since the gateway was started."},
    clock={"enum": ["synced", "unsynced", "estimated"], "description": "How far its clock can be trusted."},
    events={**_NUMBER, "description": "Events that were taken since the start, its own included."},
    events_per_s={"type": "number", "minimum": 0, "x-unit": "1/s", "description": "The same, over some seconds."},
    unsettled_bytes={**_BYTES, "description": "Memory of events that are not safe yet."},
    dead_letters={**_NUMBER, "description": "Messages that are no events and are kept aside."},
    devices={**_NUMBER, "description": "Devices that are known."},
    devices_silent={**_NUMBER, "description": "Those that are silent for longer than their profile says."},
    rule_errors={**_NUMBER, "description": "How often a rule has failed since the start."},
    alerts={**_NUMBER, "description": "Alerts that last."},
    uplinks={"type": "object", "additionalProperties": _UPLINK, "description": "Each uplink, by its name."},
    amiss={"type": "array", "items": {"type": "string"}, "description": "Names of what does not work; 20 at most."},
    journal=_VITALS_JOURNAL,
    memory_bytes={**_BYTES, "description": "Resident memory; absent where the system hides it."},
    cpu_s={**_SECONDS, "description": "CPU time since the start."},
    flash_written_bytes={**_BYTES, "description": "Written to disks since the start, as the kernel counts it."},
)  # fmt: skip
_OWN: Final = (
    (GAP_TYPE, "Events that this uplink was to get and never will.", _GAP),
    ("clock", "The time became known: by how much events of an unset clock are to be corrected.", _CLOCK),
    ("command", "What became of a command that a device was given.", _COMMAND),
    ("silent", "A device has not been heard for the time that its profile allows.", _SILENCE),
    ("back", "A device that was silent is heard again.", _SILENCE),
    ("alert", "A rule has raised, updated or resolved an alert.", _ALERT),
    ("rules", "The files of rules have changed: what became of that.", _RULES),
    ("vitals", "How the gateway is.", _VITALS),
)
