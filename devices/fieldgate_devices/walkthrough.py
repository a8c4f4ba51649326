"""One message through the profiles, every step of it kept: for ``fieldgate devices try``.

The steps are those of `Catalogue.find` and `Contract.read`; where the message breaks its contract the steps end there,
but every field is read, so that a person sees all that is wrong at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fieldgate_devices.breach import Breach, shown
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.conditions import TEXT, Conditions, PlainText
from fieldgate_devices.contract import Contract
from fieldgate_devices.fields import FieldReader
from fieldgate_devices.matching import SERIAL, Matcher, json_or_word
from fieldgate_devices.paths import ABSENT, read_path
from fieldgate_devices.profile import MatchSpec

__all__ = ["Considered", "FieldStep", "RecordWalk", "Walk", "walk_through"]


@dataclass(frozen=True, slots=True)
class Considered:
    """A profile that was asked: whether its topic fits, and why it did not take the message (empty: it did)."""

    profile: str
    is_own: bool
    takes_topic: bool
    why_not: str


@dataclass(frozen=True, slots=True)
class FieldStep:
    """``raw`` is what stands in the message, `ABSENT` where nothing does; ``value`` likewise. ``breach`` in words."""

    name: str
    unit: str
    raw: object
    value: object
    breach: str


@dataclass(frozen=True, slots=True)
class RecordWalk:
    """One reading of the message. ``version`` is the older one that it was upgraded from, to ``upgraded``.

    ``others`` are repeated fields, and members kept by ``other_fields``. ``at_ns`` is None where there is no time.
    """

    record: Mapping[str, Any]
    version: int | None
    upgraded: Mapping[str, Any] | None
    fields: tuple[FieldStep, ...]
    others: Mapping[str, object]
    device: str | None
    at_ns: int | None
    breaches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """All steps of one message. ``chosen`` None: no profile takes it. ``undecodable`` is why there are no records."""

    considered: tuple[Considered, ...]
    chosen: Contract | None
    captures: Mapping[str, str]
    undecodable: str
    records: tuple[RecordWalk, ...]

    @property
    def is_accepted(self) -> bool:
        """Whether the message keeps its contract."""
        return self.chosen is not None and not self.undecodable and not any(one.breaches for one in self.records)


def walk_through(catalogue: Catalogue, topic: str, payload: bytes) -> Walk:
    """Send a message through."""
    value = json_or_word(payload)
    found = catalogue.find(topic, payload)
    chosen = None if found is None else found.contract
    considered = tuple(
        _considered(contract, topic, value, is_own=name in catalogue.own, chosen=chosen)
        for name, contract in sorted(catalogue.contracts.items())
    )
    if found is None:
        return Walk(considered, None, {}, "", ())
    try:
        records = found.contract.records(payload, found.captures, topic)
    except Breach as breach:
        return Walk(considered, chosen, found.captures, breach.detail, ())
    walks = tuple(_record(found.contract, record, found.captures, topic, payload) for record in records)
    return Walk(considered, chosen, found.captures, "", walks)


# -- which profile ----------------------------------------------------------------------------------------------------


def _considered(contract: Contract, topic: str, value: object, *, is_own: bool, chosen: Contract | None) -> Considered:
    name = contract.profile.profile
    if contract is chosen:
        return Considered(name, is_own, True, "")
    reasons: list[str] = [] if contract.matchers else ["it is for sources that name it"]
    takes_topic = False
    for matcher, spec in zip(contract.matchers, contract.profile.match, strict=True):
        if matcher.of_topic(topic) is None:
            reasons.append(f"the topic is not {_where(matcher)}")
            continue
        takes_topic = True
        if matcher.conditions is not None and not matcher.conditions.hold(value):
            reasons.append(_unfulfilled(spec, value))
            continue
        winner = chosen.profile.profile if chosen is not None else "another"
        return Considered(name, is_own, True, f"it would take the message, but {winner} says more about it")
    return Considered(name, is_own, takes_topic, "; ".join(dict.fromkeys(reasons)))


def _where(matcher: Matcher) -> str:
    if matcher.serial is not None:
        return f"{SERIAL}{matcher.serial}"
    return matcher.topic.text if matcher.topic is not None else "any"


def _unfulfilled(spec: MatchSpec, value: object) -> str:
    """The first condition that does not hold."""
    if spec.json_ and (value is ABSENT or isinstance(value, PlainText)):
        return "the payload is not JSON"
    if spec.text and not Conditions({TEXT: list(spec.text)}).hold(value):
        return f"the payload is not {_wanted(list(spec.text))}"
    for path, wanted in spec.json_.items():
        if not Conditions({path: wanted}).hold(value):
            raw = read_path(path).find(value, {})
            is_found = "is absent" if raw is ABSENT else f"is {shown(raw)}"
            return f"{path} {is_found}, not {_wanted(wanted)}"
    return "its conditions do not hold"


def _wanted(wanted: object) -> str:
    if isinstance(wanted, dict):
        return "there" if wanted["exists"] else "absent"
    if isinstance(wanted, list):
        return " or ".join(map(shown, wanted))
    return shown(wanted)


# -- what it says -----------------------------------------------------------------------------------------------------


def _record(
    contract: Contract, record: dict[str, Any], captures: Mapping[str, str], topic: str, payload: bytes
) -> RecordWalk:
    breaches: list[str] = []
    newest, fields = record, None
    try:
        fields, newest = contract.fields(record, captures)
    except Breach as breach:
        breaches.append(breach.detail)
        newest = _as_far_as_known(contract, record)
    steps = tuple(_field(contract, reader, newest, captures, fields) for reader in contract.readers)
    breaches += [step.breach for step in steps if step.breach and step.breach not in breaches]
    named = {step.name for step in steps}
    others = {name: value for name, value in (fields or {}).items() if name not in named}
    device, at_ns = None, None
    try:
        device = contract.name_for(topic, payload).of(newest, captures, topic)
    except Breach as breach:
        breaches.append(breach.detail)
    try:
        at_ns = contract.time_of(newest, captures)
    except Breach as breach:
        breaches.append(breach.detail)
    version = _version_of(contract, record, newest)
    upgraded = newest if version is not None else None
    return RecordWalk(record, version, upgraded, steps, others, device, at_ns, tuple(breaches))


def _as_far_as_known(contract: Contract, record: dict[str, Any]) -> dict[str, Any]:
    try:
        return contract.of_known_version(record) or record
    except Breach:
        return record


def _version_of(contract: Contract, record: dict[str, Any], newest: dict[str, Any]) -> int | None:
    """Which older version a record was taken for, if it was."""
    if newest is record:
        return None
    for version in reversed(contract.older_versions):
        try:
            if contract.upgraded(record, version) == newest:
                return version
        except Breach:
            continue
    return None


def _field(
    contract: Contract,
    reader: FieldReader,
    record: Mapping[str, Any],
    captures: Mapping[str, str],
    fields: Mapping[str, object] | None,
) -> FieldStep:
    """``fields`` is what came of the whole record, where it keeps the contract."""
    unit = contract.profile.fields[reader.name].unit
    found = (path.find(record, captures) for path in reader.paths)
    raw = next((one for one in found if one is not ABSENT and one is not None), ABSENT)
    if fields is not None:
        return FieldStep(reader.name, unit, raw, fields.get(reader.name, ABSENT), "")
    try:
        return FieldStep(reader.name, unit, raw, reader.read(record, captures), "")
    except Breach as breach:
        return FieldStep(reader.name, unit, raw, ABSENT, breach.detail)
