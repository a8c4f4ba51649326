"""The outbox core against a model of the world (`outbox_world`): many random histories, and mutants to be found out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

import fieldgate.journal.gather
from fieldgate.forward.uplink import Shipment
from fieldgate.journal import outbox as outbox_module
from fieldgate.journal import write_queue
from fieldgate.journal.balance import Balance
from fieldgate.journal.extras import ExtraBatch
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.gaps import GapLine, Hole
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.outbox import Outbox, WriteJob
from fieldgate.journal.parking import Parking
from fieldgate.journal.shelf import Shelf
from fieldgate.journal.stream import Stream
from fieldgate.journal.uplink_state import Route, UplinkState, decode_states, encode_states
from fieldgate.journal.write_queue import WriteQueue
from fieldgate_devices.event import LANES, Event
from outbox_world import Chances, World


def is_odd(event: Event) -> bool:
    return event.address.device in {"d0", "d1"}


A, B = Route("a"), Route("b")
LIVE = Route("a", is_live_first=True)
PART = Route("a", is_wanted=is_odd, filter="odd")
OPTIONAL = Route("b", is_required=False)


@dataclass
class Scenario:
    """``phases`` are the uplinks as they are configured one after the other."""

    phases: Sequence[Sequence[Route]]
    chances: Chances = field(default_factory=Chances)
    more: dict[str, Any] = field(default_factory=dict)
    steps: int = 300

    def play(self, seed: int) -> World:
        world = World(self.phases[0], seed=seed, is_relay=bool(seed % 2), chances=self.chances, **self.more)
        world.play(self.steps)
        for routes in self.phases[1:]:
            if world.rng.random() < 0.5:
                world.begin_write(everything=True)
                world.end_write()
            world.crash(routes)
            world.play(self.steps)
        return world.drain()


TIME = {"is_synced": False}
CLOCKS = Chances(learn_time=0.5, forget_time=0.2, reboot=0.5, crash=1)
SCENARIOS = {
    "one uplink": Scenario([[A]]),
    "two uplinks": Scenario([[A, OPTIONAL]]),
    "crashes": Scenario([[A, B]], Chances(crash=3)),
    "a filter": Scenario([[PART, B]]),
    "live first": Scenario([[LIVE, B]]),
    "parked": Scenario([[A, OPTIONAL]], Chances(park=5)),
    "parked, tried again": Scenario([[A, OPTIONAL]], Chances(park=8, retry=5, drop=1)),
    "parked, tried again, live first": Scenario([[LIVE, PART]], Chances(park=8, retry=5, drop=1, evict=1, damage=1)),
    "evicted": Scenario([[PART, B]], Chances(park=2, evict=3)),
    "evicted, live first": Scenario([[LIVE, B]], Chances(park=2, evict=3)),
    "a full journal": Scenario([[PART, B]], Chances(lose_connection=8), {"max_events": 60}),
    "limits": Scenario(
        [[Route("a", max_size_bytes=2_000), Route("b", is_live_first=True, max_age_s=5)]], Chances(limits=3)
    ),
    "damage": Scenario([[A, OPTIONAL]], Chances(damage=2, park=1, evict=1)),
    "damage, filter, live first": Scenario(
        [[PART, Route("b", is_live_first=True)]], Chances(damage=2, park=1, evict=1)
    ),
    "an unset clock": Scenario([[A, OPTIONAL]], CLOCKS, TIME),
    "an unset clock, live first": Scenario([[LIVE, B]], CLOCKS, TIME),
    "history and replay": Scenario(
        [[LIVE, B]], Chances(replay=1, learn_time=0.5, reboot=0.3, crash=1), {"keeps_history": True, **TIME}
    ),
    "nobody, then one": Scenario([[], [A]], steps=150),
    "nobody, then two": Scenario([[], [PART, Route("b", is_live_first=True)]], Chances(evict=2, park=2), steps=150),
    "nobody, full": Scenario([[], [PART, B]], Chances(evict=2, park=2), {"max_events": 60}, steps=150),
    "another uplink": Scenario(
        [[A], [A, Route("b", is_wanted=is_odd, filter="odd")], [Route("b", is_wanted=is_odd, filter="odd")]],
        Chances(evict=2, park=2),
        steps=150,
    ),
    "another uplink, history": Scenario(
        [[A], [A, Route("b", is_wanted=is_odd, filter="odd")]],
        Chances(evict=2, park=2, replay=1),
        {"keeps_history": True},
        steps=150,
    ),
    "another filter": Scenario([[A, B], [PART, B], [A, B]], Chances(park=2), steps=150),
    "from now on": Scenario([[A], [A, Route("b", starts_at_oldest=False)]], Chances(evict=2, park=2), steps=150),
    "away and back": Scenario([[A], [], [A]], steps=150),
    "away and back, an unset clock": Scenario([[A], [], [A, Route("c", is_live_first=True)]], CLOCKS, TIME, steps=150),
    "everything": Scenario(
        [[Route("a", is_wanted=is_odd, filter="odd", max_size_bytes=3_000), Route("b", is_live_first=True),
          Route("c", is_required=False, max_age_s=8)]],
        Chances(park=1, evict=1, damage=0.5, limits=1, learn_time=0.5, forget_time=0.2, reboot=0.3, replay=1),
        {"keeps_history": True, **TIME},
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches leave the memory soon, so that every play also reads from disk; commits are small."""
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", 12_000)
    monkeypatch.setattr(write_queue, "_JOB_EVENTS", 20)


