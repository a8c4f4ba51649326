"""What becomes of a read in which rules did something: settled when, stored with what, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from dead_letter_kit import Device
from fieldgate.forward.uplink import Shipment
from fieldgate.ingest.causes import Causes
from fieldgate.ingest.decode import Odd
from fieldgate.ingest.source import Received
from fieldgate.journal.dead_letter_keeper import DeadLetters
from fieldgate.journal.outbox import Outbox, WriteJob
from fieldgate.journal.uplink_state import Route
from fieldgate.odd_reads import OddReads
from fieldgate_devices.event import Address, Event, Extra, Lane, Stamp, Trace
from fieldgate_rules.effects import Decided, Derived

STAMP = Stamp(0xABC, 0, 1_000_000_000)
RECEIVED = [Received(f"t/{n}", b"{}", 0, 10) for n in range(4)]


def event(name: str, lane: Lane = Lane.NORMAL) -> Event:
    return Event(Address(name, "boiler", f"t/{name}"), STAMP, b"{}", True, 0, lane)


class World:
    """An outbox whose uplink and disk do nothing by themselves."""

    def __init__(self, *, is_relay: bool = True) -> None:
        self.outbox = Outbox(
            [Route("up")], gateway="g", is_relay=is_relay, hold_s=0.2, commit_delay_s=0.05, next_seq=1,
            stored_to=[0, 0, 0], states={}, attention=lambda: None, now_stamp=lambda: STAMP,
        )  # fmt: skip
        self.reads = OddReads(self.outbox, cast("DeadLetters", None))  # nothing here is one
        self.device = Device()
        self.flying: list[Shipment] = []

    def take(self, events: Sequence[Event], decided: Decided, odd: Odd | None = None) -> None:
        self.reads.take(events, odd, RECEIVED, self.device, 100, stamp=STAMP, decided=decided)

    def write(self) -> WriteJob:
        job = self.outbox.begin_write(9.0, everything=True)
        self.outbox.written(job)
        self.outbox.begin_turn()
        return job

    def deliver(self, *seqs: int) -> None:
        """The uplink has acknowledged these."""
        feed = self.outbox.feeds["up"]
        feed.is_down(False)
        self.flying += feed.take(100)
        for shipment in self.flying:
            for place in range(shipment.start, shipment.stop):
                if shipment.events[place].seq in seqs:
                    feed.delivered(shipment.batch, place, place + 1)
        self.outbox.begin_turn()


# -- settling ---------------------------------------------------------------------------------------------------------


def test_a_device_is_acknowledged_when_what_came_of_its_event_is_safe_too() -> None:
    """P1 for alarms: whoever heard the PUBACK never sends the cause again, so nothing would raise the alarm again."""
    world = World()
    cause, alarm = event("b1"), event("b1", Lane.HIGH)

    world.take([cause], Decided([cause], [0], [Derived(alarm, 0, "hot")]))
    world.deliver(cause.seq)
    when_the_cause_is_safe = list(world.device.told)
    world.write()

    assert when_the_cause_is_safe == []
    assert world.device.told == [100]


def test_an_event_that_a_rule_dropped_waits_for_what_was_made_of_it() -> None:
    world = World()
    cause, mean = event("b1"), event("b1")

    world.take([cause], Decided([], [], [Derived(mean, 0, "mean")]))
    before = list(world.device.told)
    world.write()

    assert before == []
    assert world.device.told == [100]
    assert (mean.seq, mean.extra) == (1, None), "the cause has no number that could be named"


def test_an_event_of_which_nothing_is_left_is_settled_at_once() -> None:
    """Else a device whose messages are all absorbed by a window would stop at its receive maximum."""
    world = World()
    events = [event("b1"), event("b2"), event("b3")]

    world.take(events, Decided([events[1]], [1]))
    world.outbox.begin_turn()

    assert sorted(world.device.told) == [100, 102]
    assert world.device.flushes == 1
    world.write()
    assert sorted(world.device.told) == [100, 101, 102]


def test_a_message_of_several_events_waits_for_those_that_are_left() -> None:
    """One message gave three events: one is dropped, one goes on, of the third an alarm is left."""
    world = World(is_relay=False)
    events = [event("a"), event("b"), event("c"), event("d")]
    odd = Odd(causes=[0, 0, 0, 1])
    alarm = event("c", Lane.HIGH)

    world.take(events, Decided([events[1]], [1], [Derived(alarm, 2, "hot")]), odd)
    at_once = list(world.device.told)
    world.write()

    assert at_once == [101]
    assert world.device.told == [101, 100]


def test_nobody_waits_for_what_comes_of_time() -> None:
    """A timer that is due at the same moment has no message to hold back."""
    world = World()
    cause, late = event("b1"), event("b9", Lane.HIGH)

    world.take([cause], Decided([cause], [0], [Derived(late, None, "silence")]))
    world.deliver(cause.seq)

    assert world.device.told == [100]
    assert late.extra is None
    world.write()


def _two_alarms_of_a_dropped_event() -> tuple[list[int], list[int]]:
    """Return what the device was told when one of them was safe, and when both were."""
    world = World()
    cause, alarm, line = event("b1"), event("b1", Lane.HIGH), event("b1", Lane.LOW)
    world.take([cause], Decided([], [], [Derived(line, 0, "log"), Derived(alarm, 0, "hot")]))
    world.deliver(alarm.seq)
    after_one = list(world.device.told)
    world.deliver(line.seq)
    return after_one, world.device.told


def test_the_first_alarm_that_is_safe_is_not_enough() -> None:
    assert _two_alarms_of_a_dropped_event() == ([], [100])


def test_settling_with_the_first_alarm_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: nobody counts what was made of a message."""

    def careless(self: Causes, first: int, count: int) -> None:
        for cause in self._causes[first : first + count]:
            if cause is not None and self._waiting.pop(cause, 0):
                self._settler.settled(self._first + cause, 1)

    monkeypatch.setattr(Causes, "settled", careless)

    assert _two_alarms_of_a_dropped_event() == ([100], [100])


