"""One story per key of the language of rules: what comes of a rule with the key, and of the same rule otherwise.

Each file of ``rules/keys/`` is about one section, as ``rules/README.md`` names it; an entry of it about one key:

- ``file``: a file of rules, or ``rule``: the one rule of it, named r where it has no id;
- ``at``: where the key stands, or what is nothing without it, ``do.0.alert.text``; of a rule from the rule on;
- ``instead``: the value that the other rule has there; without it the other rule lacks the key;
- ``given`` (and ``start``, ``until``) as in a test of rules;
- ``with`` and ``without``: all that comes of the one and of the other, in lines (see `lines_of`);
- ``look``: where else the key shows, of what happens it does not: ``contract``, ``list``, ``templates``, ``tests``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import msgspec

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Event, Lane, Stamp
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.effects import AlertChange, Decided, Derived, DeviceCommand, Effect, LocalPublish, LogLine, Notice
from fieldgate_rules.engine import Engine
from fieldgate_rules.reading import read_rules
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester.engines import make_engine
from fieldgate_rules.tester.messages import Messages
from fieldgate_rules.tester.outcome import when
from fieldgate_rules.tester.plan import plan_tests
from fieldgate_rules.tester.run import GATEWAY, Run
from fieldgate_rules.tester.session import read_tests, run_tests
from fieldgate_rules.tester.timeline import Timeline
from rules_tables import plain

__all__ = ["ENTRIES", "FOLDER", "Entry", "outcome_of"]

FOLDER: Final = Path(__file__).parent / "rules" / "keys"
PATH: Final = "r.yaml"
_LANES: Final = tuple(Lane(number).name.lower() for number in range(len(Lane)))
_LOOKS: Final = ("contract", "list", "templates", "tests")


def _catalogue() -> Catalogue:
    files = {path.name: path.read_bytes() for path in sorted((FOLDER / "devices.d").glob("*.yaml"))}
    catalogue, read = read_catalogue({}, files)
    assert not [problem for one in read for problem in one.problems]
    return catalogue


CATALOGUE: Final = _catalogue()


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry of the table says; ``section`` is the name of its file, ``document`` a file with the key in it."""

    section: str
    key: str
    number: int
    document: Mapping[str, Any]
    place: tuple[str | int, ...]
    instead: Any
    story: Mapping[str, Any]
    look: str
    with_key: Sequence[str]
    without: Sequence[str]

    @property
    def label(self) -> str:
        """For the names of tests."""
        return f"{self.section}.{self.key}" + (f"-{self.number}" if self.number else "")

    @property
    def named(self) -> set[str]:
        """The keys that it is about: the last of its place, and those that the value has there."""
        value: Any = self.document
        for step in self.place:
            value = value[step]
        return {str(self.place[-1]), *(value if isinstance(value, dict) else ())}

    def other(self) -> dict[str, Any]:
        """The file without the key, or with the other value."""
        document = copy.deepcopy(dict(self.document))
        *around, last = self.place
        holder: Any = document
        for step in around:
            holder = holder[step]
        if self.instead is None:
            del holder[last]
        else:
            holder[last] = self.instead
        return document


def _entries() -> Iterator[Entry]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for key, written in plain(path).items():
            several = written if isinstance(written, list) else [written]
            for number, one in enumerate(several):
                yield _entry(path.stem, key, number, one)


def _entry(section: str, key: str, number: int, written: Mapping[str, Any]) -> Entry:
    unknown = set(written) - {"file", "rule", "at", "instead", "given", "start", "until", "with", "without", "look"}
    assert not unknown, f"{section}.{key}: {unknown}"
    steps = tuple(int(step) if step.isdecimal() else step for step in str(written["at"]).split("."))
    if "rule" in written:
        document: dict[str, Any] = {"rules": [{"id": "r", **written["rule"]}]}
        steps = ("rules", 0, *steps)
    else:
        document = written["file"]
    look = written.get("look", "")
    assert look in ("", *_LOOKS), f"{section}.{key}: {look}"
    story = {name: written[name] for name in ("given", "start", "until") if name in written}
    lines = [[str(line) for line in written.get(name) or []] for name in ("with", "without")]
    return Entry(section, key, number, document, steps, written.get("instead"), story, look, *lines)


# -- what comes of a file -------------------------------------------------------------------------------------------


def outcome_of(document: Mapping[str, Any], story: Mapping[str, Any], look: str = "") -> list[str]:
    """What comes of a file of rules in a story, or where the look goes; of a file that is refused, why."""
    tests = [*document.get("tests", ())]
    if not look:
        tests = [{"name": "story", "expect_none": True, **story}]
    content = json.dumps({**document, **({"tests": tests} if tests else {})}, ensure_ascii=False).encode()
    read = read_rules({PATH: content}, CATALOGUE)
    refused = [problem.message.partition(" (used in")[0] for problem in read.problems if not problem.is_warning]
    if refused:
        return [f"refused: {message}" for message in refused]
    match look:
        case "contract":
            return list(_contracts(read.rules))
        case "list":
            return [f"{rule.id}: {rule.spec.description}" for rule in read.rules.rules]
        case "templates":
            facts = [(name, one.parameters) for name, one in read.templates.items()]
            return [f"{name}.{key}: {one.description}" for name, some in facts for key, one in some.items()]
        case "tests":
            tested = run_tests(
                read_tests(PATH, content, read.rules), read.rules, CATALOGUE, make=make_engine, recordings=str
            )
            return [f"{one.name}: {'passed' if not one.failures else 'failed'}" for one in tested.results]
        case _:
            return _Story(read.rules, content).lines