@pytest.mark.parametrize("name", SCENARIOS)
def test_everything_arrives_or_is_accounted_for_and_told_whatever_happens(name: str) -> None:
    """P1, P2, P4 and P6 after each step of many histories: the core of the product."""
    for seed in range(12):
        SCENARIOS[name].play(seed).check_all()


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("memory_bytes", [3_000, 12_000, 50_000])
@pytest.mark.parametrize("name", SCENARIOS)
def test_everything_arrives_or_is_accounted_for_in_thousands_of_histories(
    name: str, memory_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, with other seeds and sizes."""
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", memory_bytes)

    for seed in range(1_000, 1_300):
        SCENARIOS[name].play(seed).check_all()


# -- order ------------------------------------------------------------------------------------------------------------


def _checks_order(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let every `take` check that what it hands out rises per lane; return how often that was looked at."""
    handed: dict[tuple[UplinkFeed, int], int] = {}
    take, put_back = UplinkFeed.take, UplinkFeed.put_back
    checked = 0

    def checked_take(self: UplinkFeed, max_events: int) -> list[Shipment]:
        nonlocal checked
        shipments = take(self, max_events)
        for shipment in shipments:
            for event in shipment.events[shipment.start : shipment.stop]:
                if event.address.type != "gap":
                    assert event.seq > handed.get((self, event.lane), 0), "out of order"
                    handed[self, event.lane] = event.seq
                    checked += 1
        return shipments

    def forgetful_put_back(self: UplinkFeed) -> None:
        for lane in LANES:
            handed.pop((self, lane), None)
        put_back(self)

    monkeypatch.setattr(UplinkFeed, "take", checked_take)
    monkeypatch.setattr(UplinkFeed, "put_back", forgetful_put_back)
    return lambda: checked


STRICT = ["two uplinks", "a filter", "evicted", "a full journal", "damage", "an unset clock"]


def test_each_lane_leaves_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: per lane, what is handed out rises by sequence number until it is put back."""
    checked = _checks_order(monkeypatch)

    for name in STRICT:
        for seed in range(4):
            SCENARIOS[name].play(seed)

    assert checked() > 5_000


def test_high_goes_first_and_the_other_lanes_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm does not wait behind telemetry, and telemetry of two lanes is not sorted by lane."""
    checked = _checks_order(monkeypatch)
    world = World([A], seed=1, is_relay=True, chances=Chances(crash=0, lose_connection=0))
    world.feeds["a"].is_down(False)
    for _ in range(40):
        world.accept()

    shipments = world.feeds["a"].take(1 << 20)
    lanes = [(event.lane, event.seq) for shipment in shipments for event in shipment.events]

    assert checked() == world.device.sent
    alarms = [lane for lane, _ in lanes].count(0)
    assert all(lane == 0 for lane, _ in lanes[:alarms])
    assert [seq for _, seq in lanes[alarms:]] == sorted(seq for _, seq in lanes[alarms:])


# -- mutants ----------------------------------------------------------------------------------------------------------


def is_found_out(*names: str, seeds: int = 30) -> bool:
    """Whether the model notices that something is wrong."""
    for name in names:
        for seed in range(seeds):
            try:
                SCENARIOS[name].play(seed).check_all()
            except AssertionError:
                return True
    return False


def test_a_watermark_instead_of_the_interval_set_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: an acknowledgement out of order counts as everything before it."""

    def watermark(self: Stream, batch: object, start: int, stop: int) -> bool:
        while self.outstanding:
            other, _, end = self.outstanding.popleft()
            if other is batch and isinstance(end, int) and end >= stop:
                return True
        return False

    monkeypatch.setattr(Stream, "delivered", watermark)

    assert is_found_out("two uplinks")


def test_settling_before_the_commit_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what is handed to the disk counts as safe."""
    begin_write = Outbox.begin_write

    def eager(self: Outbox, now_s: float, *, everything: bool = False) -> WriteJob:
        job = begin_write(self, now_s, everything=everything)
        for batch in job.batches:
            for start, stop in batch.runs_wanted():
                self._settle(batch, start, stop)
            batch.is_settled = True
        return job

    monkeypatch.setattr(Outbox, "begin_write", eager)

    assert is_found_out("two uplinks")


def test_an_order_that_a_failed_write_upsets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what could not be written goes to the end of the queue."""
    monkeypatch.setattr(WriteQueue, "put_back", lambda self, job: self._batches.extend(job.batches))

    assert is_found_out("two uplinks")


def test_a_run_that_begins_right_above_what_is_stored_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: numbers that a cursor speaks of are given again (decision 0001)."""
    monkeypatch.setattr("outbox_world.highest_seq", lambda states: 0)

    assert is_found_out("crashes", seeds=150)


def test_counting_what_a_crash_forgets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what is only in memory is saved as routed."""
    monkeypatch.setattr(
        UplinkFeed,
        "snapshot",
        lambda self, *, in_memory, snapshot=UplinkFeed.snapshot: snapshot(self, in_memory=0),
    )

    assert is_found_out("two uplinks")


def test_parking_what_is_not_on_disk_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: an event is given up, its device is told that it is safe, and a crash forgets all of it."""
    monkeypatch.setattr(
        UplinkFeed, "parked", lambda self, batch, start, stop, reason: self._park(batch, start, stop, reason)
    )

    assert is_found_out("parked")


def test_evicting_what_was_delivered_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: everything in an evicted block counts as lost."""
    monkeypatch.setattr(UplinkFeed, "_still_wants", lambda self, event: True)

    assert is_found_out("evicted")


def test_forgetting_what_was_in_flight_when_live_began_anew_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: a reconnect forgets what newer events are still on their way; they are sent twice and counted twice."""

    def forgetful(self: Stream, other: Stream, absorb: Any = Stream.absorb) -> None:
        other.outstanding.clear()
        absorb(self, other)

    monkeypatch.setattr(Stream, "absorb", forgetful)

    assert is_found_out("live first")


def test_telling_of_a_loss_before_it_is_saved_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: a gap event tells of events that a crash brings back, or by another name after it."""

    def hasty(self: GapLine, has_passed: Any, stamp: Any, close: Any = GapLine.close) -> bool:
        is_closed = bool(close(self, has_passed, stamp))
        self.saving()
        self.saved()
        return is_closed

    monkeypatch.setattr(GapLine, "close", hasty)

    assert is_found_out("evicted", "a full journal")


def test_a_hole_that_grows_after_it_was_told_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what is lost later joins a gap event that is on its way."""

    def add(self: GapLine, hole: Hole) -> None:
        for index, known in enumerate(self.holes):
            if known.is_like(hole):
                grown = known.joined(hole)
                self.holes[index] = msgspec.structs.replace(grown, told_at=known.told_at)
                for waiting in (self._closed, self._saving, self._ready):
                    waiting[:] = [self.holes[index] if one == known else one for one in waiting]
                return
        self.holes.append(hole)

    monkeypatch.setattr(GapLine, "add", add)

    assert is_found_out("evicted", "a full journal")


def test_guessing_how_much_damage_took_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: whatever a damaged block had held counts as lost for everybody."""
    damaged = Balance.damaged
    monkeypatch.setattr(Balance, "damaged", lambda self, hole, **_: damaged(self, hole, wants_all=True, is_exact=True))

    assert is_found_out("damage", "damage, filter, live first")


def test_not_counting_what_damage_took_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: nobody looks whether what is pending is really there."""
    monkeypatch.setattr(UplinkFeed, "_audit", lambda self: None)

    assert is_found_out("damage", "damage, filter, live first")


def test_a_new_uplink_that_does_not_count_what_it_finds_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what was stored before the uplink was configured is delivered, but was never routed."""
    monkeypatch.setattr(Balance, "found", lambda self, lane, events, *, through_seq: None)

    assert is_found_out("another uplink", "nobody, then two")


def test_sending_before_it_is_saved_that_something_was_sent_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: after a crash nobody knows that events of an unset clock were sent as they were."""
    monkeypatch.setattr(UplinkFeed, "_freeze", lambda self: self._changed())

    assert is_found_out("an unset clock", "an unset clock, live first")


def test_correcting_what_was_sent_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: an event that is on its way is sent again with another time."""
    monkeypatch.setattr(
        Stream, "never_sent", lambda self, after_seq: [(max(self.floor, after_seq) + 1, self._lane.evicted_to)]
    )

    assert is_found_out("an unset clock", "an unset clock, live first")


def test_forgetting_what_was_handed_out_before_it_was_written_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: after a crash an event is marked as passed by newer ones that was sent without that mark (0002)."""
    monkeypatch.setattr(fieldgate.journal.gather, "_note", lambda batches, markers: b"")

    assert is_found_out("live first")


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_an_interval_set_behaves_as_a_set_of_integers() -> None:
    """The claims that are saved with each commit must be exactly the claims that were made."""
    rng = random.Random(3)
    for _ in range(200):
        intervals, model = IntervalSet(), set[int]()
        for _ in range(rng.randint(0, 30)):
            first = rng.randint(0, 60)
            last = first + rng.randint(0, 8)
            intervals.add(first, last)
            model |= set(range(first, last + 1))
        floor = rng.randint(0, 40)
        intervals.drop_through(floor)
        first, last = sorted((rng.randint(0, 70), rng.randint(0, 70)))

        kept = {value for begin, end in intervals.pairs() for value in range(begin, end + 1)}
        uncovered = {value for begin, end in intervals.uncovered(first, last) for value in range(begin, end + 1)}

        assert kept == {value for value in model if value > floor}
        assert all(b[0] > a[1] + 1 for a, b in zip(intervals.pairs(), intervals.pairs()[1:], strict=False))
        assert all((value in intervals) == (value in kept) for value in range(70))
        assert uncovered == set(range(first, last + 1)) - kept
        assert intervals.overlaps(first, last) == bool(set(range(first, last + 1)) & kept)


def test_a_state_survives_being_stored() -> None:
    """A cursor that changes by being saved would lose or repeat events at every start."""
    world = SCENARIOS["everything"].play(5)
    states = world.outbox.states()

    again = decode_states(encode_states(states))

    assert again == states
    assert isinstance(again["a"], UplinkState)


def test_parked_events_that_a_failed_commit_forgets_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what was to be written of the parking is not written again."""
    monkeypatch.setattr(Parking, "give_back", lambda self, changes: None)

    assert is_found_out("parked, tried again")


def test_a_retried_event_that_stays_in_the_ledger_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what the far side took after all counts as delivered and as parked."""
    monkeypatch.setattr(Shelf, "_take_out", lambda self: None)

    assert is_found_out("parked, tried again")


def test_a_retried_event_that_counts_before_it_arrived_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: sending a parked event again is taken for its delivery."""
    monkeypatch.setattr(
        Shelf, "retry", lambda self, events: [self.taken(ExtraBatch([event], is_retry=True)) for event in events]
    )

    assert is_found_out("parked, tried again")
