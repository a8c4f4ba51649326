"""The journal gives back what was committed, in order, after every kind of stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate.journal.journal import Journal
from fieldgate.journal.records import BootRecord, Commit, JournalBusy, JournalRefused, LedgerEntry, NewBlock, Removal
from fieldgate_devices.event import Lane
from journal_kit import (
    RUN,
    SECOND,
    block,
    crash_copy,
    fill,
    make_events,
    open_journal,
    read_all,
    seqs_of,
    write,
)


def test_events_come_back_as_they_were_given(tmp_path: Path) -> None:
    """P2: an envelope is made from the stored fields alone, so each of them must survive."""
    events = make_events([1, 2, 5, 9])
    events[1].is_json = False
    events[2].raw = b"\x00raw\xff"
    events[3].data = b""
    journal = open_journal(tmp_path)

    write(journal, NewBlock(Lane.NORMAL, RUN, events, b"note"))
    journal.close()
    blocks, losses = read_all(open_journal(tmp_path))

    assert blocks[0].events == events
    assert blocks[0].info.marks == b"note"
    assert losses == []


def test_lanes_are_read_each_in_order_of_sequence(tmp_path: Path) -> None:
    """P3: order holds per lane; lanes are stored apart so that one can be read without the others."""
    journal = open_journal(tmp_path)
    for start in range(1, 60, 6):
        write(journal, *(block(range(start + 2 * lane, start + 2 * lane + 2), lane=lane) for lane in (2, 0, 1)))

    read = {lane: seqs_of(read_all(journal, lane)[0]) for lane in (0, 1, 2)}

    assert read == {lane: [s for s in range(1, 61) if (s - 1) // 2 % 3 == lane] for lane in (0, 1, 2)}


@pytest.mark.parametrize("after_seq", [0, 1, 9, 10, 11, 437, 989, 990, 999, 1000, 5000])
def test_a_read_from_any_place_leaves_nothing_out(tmp_path: Path, after_seq: int) -> None:
    """A cursor may stand inside a block; the block is given whole and the caller skips what it has."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 1000)

    blocks, losses = read_all(journal, after_seq=after_seq)

    assert [seq for seq in seqs_of(blocks) if seq > after_seq] == list(range(after_seq + 1, 1001))
    assert len(blocks) <= (1000 - after_seq) // 10 + 1 or after_seq > 1000
    assert losses == []


def test_events_written_late_are_found_by_a_read_that_stands_before_them(tmp_path: Path) -> None:
    """An event that waited for its uplink may be written after a younger one."""
    journal = open_journal(tmp_path)
    write(journal, block([1, 4]))
    write(journal, block([7, 9]))
    write(journal, block([2, 8]))
    write(journal, block([3]))
    write(journal, block([20]))

    assert seqs_of(read_all(journal, after_seq=7)[0]) == [7, 9, 2, 8, 20]
    assert seqs_of(read_all(journal, after_seq=2)[0]) == [1, 4, 7, 9, 2, 8, 3, 20]
    assert seqs_of(read_all(journal, after_seq=9)[0]) == [20]


def test_a_kill_between_commits_loses_nothing(tmp_path: Path) -> None:
    """P1, for every state of the files between two commits."""
    journal = open_journal(tmp_path / "live")
    for n in range(1, 41):
        fill(journal, n * 10 - 9, 10)
        copy = open_journal(crash_copy(tmp_path / "live", tmp_path / f"crash-{n}"))

        blocks, losses = read_all(copy)

        assert seqs_of(blocks) == list(range(1, n * 10 + 1))
        assert (losses, copy.opened.losses, copy.opened.notes) == ([], (), ())
        assert copy.opened.next_seq == n * 10 + 1
        copy.close()


def test_sequence_numbers_rise_from_run_to_run_though_everything_was_removed(tmp_path: Path) -> None:
    """A new run must start above everything that an uplink may have seen."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 100)
    write(journal, remove=[Removal(Lane.NORMAL, 100)])
    journal.close()

    again = open_journal(tmp_path, run=2)

    assert again.opened.next_seq == 101
    assert [run.run for run in again.opened.runs] == [RUN, 2]
    assert write(again, block([101], run=2)).block_nos == (11,)


def test_a_removal_takes_whole_blocks_from_the_old_end(tmp_path: Path) -> None:
    """What an uplink has not got yet must stay, even if most of its block is delivered."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 100)

    done = write(journal, remove=[Removal(Lane.NORMAL, 58)])

    assert done.removed_blocks == 5
    assert seqs_of(read_all(journal)[0]) == list(range(51, 101))
    assert journal.stats().lanes[1].events == 50


