"""Look through what is stored: in order over all lanes, a piece at a time, by time and by device."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate import clock
from fieldgate.journal.eviction import plan_history
from fieldgate.journal.history import HistoryError, HistoryQuery, NewestEvents, Place, history_step
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import NewBlock
from fieldgate_devices.event import Address, Event, Lane, Stamp, TimeQuality
from journal_kit import RUN, SECOND, block, fill, make_events, open_journal, write

NOW_NS = 1_800_000_000 * SECOND


def seqs(journal: Journal, query: HistoryQuery) -> list[int]:
    found: list[int] = []
    position: list[Place] | None = None
    while True:
        step = history_step(journal, query=query, position=position)
        position = step.position
        found += [event.seq for event in step.events]
        if position is None:
            return found


@pytest.fixture
def three_lanes(tmp_path: Path) -> Journal:
    """Events 1 … 3000, dealt out to the lanes in runs of different length."""
    journal = open_journal(tmp_path)
    seq, lane = 1, 0
    while seq <= 3_000:
        length = min((7, 160, 45)[lane], 3_001 - seq)
        write(journal, block(range(seq, seq + length), lane=lane))
        seq, lane = seq + length, (lane + 1) % 3
    return journal


def test_events_of_all_lanes_come_in_one_order(three_lanes: Journal) -> None:
    """An export reads like a diary, whatever the lanes."""
    assert seqs(three_lanes, HistoryQuery()) == list(range(1, 3_001))
    assert seqs(three_lanes, HistoryQuery(after_seq=2_345)) == list(range(2_346, 3_001))


@pytest.mark.parametrize("count", [1, 10, 500, 2_999, 3_000, 100_000])
def test_the_newest_are_found_from_the_end(three_lanes: Journal, count: int) -> None:
    """``tail`` must not read ten gigabytes to print ten lines, and must not print fewer where lanes have holes."""
    newest = NewestEvents(HistoryQuery(), count, newest_seq=3_000)
    steps = 0
    while not newest.step(three_lanes):
        steps += 1

    assert [event.seq for event in newest.events] == list(range(max(1, 3_001 - count), 3_001))
    assert count > 10 or steps <= 3


def test_the_newest_of_one_device_are_found_however_rare_it_is(tmp_path: Path) -> None:
    """It may have spoken last a year ago."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 2_000, a_block=200)

    newest = NewestEvents(HistoryQuery(device="site.a.dev-3"), 3, newest_seq=2_000)
    while not newest.step(journal):
        pass
    nobody = NewestEvents(HistoryQuery(device="nobody"), 3, newest_seq=2_000)
    while not nobody.step(journal):
        pass

    assert [event.seq for event in newest.events] == [1_979, 1_987, 1_995]
    assert list(nobody.events) == []


def test_damage_met_on_the_way_is_passed_on_once(tmp_path: Path) -> None:
    """The journal tells each loss once: who looks must hand it to whoever keeps the accounts (P4)."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 100)
    connection = journal._active.file.connection
    connection.execute("UPDATE block_normal SET body = zeroblob(length(body)) WHERE block_no = 5")

    first = history_step(journal, query=HistoryQuery(), position=None)
    second = history_step(journal, query=HistoryQuery(), position=None)

    assert [(loss.first_seq, loss.last_seq, loss.count) for loss in first.losses] == [(41, 50, 10)]
    assert second.losses == []
    assert [event.seq for event in first.events] == [*range(1, 41), *range(51, 101)]


def test_since_goes_by_the_wall_and_where_that_was_not_set_by_the_journal_s_clock(tmp_path: Path) -> None:
    """An event of 1970 is not ten thousand days old (P6)."""
    query = HistoryQuery.of(since="1h", device=None, now_wall_ns=NOW_NS, now_journal_s=10_000)
    address = Address("d", "message", "d")

    def takes(wall_ns: int, quality: TimeQuality, heard_s: float) -> bool:
        stamp = Stamp(1, wall_ns, 0, quality)
        return query.takes(Event(address, stamp, b"1", True, 0, Lane.NORMAL, 1), heard_s=heard_s)

    assert takes(NOW_NS - 3_599 * SECOND, TimeQuality.SYNCED, 0)
    assert not takes(NOW_NS - 3_601 * SECOND, TimeQuality.SYNCED, 10_000)
    assert takes(60 * SECOND, TimeQuality.UNSYNCED, 6_400)
    assert not takes(60 * SECOND, TimeQuality.UNSYNCED, 6_399)


@pytest.mark.parametrize(
    ("since", "meant_s"),
    [
        ("0s", 0), ("90s", 90), ("1.5h", 5_400), ("7d", 7 * 86_400), ("99999d", 99_999 * 86_400),
        ("2027-01-15", 8 * 3_600), ("2027-01-15T09:00:00+02:00", 3_600), ("2027-01-15T08:00:00Z", 0),
    ],
)  # fmt: skip
def test_since_may_be_written_in_many_ways(since: str, meant_s: int) -> None:
    """A duration back from now (2027-01-15 08:00 UTC here), or a time."""
    query = HistoryQuery.of(since=since, device=None, now_wall_ns=NOW_NS, now_journal_s=50_000)

    assert query.since_ns == NOW_NS - meant_s * SECOND
    assert query.since_journal_s == 50_000 - meant_s


@pytest.mark.parametrize("since", ["", "1", "1x", "-1h", "1h1m", "yesterday", "2026-13-01", "9" * 5_000 + "d"])
def test_a_since_that_means_nothing_is_refused(since: str) -> None:
    """With the forms that are understood."""
    with pytest.raises(HistoryError, match="neither a duration"):
        HistoryQuery.of(since=since, device=None, now_wall_ns=NOW_NS, now_journal_s=0)


def test_history_goes_by_age_and_by_size_from_its_old_end(tmp_path: Path) -> None:
    """``journal.keep``: age by the journal's own clock; a size in bytes of events."""
    now_s = clock.boot_s()
    journal = open_journal(tmp_path, boot_s=now_s)
    for number, age_s in enumerate((60, 40, 20, 0)):
        events = make_events(range(1 + 100 * number, 101 + 100 * number), boot_s=now_s - age_s)
        write(journal, NewBlock(Lane.NORMAL, RUN, events), at_s=now_s)
    size_bytes = journal.stats().lanes[Lane.NORMAL].body_bytes

    assert plan_history(journal, max_age_s=3_600, max_size_bytes=None) == {}
    assert plan_history(journal, max_age_s=30, max_size_bytes=None) == {Lane.NORMAL: 200}
    assert plan_history(journal, max_age_s=None, max_size_bytes=size_bytes) == {}
    assert plan_history(journal, max_age_s=None, max_size_bytes=size_bytes - 1) == {Lane.NORMAL: 100}
    assert plan_history(journal, max_age_s=None, max_size_bytes=0) == {Lane.NORMAL: 400}
