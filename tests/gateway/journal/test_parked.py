"""Parked events on disk: kept in the commit that books them, bounded, and there after crashes and damage."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.book import Book, Kind
from fieldgate.journal.extras import ExtraBatch, Extras
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.gaps import GapLine
from fieldgate.journal.inspection import Inspection
from fieldgate.journal.journal import Journal
from fieldgate.journal.outbox import Outbox
from fieldgate.journal.parking import ParkedKey, Parking, parked_limit_bytes
from fieldgate.journal.records import JournalFull, LedgerEntry, NewBlock, ParkedEvent, RetryMark, Unparked
from fieldgate.journal.uplink_state import Route
from fieldgate_devices.event import Event, Lane, Stamp
from journal_kit import RUN, block, crash_copy, make_events, open_journal, write


def parked(event: Event, *, uplink: str = "up", reason: str = "the server refuses it") -> ParkedEvent:
    return ParkedEvent(uplink, reason, event, wall_ns=7)


def entry(first: int, last: int) -> LedgerEntry:
    return LedgerEntry("up", 1, "parked", RUN, first, last, last - first + 1, 0, 0)


def seqs(journal: Journal | Inspection) -> list[int]:
    return [one.event.seq for one in journal.parked()]


def test_a_parked_event_is_there_as_it_was_after_a_crash(tmp_path: Path) -> None:
    """Every field, the reason and the time on the journal's own clock; the device's bytes to the last one."""
    (event,) = make_events([5])
    odd = msgspec.structs.replace(event, seq=6, raw=b"\x00\xff raw", is_json=False, data=b"\xfe")
    journal = open_journal(tmp_path / "a", boot_s=100.0)
    write(journal, at_s=160.0, parking=[parked(event), parked(odd, reason="too large")])

    with_crash = open_journal(crash_copy(tmp_path / "a", tmp_path / "b"))

    first, second = with_crash.parked()
    assert first.event == event
    assert second.event == odd
    assert (second.uplink, second.reason, second.wall_ns) == ("up", "too large", 7)
    assert first.parked_s == journal.journal_s(160 * 10**9)
    assert [(head.seq, head.is_retrying) for head in with_crash.opened.parked] == [(5, False), (6, False)]
    journal.close()
    with_crash.close()


def test_a_commit_that_fails_parks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accounts and the event go together, or not at all."""
    journal = open_journal(tmp_path)
    one, two = make_events([1, 2])
    write(journal, parking=[parked(one)])

    def fails(self: Book, connection: object) -> None:
        assert self.blob(Kind.PARKED, f"{RUN:016x}-2:up")
        raise JournalFull("limit", "no room")

    with monkeypatch.context() as patch:
        patch.setattr(Book, "write", fails)
        with pytest.raises(JournalFull):
            write(journal, parking=[parked(two)])

    assert seqs(journal) == [1]
    journal.close()


def test_a_mark_to_try_again_survives_and_a_new_refusal_takes_it_back(tmp_path: Path) -> None:
    """Whoever asked for a retry during an outage gets it, also if the gateway restarts meanwhile."""
    journal = open_journal(tmp_path, boot_s=100.0)
    (event,) = make_events([5])
    write(journal, at_s=110.0, parking=[parked(event)])
    write(journal, at_s=120.0, parking=[RetryMark("up", RUN, 5)])
    journal.close()

    journal = open_journal(tmp_path, boot_s=200.0)
    (marked,) = journal.parked()
    write(journal, at_s=210.0, parking=[parked(event, reason="still refused")])
    (again,) = journal.parked()
    journal.close()

    assert marked.is_retrying
    assert (again.is_retrying, again.reason) == (False, "still refused")
    assert again.parked_s == marked.parked_s  # it has been parked since the first time


def test_what_leaves_the_parking_leaves_the_ledger(tmp_path: Path) -> None:
    """`journal stats` must not call lost what arrived after all."""
    journal = open_journal(tmp_path)
    events = make_events([5, 6, 7])
    write(journal, ledger=[entry(5, 7)], parking=[parked(event) for event in events])

    write(journal, parking=[Unparked("up", 1, RUN, 6)])
    (row,) = journal.ledger()
    left = seqs(journal)
    write(journal, parking=[Unparked("up", 1, RUN, 5), Unparked("up", 1, RUN, 7)])

    assert (left, row.entry.count) == ([5, 7], 2)
    assert seqs(journal) == []
    assert journal.ledger() == []
    journal.close()


def test_a_forgotten_uplink_leaves_nothing_parked(tmp_path: Path) -> None:
    """Nothing is kept for an uplink that is not configured any more."""
    journal = open_journal(tmp_path)
    one, two = make_events([1, 2])
    write(journal, parking=[parked(one), parked(two, uplink="other")])

    write(journal, forget_uplinks=["up"])

    assert seqs(journal) == [2]
    journal.close()


def test_parked_events_move_to_the_new_file_when_the_old_one_breaks(tmp_path: Path) -> None:
    """P5: damage to the blocks is no reason to lose what a person is still to decide about."""
    journal = open_journal(tmp_path)
    write(journal, block(range(1, 20)), parking=[parked(*make_events([5]))])
    next(tmp_path.glob("journal-*.db")).unlink()

    write(journal, block(range(20, 30)))
    assert journal.epoch == 2
    journal.close()

    journal = open_journal(tmp_path)
    assert seqs(journal) == [5]
    journal.close()