# -- together on disk -------------------------------------------------------------------------------------------------


def test_causes_and_what_came_of_them_are_one_commit_whatever_the_lanes() -> None:
    """Both or neither after kill -9 (DESIGN.md section 3)."""
    world = World()
    causes = [event("a", Lane.LOW), event("b")]
    made = [event("a", Lane.HIGH), event("b", Lane.LOW)]
    derived = [Derived(made[0], 0, "x"), Derived(made[1], 1, "y")]

    world.take(causes, Decided(causes, [0, 1], derived))

    bound = [batch.is_bound for lane in world.outbox.lanes for batch in lane]
    assert sorted(bound) == [False, True, True, True]
    assert world.write().count == 4


def test_a_read_without_anything_made_of_it_is_bound_to_nothing() -> None:
    world = World()
    causes = [event("a", Lane.LOW), event("b")]

    world.take(causes, Decided(causes, [0, 1]))

    assert [batch.is_bound for lane in world.outbox.lanes for batch in lane] == [False, False]


# -- order and names --------------------------------------------------------------------------------------------------


def test_causes_come_before_what_came_of_them_and_are_named_in_it() -> None:
    """Whoever reads the alarm upstream can look up what raised it; in each lane it comes later."""
    world = World()
    causes = [event("a"), event("b")]
    alarm, mean = event("b", Lane.HIGH), event("a")
    mean.extra = Extra(uplinks=("cloud",))

    world.take(causes, Decided(causes, [0, 1], [Derived(mean, 0, "mean"), Derived(alarm, 1, "hot")]))

    assert [one.seq for one in (*causes, alarm, mean)] == [1, 2, 3, 4]
    assert alarm.extra == Extra(cause="0000000000000abc-2")
    assert mean.extra == Extra(cause="0000000000000abc-1", uplinks=("cloud",))


def test_a_read_that_was_only_altered_is_taken_as_any_other() -> None:
    """A rule that sets a field of each event costs no book-keeping per event."""
    world = World()
    events, altered = [event("a"), event("b")], [event("a"), event("b")]

    world.take(events, Decided(altered, [0, 1]))

    (batch,) = world.outbox.lanes[Lane.NORMAL]
    assert batch.settler is world.device
    assert (batch.positions, batch.events) == (100, altered)


def test_what_is_made_of_no_message_is_taken_lane_by_lane_in_order() -> None:
    world = World()
    made = [event("a", Lane.LOW), event("b", Lane.HIGH), event("c", Lane.LOW)]

    world.reads.take_made([Derived(one, None, "r") for one in made], STAMP)

    assert [one.seq for one in made] == [2, 1, 3]
    assert world.write().count == 3


def test_what_a_rule_sends_elsewhere_is_wanted_there_only() -> None:
    """Without the outbox being told, an event for one uplink would go to all of them."""
    world = World()
    cause, alarm = event("b1"), event("b1", Lane.HIGH)
    alarm.extra = Extra(uplinks=("elsewhere",))

    world.take([cause], Decided([cause], [0], [Derived(alarm, 0, "hot")]))
    world.reads.take_made([Derived(event("b2"), None, "r")], STAMP)

    feed = world.outbox.feeds["up"]
    assert [batch.count_wanted_by(feed.bit_number) for lane in world.outbox.lanes for batch in lane] == [0, 1, 1]


# -- traces -----------------------------------------------------------------------------------------------------------


def test_what_rules_make_is_in_the_trace_of_its_cause_with_a_parent_of_its_own() -> None:
    """Of one that was dropped, too; what is made of an event without a trace, or of time, is in none."""
    world = World()
    traced, dropped, plain = event("b1"), event("b2"), event("b3")
    traced.extra = Extra(trace=Trace(f"00-{'a' * 32}-{'1' * 16}-01", "rojo=1"))
    dropped.extra = Extra(trace=Trace(f"00-{'b' * 32}-{'2' * 16}-00", span="3" * 16))
    made = [event(f"m{number}") for number in range(5)]
    made[0].extra = Extra(notify=("pager",))
    of = [0, 0, 1, 2, None]

    derived = [Derived(one, cause, "r") for one, cause in zip(made, of, strict=True)]
    world.take([traced, dropped, plain], Decided([traced, plain], [0, 2], derived))

    traces = [None if one.extra is None else one.extra.trace for one in made]
    assert traces[3:] == [None, None]
    first, second, third = (one for one in traces if one is not None)
    assert [one.parent[:36] for one in (first, second, third)] == [f"00-{'a' * 32}-"] * 2 + [f"00-{'b' * 32}-"]
    assert len({one.parent[36:52] for one in (first, second, third)} | {"1" * 16, "2" * 16}) == 5
    assert [one.parent[-2:] for one in (first, second, third)] == ["01", "01", "00"]
    assert (first.state, first.span, third.span) == ("rojo=1", "", third.parent[36:52])
    assert made[0].extra is not None
    assert (made[0].extra.notify, made[0].extra.cause) == (("pager",), f"{STAMP.run:016x}-{traced.seq}")
