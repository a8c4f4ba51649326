"""What the engine is given in a test, and when: by an engine that writes it all down.

That rules do the right thing with it is shown with the real one; here it is the clock, the order, and what is saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from fieldgate_devices.event import Address, Event, Extra, Stamp, TimeQuality
from fieldgate_rules.effects import AlertChange, Cause, Decided, Notice
from fieldgate_rules.model.tests import ClockSpec, RestartSpec
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester.messages import Said
from fieldgate_rules.tester.run import Run
from fieldgate_rules.tester.timeline import Action, Happening, Noticed, Restarted, Spoken, Stepped

S = 10**9
START_NS = 1_767_225_600 * S
SAID = Said(Address("b1", "boiler", "test/b1"), b"{}")


class Recorder:
    """An engine that writes down what it is given. ``due`` are boot times at which it wants a tick."""

    def __init__(self, log: list[str], stamp: Stamp, os_boot: str, due: list[float]) -> None:
        self.log = log
        self.due = due
        self.urgent = 0
        self.errors: dict[str, str] = {}
        self.restored: Mapping[object, bytes | None] = {}
        self.answer: Decided | None = None
        self._say(f"made {os_boot[-1]}", stamp)

    def _say(self, what: str, stamp: Stamp) -> None:
        wall = "?" if stamp.quality == TimeQuality.UNSYNCED else f"{(stamp.wall_ns - START_NS) / S:g}"
        self.log.append(f"{what} run={stamp.run} boot={stamp.boot_ns / S:g} wall={wall}")

    @property
    def due_s(self) -> float | None:
        return self.due[0] if self.due else None

    def start(self, stamp: Stamp) -> Decided | None:
        self._say("start", stamp)
        return self.answer

    def feed(self, events: Sequence[Event], stamp: Stamp) -> Decided | None:
        assert all(event.stamp == stamp for event in events)
        self._say(f"feed {len(events)}", stamp)
        self.events = list(events)
        return None

    def notice(self, notice: Notice, stamp: Stamp) -> Decided | None:
        self._say(f"notice {notice.kind} {notice.device} {dict(notice.fields)}", stamp)
        return None

    def tick(self, stamp: Stamp) -> Decided | None:
        assert stamp.boot_ns / S >= self.due.pop(0)
        self._say("tick", stamp)
        return None

    def changes(self, *, is_all: bool) -> Mapping[tuple[str, str, str], bytes | None]:
        self.log.append(f"saved {'all' if is_all else 'urgent'}")
        self.urgent = 0
        return {("r", "b1", "all" if is_all else "urgent"): str(len(self.log)).encode()}

    def restore(self, rows: Mapping[tuple[str, str, str], bytes | None], *, was_stopped: bool) -> None:
        self.log.append(f"restored {sorted(kind for _, _, kind in rows)} {'stopped' if was_stopped else 'killed'}")


def run_of(log: list[str], *due: float, start_ns: int | None = START_NS, is_killed: bool = False) -> Run:
    wanted = [list(due)]

    def make(rules: RuleSet, gateway: str, stamp: Stamp, os_boot: str) -> Recorder:
        return Recorder(log, stamp, os_boot, wanted.pop() if wanted else [])

    run = Run(RuleSet(), start_ns, make, is_killed=is_killed)
    log.clear()
    return run


def happen(run: Run, at_s: float, *actions: Action) -> None:
    at_ns = round(at_s * S)
    run.advance(at_ns)
    run.happen([Happening(at_ns, action) for action in actions])


def test_a_timer_is_due_at_its_own_moment_and_before_what_comes_then():
    """A tick that came with the next event would be late; an event of the same moment must not come before it."""
    log: list[str] = []
    run = run_of(log, 1030.0, 1031.5)

    happen(run, 31.5, Spoken((SAID,)))

    assert log == [
        "tick run=1 boot=1030 wall=30",
        "tick run=1 boot=1031.5 wall=31.5",
        "feed 1 run=1 boot=1031.5 wall=31.5",
    ]


def test_no_due_time_is_rounded_into_the_past():
    """0.1 s is no whole number of ns as a float; a tick a ns early would be asked for again without an end."""
    log: list[str] = []
    run = run_of(log, 1000 + 0.1, 1000 + 1 / 3, 1000 + 2 / 3)

    run.advance(S)

    assert len(log) == 3


def test_what_comes_at_one_moment_is_one_read():
    """As a listener gives it to the rules; what stands between keeps its place."""
    log: list[str] = []
    run = run_of(log)

    happen(run, 1, Spoken((SAID, SAID)), Spoken((SAID,)), Noticed("uplink_down", "", {"uplink": "c"}), Spoken((SAID,)))

    assert log == [
        "feed 3 run=1 boot=1001 wall=1",
        "notice uplink_down test-gateway {'uplink': 'c'} run=1 boot=1001 wall=1",
        "feed 1 run=1 boot=1001 wall=1",
    ]


def test_events_bear_the_devices_time_and_that_they_are_replayed():
    log: list[str] = []
    run = run_of(log)
    engine = run.engine
    assert isinstance(engine, Recorder)

    happen(run, 100, Spoken((SAID,), late_ns=90 * S), Spoken((SAID,), is_replayed=True), Spoken((SAID,)))

    assert [event.extra for event in engine.events] == [Extra(START_NS + 10 * S), Extra(is_replayed=True), None]


def test_the_clock_can_step_be_unknown_and_become_known():
    """P6: boot time goes on whatever the wall clock does; the gateway notices when it becomes known."""
    log: list[str] = []
    run = run_of(log)

    happen(run, 1, Stepped(ClockSpec.model_validate({"step": "1h"})), Spoken((SAID,)))
    happen(run, 2, Stepped(ClockSpec(unset=True)), Spoken((SAID,)))
    happen(run, 3, Stepped(ClockSpec(set="right")), Spoken((SAID,)))

    assert log == [
        "feed 1 run=1 boot=1001 wall=3601",
        "feed 1 run=1 boot=1002 wall=?",
        "notice time_known test-gateway {'offset_s': -3600.0} run=1 boot=1003 wall=3",
        "feed 1 run=1 boot=1003 wall=3",
    ]


def test_a_clock_that_nobody_has_set_begins_unknown():
    log: list[str] = []
    run = run_of(log, start_ns=None)

    happen(run, 1, Spoken((SAID,)))

    assert log == ["feed 1 run=1 boot=1001 wall=?"]


def test_a_stop_saves_all_and_a_start_finds_it():
    log: list[str] = []
    run = run_of(log)

    happen(run, 10, Restarted(RestartSpec(after=5.0)), Spoken((SAID,)))
    happen(run, 20, Spoken((SAID,)))

    assert log == [
        "saved all",
        "made 1 run=2 boot=1015 wall=15",
        "restored ['all'] stopped",
        "start run=2 boot=1015 wall=15",
        "feed 1 run=2 boot=1020 wall=20",
    ]


def test_another_boot_has_another_boot_time_and_may_not_know_the_time():
    log: list[str] = []
    run = run_of(log)

    happen(run, 10, Restarted(RestartSpec(after=5.0, boot="other", time="unknown")))
    happen(run, 20, Spoken((SAID,)))

    assert log[1:] == [
        "made 2 run=2 boot=20 wall=?",
        "restored ['all'] stopped",
        "start run=2 boot=20 wall=?",
        "feed 1 run=2 boot=25 wall=?",
    ]


def test_a_kill_costs_what_was_not_saved_yet():
    """Urgent rows are on the disk half a second after they changed, the others every 30 s."""
    log: list[str] = []
    run = run_of(log, is_killed=True)
    engine = run.engine
    assert isinstance(engine, Recorder)
    kill = Restarted(RestartSpec(kill=True))

    engine.urgent = 1
    happen(run, 1, Spoken((SAID,)))
    run.advance(round(1.5 * S))
    assert "saved urgent" not in log
    happen(run, 1.6, kill)

    assert log[1:] == [
        "saved urgent",
        "made 1 run=2 boot=1001.6 wall=1.6",
        "restored ['urgent'] killed",
        "start run=2 boot=1001.6 wall=1.6",
    ]
    log.clear()
    happen(run, 31.7, kill)
    assert log[:1] == ["saved all"]
    assert "restored ['all', 'urgent'] killed" in log


def test_a_kill_before_anything_is_saved_finds_nothing():
    log: list[str] = []
    run = run_of(log, is_killed=True)
    engine = run.engine
    assert isinstance(engine, Recorder)

    engine.urgent = 1
    happen(run, 1, Spoken((SAID,)))
    happen(run, 1.4, Restarted(RestartSpec(kill=True)))

    assert "restored [] killed" in log


def test_an_alert_that_is_published_again_at_a_start_is_no_second_alert():
    """The broker of the new process knows nothing of it, the person does."""
    change = AlertChange(
        rule="r", group="b1", cause=Cause("m"), state="raised", key="b1", severity="info", text="hot", fields={},
        since_boot_ns=0, since_wall_ns=None,
    )  # fmt: skip
    made: list[Recorder] = []

    def make(rules: RuleSet, gateway: str, stamp: Stamp, os_boot: str) -> Recorder:
        made.append(Recorder([], stamp, os_boot, []))
        made[-1].answer = Decided(effects=[change])
        return made[-1]

    run = Run(RuleSet(), START_NS, make)
    happen(run, 10, Restarted(RestartSpec()))

    assert len(made) == 2
    assert [one.text for one in run.outcomes] == ['alert info "hot"']


def test_rules_that_stop_the_time_are_found_out():
    """A mistake of ours must end a test, not hang it."""
    log: list[str] = []
    run = run_of(log, *[1001.0] * 20_000)

    with pytest.raises(RuntimeError, match="the same moment again and again"):
        run.advance(2 * S)
