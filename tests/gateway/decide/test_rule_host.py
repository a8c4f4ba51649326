"""The engine with what comes in: when it is asked, when its caller is told, and what of a failure."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fieldgate.decide.actuator import Actuator
from fieldgate.decide.rule_host import RuleHost
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate_devices.event import Address, Event, Stamp
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.effects import Derived, Notice
from fieldgate_rules.engine import Engine
from fieldgate_rules.reading import read_rules
from fieldgate_rules.rule import RuleSet

ALERT = """
rules:
  - {id: hot, on: {device: b1}, when: "temperature > 80", do: [{alert: {text: hot}}]}
  - {id: slow, on: {device: b2}, when: "temperature > 80", for: 10s, do: [{alert: {text: slow}}]}
  - {id: offline, on: {gateway: uplink_down}, do: [{alert: {text: "{uplink}"}}]}
"""


def read(text: str) -> RuleSet:
    found = read_rules({"r.yaml": text.encode()}, read_catalogue({}, {})[0])
    assert found.is_valid, found.problems
    return found.rules


def stamp(at_s: float) -> Stamp:
    return Stamp(1, int((1_800_000_000 + at_s) * 1e9), int(at_s * 1e9))


def event(device: str, temperature: float, at_s: float = 1.0) -> Event:
    return Event(Address(device, "generic", f"t/{device}"), stamp(at_s), b'{"temperature": %f}' % temperature, True, 0)


def make_engine(rules: RuleSet, now: Stamp) -> Engine:
    return Engine(rules, gateway="g", stamp=now, os_boot="boot")


class World:
    def __init__(self, rules: RuleSet, *, has_engine: bool = True) -> None:
        self.made: list[Derived] = []
        self.calls = 0
        self.lines: list[str] = []
        engine = make_engine(rules, stamp(0)) if has_engine else None
        actuator = Actuator(
            None,  # type: ignore[arg-type]  # no rule here gives a command
            LocalBroker(),
            gateway="g",
            say=lambda name, /, **facts: self.lines.append(name),
        )
        self.host = RuleHost(engine, actuator, rules=rules, take=self._take, make_engine=make_engine)
        self.host.changed = self._changed
        self.host.begin(stamp(0))
        self.calls = 0

    def _take(self, derived: Sequence[Derived], _: Stamp) -> None:
        self.made += derived

    def _changed(self) -> None:
        self.calls += 1


def test_a_read_that_no_rule_takes_goes_on_as_it_is() -> None:
    """That is nearly every read of nearly every gateway: it must cost next to nothing."""
    world = World(read(ALERT))

    assert world.host.decide([event("other", 99)], stamp(1)) is None
    assert world.calls == 0


def test_without_rules_the_engine_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "feed", None)
    world = World(RuleSet())

    assert world.host.decide([event("b1", 99)], stamp(1)) is None
    world.host.notice([Notice("uplink_down", "g", {"uplink": "u"})], stamp(1))
    assert world.made == []


def test_without_rules_there_is_no_engine_and_nothing_to_do() -> None:
    """Most gateways have no rules, and 4 MB more for other things."""
    world = World(RuleSet(), has_engine=False)
    host = world.host

    host.use(RuleSet(), stamp(1))
    host.tick(stamp(2))
    assert host.decide([event("b1", 99)], stamp(3)) is None
    host.notice([Notice("uplink_down", "g", {"uplink": "u"})], stamp(3))

    assert (host.resolve("hot", None, stamp(4)), host.new_failures(), host.alerts()) == (0, {}, [])
    assert (host.due_s, host.urgent, host.changes(10, is_all=True), host.everything()) == (None, 0, {}, {})
    host.end(stamp(5))
    host.use(read(ALERT), stamp(6))
    assert host.engine is None, "after the end none comes any more"


@pytest.mark.parametrize("has_engine", [True, False])
def test_rules_that_come_later_are_asked(has_engine: bool) -> None:
    """The first rule of a gateway that runs, and its last."""
    world = World(RuleSet(), has_engine=has_engine)

    world.host.use(read(ALERT), stamp(1))
    decided = world.host.decide([event("b1", 99)], stamp(2))
    world.host.use(RuleSet(), stamp(3))

    assert decided is not None
    assert [one.event.address.type for one in decided.derived] == ["alert"]
    assert world.host.decide([event("b1", 99)], stamp(4)) is None


def test_a_timer_that_begins_calls_whoever_sleeps_and_fires_without_an_event() -> None:
    """Whoever sleeps until a later time would else be late."""
    world = World(read(ALERT))
    host = world.host

    host.decide([event("b2", 99)], stamp(1))

    assert host.due_s == pytest.approx(11)
    assert world.calls == 1
    host.tick(stamp(10.9))
    assert world.made == []
    host.tick(stamp(11.0))
    assert [(one.event.address.device, one.cause) for one in world.made] == [("b2", None)]


def test_a_timer_of_the_first_rule_of_a_gateway_that_runs_is_kept_and_is_to_be_written() -> None:
    """Its keeper has watched the host since the start, when there was nothing to keep."""
    world = World(RuleSet(), has_engine=False)
    world.host.use(read(ALERT), stamp(1))

    world.host.decide([event("b2", 99)], stamp(1))

    assert world.calls > 0
    assert world.host.due_s == pytest.approx(11)
    assert [key[:2] for key in world.host.changes(10, is_all=False)] == [("slow", "b2")]


def test_what_happens_to_the_gateway_is_told_to_rules() -> None:
    world = World(read(ALERT))

    world.host.notice([Notice("uplink_down", "g", {"uplink": "cloud", "reason": "gone"})], stamp(1))

    assert [one.rule for one in world.made] == ["offline"]
    assert world.host.actuator.counts["alerts"] == 1


def test_alerts_are_ended_by_hand_and_counted() -> None:
    world = World(read(ALERT))
    decided = world.host.decide([event("b1", 99)], stamp(1))
    assert decided is not None

    assert world.host.resolve("hot", "other", stamp(2)) == 0
    assert world.host.resolve("hot", None, stamp(2)) == 1
    assert world.host.engine is not None
    assert world.host.engine.alert_count() == 0


def test_a_rule_that_fails_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 76 of FAULTS.md: a defect that one device's data meets each second must not fill the log."""
    failed = {"hot": "ZeroDivisionError"}
    monkeypatch.setattr(Engine, "errors", property(lambda _: failed))
    world = World(read(ALERT))

    told = [world.host.new_failures(), world.host.new_failures()]
    failed |= {"hot": "OverflowError", "slow": "OverflowError"}
    told.append(world.host.new_failures())

    assert told == [{"hot": "ZeroDivisionError"}, {}, {"hot": "OverflowError", "slow": "OverflowError"}]