def test_parked_events_are_salvaged_from_a_damaged_file(tmp_path: Path) -> None:
    """At start: the header is garbage, the rows are not."""
    journal = open_journal(tmp_path)
    write(journal, block(range(1, 20)), parking=[parked(event) for event in make_events([5, 6])])
    journal.close()
    path = next(tmp_path.glob("journal-*.db"))
    content = bytearray(path.read_bytes())
    content[:100] = b"\x00" * 100
    path.write_bytes(content)

    journal = open_journal(tmp_path)

    assert sorted(seqs(journal)) == [5, 6]
    journal.close()


def test_a_stopped_gateways_files_show_them(tmp_path: Path) -> None:
    """`fieldgate parked list` without a gateway; nothing is changed by looking."""
    journal = open_journal(tmp_path)
    write(journal, parking=[parked(event) for event in make_events([5, 6])])
    journal.close()

    stored = Inspection.open(tmp_path, max_size_bytes=64 << 20)

    assert seqs(stored) == [5, 6]
    stored.close()


def test_the_bounds_make_the_oldest_go() -> None:
    """A far side that refuses everything must not eat the journal."""
    parking = Parking((), max_bytes=10_000)
    gone = []
    for seq in range(1, 101):
        (event,) = make_events([seq])
        gone += parking.park("up", event, reason="no", wall_ns=0)

    kept = parking.of("up")
    assert [head.seq for head in gone] == list(range(1, 101 - len(kept)))
    assert sum(head.size_bytes for head in kept) <= 10_000
    assert len(kept) > 10


def test_what_is_replayed_over_a_broken_connection_counts_once() -> None:
    """Else a person reads that more has arrived than was sent."""
    extras = Extras(GapLine([]), gateway="g")
    extras.replay(make_events(range(10)), is_stored=False)
    first: list[Shipment] = []
    extras.take_replay(10, first)
    extras.done(extras.replays[0], 4)

    extras.put_back()
    again: list[Shipment] = []
    extras.take_replay(10, again)
    extras.done(extras.replays[0], 10)

    assert (extras.replayed, extras.replay_backlog) == (10, 0)


def test_what_is_about_to_be_sent_again_is_not_sent_twice() -> None:
    """Somebody says ``parked retry`` once more while the first is on its way; refused again, it can be said again."""
    parking = Parking([])
    (event,) = make_events([1])
    parking.park("up", event, reason="no", wall_ns=0)
    key = ParkedKey("up", event.stamp.run, 1)

    assert [parking.retries(key), parking.retries(key)] == [True, False]
    parking.park("up", event, reason="no, again", wall_ns=0)
    assert parking.retries(key)


def test_no_more_than_a_thousand_are_kept() -> None:
    """A person looks at tens, not at millions."""
    parking = Parking(())
    for event in make_events(range(1, 1_500)):
        parking.park("up", event, reason="no", wall_ns=0)

    assert len(parking.of("up")) == 1_000


def test_what_is_refused_while_nothing_can_be_written_is_bounded() -> None:
    """A full disk and a broker that refuses a whole backlog: each event was kept in memory for the next commit."""
    count, limit_bytes = 3_000, 100_000
    outbox = Outbox(
        [Route("up")], gateway="g", is_relay=True, hold_s=0.2, commit_delay_s=0.05, next_seq=count + 1,
        stored_to=[0, count, 0], states={}, parking=Parking((), max_bytes=limit_bytes),
        attention=lambda: None, now_stamp=lambda: Stamp(1, 0, 0),
    )  # fmt: skip
    feed = outbox.feeds["up"]
    feed.is_down(False)
    save(outbox)
    feed.have_read(feed.streams[Lane.NORMAL], make_events(range(1, count + 1)), through_seq=count)

    refused = refuse_all(feed)

    assert 0 < refused < count
    assert outbox.wants_save_now
    changes = outbox.parking.take_changes()
    outbox.parking.give_back(changes)  # that commit failed too
    assert sum(len(one.event.data) for one in changes if isinstance(one, ParkedEvent)) < limit_bytes
    assert refuse_all(feed) == 0
    while refused < count:
        outbox.parking.take_changes()
        save(outbox)
        refused += refuse_all(feed)
    state = feed.state
    assert (state.routed, state.delivered, state.pending) == (count, 0, 0)
    assert sum(state.ledger.values()) == count


def save(outbox: Outbox) -> None:
    outbox.states()
    outbox.states_saved()


def refuse_all(feed: UplinkFeed) -> int:
    """The far side refuses whatever it is sent; return how many events that were."""
    refused = 0
    while shipments := [one for one in feed.take(10) if not isinstance(one.batch, ExtraBatch)]:
        for one in shipments:
            feed.parked(one.batch, one.start, one.stop, "not authorised")
            refused += one.stop - one.start
    return refused


def test_parked_events_stay_within_the_journals_own_limit(tmp_path: Path) -> None:
    """P4: they are part of max_size, also when the blocks have filled the rest of it."""
    limit = 8 << 20
    journal = open_journal(tmp_path, max_size_bytes=limit)
    parking = Parking((), max_bytes=parked_limit_bytes(limit))
    with pytest.raises(JournalFull):
        _fill_up(journal)
    largest = 0

    for event in make_events(range(1, 400)):
        parking.park("up", _incompressible(event), reason="no", wall_ns=0)
        write(journal, parking=parking.take_changes())
        largest = max(largest, sum(path.stat().st_size for path in tmp_path.glob("journal-*")))

    assert 0 < len(journal.parked()) < 100
    assert limit * 0.8 < largest <= limit
    journal.close()


def _fill_up(journal: Journal) -> None:
    for first in range(1, 1 << 20, 20):
        events = [_incompressible(event) for event in make_events(range(first, first + 20))]
        write(journal, NewBlock(1, RUN, events))


def _incompressible(event: Event) -> Event:
    return msgspec.structs.replace(event, data=random.Random(event.seq).randbytes(4_000), is_json=False)
