"""From the tests of a file to what can be run, or everything that is wrong with them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from fieldgate_devices.breach import Breach
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Lane
from fieldgate_devices.files.document import Document, Loc, Problem
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.model_tree import key_names
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.recording import read_rfc3339
from fieldgate_rules.model import TestSpec
from fieldgate_rules.model.tests import ExpectSpec, GivenSpec
from fieldgate_rules.model.triggers import GATEWAY_KINDS
from fieldgate_rules.rule import Rule, RuleSet
from fieldgate_rules.tester.expectation import Expectation
from fieldgate_rules.tester.messages import LANES_BY_NAME, Messages
from fieldgate_rules.tester.outcome import when
from fieldgate_rules.tester.short_form import NotInContract, ShortForms
from fieldgate_rules.tester.timeline import Action, Entry, Noticed, Recorded, Recording, Restarted, Spoken, Stepped

__all__ = ["Plan", "Recordings", "plan_tests"]

Recordings = Callable[[str], Recording | str]
"""Finds a recording by its name in the file, or says why there is none."""

_NS: Final = 10**9
_OF_DEVICES: Final = ("silent", "back")
_DOES: Final = {"drop": ("drop", "sample"), "set": ("set", "enrich")}


@dataclass(frozen=True, slots=True)
class Plan:
    """A test that can be run. ``start_ns`` is UTC, None while nobody knows it; it goes on to ``until_ns``.

    ``is_open_end``: a recording may go on for longer.
    """

    name: str
    where: Location
    start_ns: int | None
    entries: tuple[Entry, ...]
    until_ns: int
    is_open_end: bool
    expected: tuple[Expectation, ...]
    unwanted: tuple[Expectation, ...]
    nothing_else: bool
    where_nothing_else: Location


def plan_tests(
    tests: Sequence[TestSpec],
    document: Document,
    *,
    rules: RuleSet,
    own: Collection[str],
    catalogue: Catalogue,
    recordings: Recordings,
) -> tuple[list[Plan], list[Problem]]:
    """Return the tests of a file that can be run, and what is wrong with the others, with warnings.

    ``document`` is the file; ``rules`` are those that run in its tests, of which ``own`` are tested.
    """
    planning = _Planning(document, rules, own, catalogue, recordings)
    plans = []
    names: dict[str, Location] = {}
    for number, spec in enumerate(tests):
        where = document.where(("tests", number, "name"))
        if spec.name in names:
            planning.problem(where, f"name: {spec.name!r} is the name of the test in line {names[spec.name].line} too")
        names.setdefault(spec.name, where)
        plans.append(planning.plan(number, spec))
    return plans, sorted(set(planning.problems))


class _Planning:
    """One file."""

    def __init__(
        self,
        document: Document,
        rules: RuleSet,
        own: Collection[str],
        catalogue: Catalogue,
        recordings: Recordings,
    ) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._rules = rules
        self._by_id = {rule.id: rule for rule in rules.rules if rule.id in own}
        self._catalogue = catalogue
        self._messages = Messages(catalogue)
        self._recordings = recordings

    def problem(self, where: Location, message: str, *, is_warning: bool = False) -> None:
        """Note it."""
        self.problems.append(Problem(where, message, is_warning=is_warning))

    def plan(self, number: int, spec: TestSpec) -> Plan:
        """Return the test; good for nothing if there are problems."""
        loc: Loc = ("tests", number)
        forms = ShortForms(self._catalogue, self._rules)
        entries = tuple(
            Entry(one, self._document.where((*loc, "given", place)), action)
            for place, one in enumerate(spec.given)
            for action in self._actions(one, (*loc, "given", place), forms)
        )
        self._check_downtime(entries)
        expected = self._expectations(spec.expect, (*loc, "expect"))
        unwanted = self._expectations(spec.expect_none, (*loc, "expect_none"))
        named = [entry.last_ns for entry in entries]
        named += [round(one.about_s * _NS) for one in (*expected, *unwanted) if one.about_s is not None]
        until_ns = max(named, default=0) if spec.until is None else round(spec.until * _NS)
        self._check_end(spec, until_ns, entries, (*expected, *unwanted))
        return Plan(
            name=spec.name,
            where=self._document.where(loc),
            start_ns=None if spec.start == "unset" else read_rfc3339(spec.start),
            entries=entries,
            until_ns=until_ns,
            is_open_end=spec.until is None,
            expected=expected,
            unwanted=unwanted,
            nothing_else=spec.nothing_else,
            where_nothing_else=self._nothing_else(loc),
        )

    def _nothing_else(self, loc: Loc) -> Location:
        key = next((one for one in ("nothing_else", "expect_none") if self._document.node((*loc, one))), "name")
        return self._document.where_key((*loc, key))

    # -- given --------------------------------------------------------------------------------------------------------

    def _actions(self, spec: GivenSpec, loc: Loc, forms: ShortForms) -> Iterator[Action | Recorded]:
        kind = spec.kind
        if kind not in ("device", "gateway"):
            self._check_keys(spec, loc)
        match kind:
            case "device":
                yield from self._spoken(spec, loc, forms)
            case "topic":
                yield from self._message(spec, loc)
            case "gateway":
                yield from self._noticed(spec, loc)
            case "recording":
                found = self._recordings(spec.recording or "")
                if isinstance(found, Recording):
                    yield Recorded(found)
                else:
                    self.problem(self._document.where((*loc, "recording")), f"recording: {found}")
            case "restart" if spec.restart is not None:
                yield Restarted(spec.restart)
            case "clock" if spec.clock is not None:
                yield Stepped(spec.clock)

    def _check_keys(self, spec: GivenSpec, loc: Loc) -> None:
        """Only events have fields, and what belongs to events."""
        for name in spec.others:
            hint = did_you_mean(name, key_names(GivenSpec)) or "; only an event of a device has fields"
            self.problem(self._document.where_key((*loc, name)), f"unknown key {name!r}{hint}")
        of_events = ("profile", "fields", *(() if spec.kind == "topic" else ("lane", "late", "replayed")))
        for name in of_events:
            if name in spec.model_fields_set:
                self.problem(self._document.where_key((*loc, name)), f"{name} does not belong to {spec.kind}")

    def _spoken(self, spec: GivenSpec, loc: Loc, forms: ShortForms) -> Iterator[Spoken]:
        said = []
        for device in spec.device:
            try:
                said.append(forms.read(spec, device))
            except NotInContract as error:
                self._of_field(loc, error.name, str(error), spec)
                return
            if not forms.is_taken(said[-1]):
                text = f"device: no rule that is tested here is on this event of {device!r}"
                self.problem(self._document.where((*loc, "device")), text, is_warning=True)
        yield Spoken(tuple(said), _ns(spec.late), spec.replayed)

    def _of_field(self, loc: Loc, name: str, message: str, spec: GivenSpec) -> None:
        place: Loc = (*loc, "fields", name) if name in spec.fields else (*loc, name) if name else loc
        is_unknown = "has no field" in message
        where = self._document.where_key(place) if is_unknown else self._document.where(place)
        self.problem(where, message)

    def _message(self, spec: GivenSpec, loc: Loc) -> Iterator[Spoken]:
        key = next(one for one in ("payload", "json", "hex", "base64") if _wrote(spec, one))
        lane = Lane.NORMAL if spec.lane is None else LANES_BY_NAME[spec.lane]
        try:
            said = self._messages.read(spec.topic or "", _payload(spec), lane=lane)
        except (ValueError, binascii.Error):
            hint = (
                "write two digits a byte, such as d7 00 50"
                if key == "hex"
                else "its alphabet is A-Z, a-z, 0-9, + and /"
            )
            text = f"{key}: {getattr(spec, key)!r} is not {'hexadecimal' if key == 'hex' else 'base64'}; {hint}"
            self.problem(self._document.where((*loc, key)), text)
        except Breach as breach:
            text = f"{key}: it breaks the contract of its profile, and is no event: {breach.detail}"
            self.problem(self._document.where((*loc, key)), text)
        else:
            yield Spoken(tuple(said), _ns(spec.late), spec.replayed)

    def _noticed(self, spec: GivenSpec, loc: Loc) -> Iterator[Noticed]:
        assert spec.gateway is not None
        known = GATEWAY_KINDS[spec.gateway]
        if spec.profile is not None and "profile" not in known:
            self.problem(self._document.where_key((*loc, "profile")), f"{spec.gateway} has no field 'profile'")
        for name in spec.others:
            if name not in known:
                hint = did_you_mean(name, [*known, *key_names(GivenSpec)]) or f"; known: {', '.join(known) or 'none'}"
                self.problem(self._document.where_key((*loc, name)), f"{spec.gateway} has no field {name!r}{hint}")
        if (spec.gateway in _OF_DEVICES) != bool(spec.device):
            needs = "needs a device" if spec.gateway in _OF_DEVICES else "is of the gateway; leave out device"
            self.problem(self._document.where((*loc, "gateway")), f"gateway: {spec.gateway} {needs}")
        for device in spec.device or ("",):
            profile = {} if spec.profile is None else {"profile": spec.profile}
            yield Noticed(spec.gateway, device, {**profile, **spec.others, **spec.fields})

    def _check_downtime(self, entries: Sequence[Entry]) -> None:
        down = [
            (round(one.spec.at * _NS), round((one.spec.at + one.action.spec.after) * _NS))
            for one in entries
            if isinstance(one.action, Restarted)
        ]
        for entry in entries:
            at_ns = round(entry.spec.at * _NS)
            for begin_ns, end_ns in down:
                if begin_ns < at_ns < end_ns and entry.spec.every is None and not isinstance(entry.action, Recorded):
                    text = f"at: the gateway is down from {when(begin_ns)} to {when(end_ns)}"
                    self.problem(entry.where, text)

    # -- expect -------------------------------------------------------------------------------------------------------

    def _expectations(self, specs: Sequence[ExpectSpec], loc: Loc) -> tuple[Expectation, ...]:
        for number, spec in enumerate(specs):
            self._check_expectation(spec, (*loc, number))
        return tuple(Expectation(spec, self._document.where((*loc, number))) for number, spec in enumerate(specs))

    def _check_expectation(self, spec: ExpectSpec, loc: Loc) -> None:
        rule = None if spec.rule is None else self._by_id.get(spec.rule)
        if spec.rule is not None and rule is None:
            hint = did_you_mean(spec.rule, self._by_id) or f"; known: {', '.join(list(self._by_id)[:12]) or 'none'}"
            text = f"rule: no rule {spec.rule!r} is tested here{hint}"
            self.problem(self._document.where((*loc, "rule")), text)
            return
        rules = tuple(self._by_id.values()) if rule is None else (rule,)
        if spec.kind is not None and not any(_does(one, spec.kind) for one in rules):
            key = "resolved" if spec.resolved and spec.alert is None else spec.kind
            who = f"rule {rule.id!r} has" if rule is not None else "the rules that are tested here have"
            self.problem(self._document.where_key((*loc, key)), f"{key}: {who} no such action")
        elif spec.emit is not None and spec.emit not in (types := [one.type for rule in rules for one in rule.emits]):
            hint = did_you_mean(spec.emit, types) or f"; known: {', '.join(types[:12])}"
            self.problem(self._document.where((*loc, "emit")), f"emit: nobody makes events of type {spec.emit!r}{hint}")

    def _check_end(
        self, spec: TestSpec, until_ns: int, entries: Sequence[Entry], expected: Sequence[Expectation]
    ) -> None:
        if spec.until is None:
            return
        late = [entry.where for entry in entries if round(entry.spec.at * _NS) > until_ns]
        late += [one.where for one in expected if one.about_s is not None and round(one.about_s * _NS) > until_ns]
        for where in late:
            self.problem(where, f"it is after the end of the test: until {when(until_ns)}")


def _does(rule: Rule, kind: str) -> bool:
    """Whether a rule can do such a thing."""
    kinds = _DOES.get(kind, (kind,))
    return (kind == "emit" and bool(rule.emits)) or any(action.kind in kinds for action in rule.actions)


def _wrote(spec: GivenSpec, key: str) -> bool:
    return key.replace("json", "json_") in spec.model_fields_set


def _payload(spec: GivenSpec) -> bytes:
    if spec.payload is not None:
        return spec.payload.encode()
    if spec.hex is not None:
        return bytes.fromhex(spec.hex)
    if spec.base64 is not None:
        return base64.b64decode(spec.base64, validate=True)
    return msgspec.json.encode(spec.json_)


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * _NS)