ALTERED = """
rules:
  - {id: seen, on: {device: b1}, when: "temperature > 80", do: [{emit: {type: peak, fields: {peak: temperature}}}]}
  - {id: mend, on: {device: b1}, do: [{lane: low}, {set: {place: hall}}]}
  - {id: peaks, on: {profile: peak}, do: [{lane: high}]}
"""


def test_a_decision_is_found_by_the_id_of_an_event_that_rules_have_altered() -> None:
    """The copy that goes on is what the outbox numbers; ``rules explain --event`` is asked with that number."""
    world = World(read(ALTERED))
    decided = world.host.decide([event("b1", 70), event("b1", 99)], stamp(1))
    assert decided is not None
    taken = [*decided.events, *(one.event for one in decided.derived)]
    for number, one in enumerate(taken, start=7):
        one.seq = number

    world.host.done(decided, stamp(1))

    engine = world.host.engine
    assert engine is not None
    numbers = {
        rule: [one.event and one.event.seq for one in engine.decisions(rule)] for rule in ("seen", "mend", "peaks")
    }
    assert numbers == {"seen": [7, 8], "mend": [7, 8], "peaks": [9]}


def test_after_the_end_nothing_happens_and_nothing_changes() -> None:
    """A stop takes a while after the state was written: a timer that fired then would fire again at the next start."""
    world = World(read(ALERT))
    host = world.host
    host.decide([event("b2", 99)], stamp(1))
    host.end(stamp(2))
    host.everything()  # written, all of it

    host.tick(stamp(20))
    host.notice([Notice("uplink_down", "g", {"uplink": "cloud", "reason": "gone"})], stamp(20))
    host.use(RuleSet(), stamp(20))

    assert host.decide([event("b1", 99)], stamp(20)) is None
    assert host.resolve("slow", None, stamp(20)) == 0
    assert world.made == []
    assert host.changes(100, is_all=True) == {}