def test_single_blocks_can_be_removed_from_the_middle_without_looking_like_a_loss(tmp_path: Path) -> None:
    """Eviction takes what only an optional uplink still wants, wherever it stands."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 100)
    middle = [info.block_no for info in journal.oldest_blocks(1, 100)][3:7]

    write(journal, remove=[Removal(Lane.NORMAL, reason="evicted", block_nos=tuple(middle))])
    journal.close()
    again = open_journal(tmp_path)

    blocks, losses = read_all(again)
    assert seqs_of(blocks) == [*range(1, 31), *range(71, 101)]
    assert losses == []
    assert (again.stats().lanes[1].events, again.stats().lanes[1].blocks) == (60, 6)
    write(again, remove=[Removal(Lane.NORMAL, 100)])
    assert (again.stats().lanes[1].events, again.stats().lanes[1].blocks) == (0, 0)
    assert again.verify().is_sound


def test_notes_of_uplinks_survive_and_can_be_forgotten(tmp_path: Path) -> None:
    """The outbox's cursors are what keeps delivered events from being sent again."""
    journal = open_journal(tmp_path)
    write(journal, uplink_states={"cloud": b"\x01\x02", "plant": b"x" * 5000})
    write(journal, uplink_states={"cloud": b"\x03"}, forget_uplinks=["plant"])
    journal.close()

    assert open_journal(tmp_path).opened.uplink_states == {"cloud": b"\x03"}


def test_a_commit_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    """Half a commit would break the accounting of P4."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 10)

    with pytest.raises(ValueError, match="must ascend"):
        write(journal, block([11]), block([13, 12]), uplink_states={"cloud": b"\x01"}, remove=[Removal(1, 10)])

    assert seqs_of(read_all(journal)[0]) == list(range(1, 11))
    journal.close()
    assert open_journal(tmp_path).opened.uplink_states == {}


def test_a_second_gateway_is_refused_and_told_who_holds_the_journal(tmp_path: Path) -> None:
    """Row 12: two writers would destroy each other's order."""
    import os

    journal = open_journal(tmp_path)

    with pytest.raises(JournalBusy) as refused:
        open_journal(tmp_path)

    assert refused.value.pid == os.getpid()
    assert str(tmp_path) in str(refused.value)
    journal.close()
    open_journal(tmp_path).close()


def test_the_journals_clock_counts_over_restarts_and_never_back(tmp_path: Path) -> None:
    """P6: retention by age must not depend on the wall clock."""
    journal = open_journal(tmp_path, os_boot="a", boot_s=1000)
    write(journal, NewBlock(1, RUN, make_events([1], boot_s=1500)), at_s=1500)
    journal.close()

    same_boot = open_journal(tmp_path, os_boot="a", boot_s=1600)
    assert same_boot.journal_s(1600 * SECOND) == 1600
    same_boot.close()
    next_boot = open_journal(tmp_path, os_boot="b", boot_s=20)

    assert next_boot.journal_s(20 * SECOND) == 1620
    assert next_boot.oldest_blocks(1, 1)[0].heard_s == 1500


def test_what_is_known_of_boots_survives(tmp_path: Path) -> None:
    """Stored events of an unset clock are corrected after a restart as well."""
    journal = open_journal(tmp_path)
    write(journal, boots=[BootRecord("boot-a", 12345, 0)])
    journal.close()

    assert open_journal(tmp_path, run=2, os_boot="boot-b").opened.boots == (
        BootRecord("boot-a", 12345, 0),
        BootRecord("boot-b", None, 1),
    )


def test_a_scan_gives_all_lanes_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    """Replay and export go over everything in bounded steps."""
    journal = open_journal(tmp_path)
    for n in range(1, 31):
        write(journal, block([n], lane=n % 3))

    numbers: list[int] = []
    result = journal.scan(0, max_bytes=1)
    while result.more:
        numbers += [stored.block_no for stored in result.blocks]
        result = journal.scan(result.last_no, max_bytes=1)

    assert numbers == list(range(1, 31))


def test_stats_need_no_scan_and_are_exact(tmp_path: Path) -> None:
    """`status` asks every second, with ten million events stored."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 105)
    write(journal, remove=[Removal(1, 20)])

    lane = journal.stats().lanes[1]

    assert (lane.blocks, lane.events, lane.first_seq, lane.last_seq) == (9, 85, 21, 105)
    assert lane.body_bytes == sum(info.size_bytes for info in journal.oldest_blocks(1, 100))


def test_commit_is_refused_after_close_and_close_may_be_repeated(tmp_path: Path) -> None:
    """The stop sequence may close what a failure has closed already."""
    journal: Journal = open_journal(tmp_path)
    journal.close()
    journal.close()

    with pytest.raises(Exception, match="closed"):
        journal.commit(Commit(now_boot_ns=0, ledger=[LedgerEntry("u", 1, "parked", 1, 1, 1, 1, 0, 0)]))


def test_a_folder_that_cannot_be_used_is_named_in_one_line(tmp_path: Path) -> None:
    """Row 31: the installer reads this, once."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(JournalRefused) as refused:
        open_journal(tmp_path / "file" / "journal")

    assert str(tmp_path / "file" / "journal") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_look_at_a_stopped_journal_begins_no_run(tmp_path: Path) -> None:
    """`fieldgate journal stats` must not change what it looks at."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 20)
    journal.close()

    look = open_journal(tmp_path, run=0, os_boot="other")
    assert seqs_of(read_all(look)[0]) == list(range(1, 21))
    look.close()

    assert [run.run for run in open_journal(tmp_path, run=3).opened.runs] == [RUN, 3]
