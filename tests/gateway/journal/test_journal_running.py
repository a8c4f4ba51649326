"""Damage that is met while the gateway runs: ingest goes on with another file, each loss is stated once (P5)."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from fieldgate.journal.records import Loss, Removal
from fieldgate_devices.event import Lane
from journal_kit import (
    assert_accounted,
    block,
    closed,
    crash_copy,
    data_file,
    everything,
    fill,
    open_journal,
    read_all,
    seqs_of,
    wal_file,
    write,
)


def test_a_data_file_deleted_while_running_is_replaced_and_the_loss_stated(tmp_path: Path) -> None:
    """Row 30."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 100)
    write(journal, remove=[Removal(Lane.NORMAL, 30)], uplink_states={"cloud": b"cursor"})
    data_file(tmp_path).unlink()

    done = write(journal, block(range(101, 111)))

    assert done.moved_to == journal.epoch == 2
    assert [(loss.first_seq, loss.last_seq, loss.count, loss.is_exact) for loss in done.losses] == [(31, 100, 70, True)]
    assert seqs_of(read_all(journal)[0]) == list(range(101, 111))
    journal.close()
    again = open_journal(tmp_path, run=2)
    assert seqs_of(read_all(again)[0]) == list(range(101, 111))
    assert again.opened.uplink_states == {"cloud": b"cursor"}


def test_a_whole_folder_deleted_while_running_is_made_again(tmp_path: Path) -> None:
    """Row 30: rm -rf of the state folder."""
    folder = tmp_path / "state"
    journal = open_journal(folder)
    fill(journal, 1, 100)
    shutil.rmtree(folder)

    done = write(journal, block(range(101, 111)))

    assert sum(loss.count for loss in done.losses) == 100
    journal.close()
    assert seqs_of(read_all(open_journal(folder, run=2))[0]) == list(range(101, 111))


def test_a_log_deleted_while_running_costs_nothing(tmp_path: Path) -> None:
    """The next kill would lose what only the deleted log held."""
    journal = open_journal(tmp_path / "live")
    fill(journal, 1, 100)
    wal_file(tmp_path / "live").unlink()

    fill(journal, 101, 10)

    copy = open_journal(crash_copy(tmp_path / "live", tmp_path / "crash"), run=2)
    assert everything(copy) == (list(range(1, 111)), [])


def test_garbage_in_the_middle_is_met_while_running_and_ingest_goes_on(tmp_path: Path) -> None:
    """P5: damage found later does the same as at start, without a restart."""
    folder = closed(tmp_path, events=4000)
    path = data_file(folder)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2048 * 1024
    content[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    journal = open_journal(folder, run=2)
    assert journal.opened.notes == ()

    seqs, losses = assert_accounted(journal, events=4000)

    assert len(seqs) > 3800
    assert losses
    fill(journal, 4001, 10)
    write(journal, remove=[Removal(Lane.NORMAL, 4000)], losses=losses)
    assert seqs_of(read_all(journal)[0]) == list(range(4001, 4011))


def test_a_flipped_bit_in_a_body_costs_that_block_and_is_told_once(tmp_path: Path) -> None:
    """Structure is sound, so nothing has to move; the head still says exactly what was lost."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 1000)
    journal.close()
    connection = sqlite3.connect(data_file(tmp_path))
    body = bytearray(connection.execute("SELECT body FROM block_normal WHERE block_no = 10").fetchone()[0])
    body[-20] ^= 4
    connection.execute("UPDATE block_normal SET body = ? WHERE block_no = 10", (bytes(body),))
    connection.commit()
    connection.close()
    journal = open_journal(tmp_path, run=2)

    blocks, losses = read_all(journal)

    assert [(loss.first_seq, loss.last_seq, loss.count, loss.reason) for loss in losses] == [(91, 100, 10, "corrupt")]
    assert len(seqs_of(blocks)) == 990
    assert read_all(journal)[1] == []
    assert journal.verify().problems == ("block 10 (normal): its 10 events cannot be read",)
    write(journal, losses=losses)
    journal.close()
    assert read_all(open_journal(tmp_path, run=3))[1] == []


def test_rows_that_vanish_from_the_middle_are_a_loss_with_the_exact_count(tmp_path: Path) -> None:
    """An unrecorded hole is a loss, whoever made it."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 100)
    journal.close()
    connection = sqlite3.connect(data_file(tmp_path))
    connection.execute("DELETE FROM block_normal WHERE block_no BETWEEN 4 AND 6")
    connection.commit()
    connection.close()
    journal = open_journal(tmp_path, run=2)

    _, losses = read_all(journal)

    assert [(loss.first_seq, loss.last_seq, loss.count) for loss in losses] == [(31, 60, 30)]
    assert not journal.verify().is_sound
    write(journal, losses=losses)
    assert journal.verify().is_sound


def test_a_read_that_does_not_book_leaves_the_loss_to_the_next_commits(tmp_path: Path) -> None:
    """History, export and eviction read as well; the ledger must get a loss that they were the first to meet."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 100)
    journal.close()
    connection = sqlite3.connect(data_file(tmp_path))
    connection.execute("DELETE FROM block_normal WHERE block_no = 5")
    connection.commit()
    connection.close()
    journal = open_journal(tmp_path, run=2)
    told = read_all(journal)[1]
    assert len(told) == 1

    again: list[Loss] = []
    for seq in range(101, 109):
        again += write(journal, block([seq])).losses

    assert again == [*told, *told]
    write(journal, losses=told)
    assert [loss for seq in range(109, 120) for loss in write(journal, block([seq])).losses] == []


def test_the_newest_block_of_a_lane_may_be_removed_by_itself(tmp_path: Path) -> None:
    """Its place must not be given to another block after a restart."""
    journal = open_journal(tmp_path)
    write(journal, block([1], lane=0))
    write(journal, block([2], lane=1))
    write(journal, remove=[Removal(Lane.HIGH, reason="evicted", block_nos=(1,))])
    journal.close()

    again = open_journal(tmp_path, run=2)

    assert again.opened.notes == ()
    write(again, block([3], lane=0))
    assert seqs_of(read_all(again, Lane.HIGH)[0]) == [3]
    assert again.verify().is_sound