def _contracts(rules: RuleSet) -> Iterator[str]:
    for kind in rules.kinds.values():
        for name, spec in kind.fields.items():
            yield f"{kind.type}.{name}: {spec.type}" + (f" in {spec.unit}" if spec.unit else "")


class _Watched(Engine):
    """An engine whose answers somebody takes note of."""

    def __init__(self, rules: RuleSet, gateway: str, stamp: Stamp, os_boot: str, story: _Story) -> None:
        super().__init__(rules, gateway=gateway, stamp=stamp, os_boot=os_boot)
        self._story = story

    def feed(self, events: Sequence[Event], stamp: Stamp) -> Decided | None:
        decided = super().feed(events, stamp)
        self._story.note(decided, events)
        return decided

    def notice(self, notice: Notice, stamp: Stamp) -> Decided | None:
        decided = super().notice(notice, stamp)
        if notice.kind != "started":  # that is a part of the answer to `start`
            self._story.note(decided)
        return decided

    def start(self, stamp: Stamp) -> Decided | None:
        decided = super().start(stamp)
        self._story.note(decided)
        return decided

    def tick(self, stamp: Stamp) -> Decided | None:
        decided = super().tick(stamp)
        self._story.note(decided)
        return decided


class _Story:
    """A gateway with these rules, while what the file's one test gives happens to it."""

    def __init__(self, rules: RuleSet, content: bytes) -> None:
        self.lines: list[str] = []
        self._run: Run | None = None
        file = read_tests(PATH, content, rules)
        (plan,), problems = plan_tests(
            file.tests, file.document, rules=rules, own=file.own, catalogue=CATALOGUE, recordings=str
        )
        assert not [one for one in problems if not one.is_warning], problems
        timeline = Timeline(plan.entries, Messages(CATALOGUE))
        run = self._run = Run(rules, plan.start_ns, lambda *made_of: _Watched(*made_of, self))
        for at_ns, some in groupby(timeline, key=lambda one: one.at_ns):
            if at_ns >= run.clock.at_ns:  # else the gateway is down
                run.advance(at_ns)
                run.happen(list(some))
        run.advance(max(plan.until_ns, run.clock.at_ns))
        assert not run.engine.errors, run.engine.errors

    def note(self, decided: Decided | None, events: Sequence[Event] = ()) -> None:
        """Write down what was answered, with its time."""
        at = when(0 if self._run is None else self._run.clock.at_ns)
        self.lines += [f"{at} {line}" for line in lines_of(decided, events)]


# -- in lines ---------------------------------------------------------------------------------------------------------


def lines_of(decided: Decided | None, events: Sequence[Event] = ()) -> Iterator[str]:
    """All that an answer says, each thing in a line: for whom, what, and what is unusual about it."""
    if decided is None:
        return
    after = dict(zip(decided.causes, decided.events, strict=True))
    for place, before in enumerate(events):
        yield from (f"{before.address.device}: event {said}" for said in _altered(before, after.get(place)))
    yield from (f"{effect.group or '(all)'}: {_effect(effect)}" for effect in decided.effects)
    for derived in decided.derived:
        said = _derived(derived)
        if said:
            yield f"{derived.event.address.device}: {said}"


def _altered(before: Event, after: Event | None) -> Iterator[str]:
    if after is None:
        yield "dropped"
        return
    if after.data != before.data:
        old, new = msgspec.json.decode(before.data), msgspec.json.decode(after.data)
        yield f"set {_json({name: one for name, one in new.items() if old.get(name) != one})}"
    if after.lane != before.lane:
        yield f"lane {_LANES[after.lane]}"
    if after.extra is not None and after.extra.uplinks is not None:
        yield f"to {', '.join(after.extra.uplinks)} only"


def _effect(effect: Effect) -> str:
    match effect:
        case AlertChange():
            key = "" if effect.key in (effect.group, GATEWAY) else f" key {effect.key}"
            fields = f" {_json(effect.fields)}" if effect.fields else ""
            reason = f" ({effect.reason})" if effect.reason else ""
            return f"{effect.severity} {effect.state} '{effect.text}'{key}{fields}{reason}"
        case DeviceCommand():
            return f"tell {effect.device} {effect.name} {_json(effect.arguments)}"
        case LocalPublish():
            return f"publish {_message(effect.topic, effect.payload, effect.qos, effect.retain)}"
        case LogLine():
            return f"log {effect.level} '{effect.text}'"


def _derived(derived: Derived) -> str:
    """What an event that a rule made says; of an alert's own event only what the alert's line does not."""
    event, extra = derived.event, derived.event.extra
    if event.address.type == "alert":
        return f"told {', '.join(extra.notify)}" if extra is not None and extra.notify else ""
    lane = "" if event.lane == Lane.NORMAL else f" {_LANES[event.lane]}"
    if extra is not None and extra.publish is not None:
        to, said = ", ".join(extra.uplinks or ()), extra.publish
        return f"publish to {to}{lane} {_message(said.topic, event.data, said.qos, said.retain)}"
    version = "" if event.address.version == 1 else f" version {event.address.version}"
    return f"emit {event.address.type}{version}{lane} {event.data.decode()}"


def _message(topic: str, payload: bytes, qos: int, retain: bool) -> str:
    return f"{topic} '{payload.decode()}'" + (f" qos {qos}" if qos else "") + (" retained" if retain else "")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


ENTRIES: Final = tuple(_entries())
