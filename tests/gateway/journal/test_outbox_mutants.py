"""Mutants of the outbox core that the model of the world (`test_outbox.py`) must find out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import fieldgate.journal.gather
from fieldgate.journal.balance import Balance
from fieldgate.journal.extras import ExtraBatch
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.gaps import GapLine, Hole
from fieldgate.journal.outbox import Outbox, WriteJob
from fieldgate.journal.parking import Parking
from fieldgate.journal.routing import Routing
from fieldgate.journal.shelf import Shelf
from fieldgate.journal.stream import Stream
from fieldgate.journal.uplink_state import Route
from fieldgate.journal.write_queue import WriteQueue
from outbox_checks import check_all
from outbox_scenarios import SCENARIOS, leave_memory_soon


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_memory_soon(monkeypatch)


def is_found_out(*names: str, seeds: int = 30) -> bool:
    """Whether the model notices that something is wrong."""
    for name in names:
        for seed in range(seeds):
            try:
                check_all(SCENARIOS[name].play(seed))
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
    monkeypatch.setattr("outbox_process.highest_seq", lambda states: 0)

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


def test_a_routed_event_that_is_looked_at_in_memory_only_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what is read back from disk goes to every uplink, whatever a rule has said."""
    monkeypatch.setattr(Route, "chosen", lambda self, events: events)

    assert is_found_out("routed")


def test_forgetting_that_a_rule_routed_some_of_what_damage_took_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: an uplink without a filter counts everything that damage took as its own."""
    monkeypatch.setattr(Routing, "may_hold_routed", lambda self, lane, first_seq, last_seq: False)

    assert is_found_out("routed, damage")


def test_a_range_of_routed_events_that_a_crash_forgets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: after a start nobody knows that a rule routed some of what is stored."""
    monkeypatch.setattr(Routing, "_join", lambda self, lane, first_seq, last_seq: None)

    assert is_found_out("routed, damage", "routed, to nobody, then two")


def test_a_told_uplink_that_gets_what_goes_to_all_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: a webhook gets events in which nobody named it."""
    is_meant = Route.is_meant
    monkeypatch.setattr(Route, "is_meant", lambda self, extra: extra is None or is_meant(self, extra))

    assert is_found_out("routed and told")
