"""The file of the dead letters: what was applied is there after a crash, bounded, and no damage passes unnoticed."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dead_letter_file_kit import SIZE, add, crashed, everything, opened, payloads
from dead_letter_kit import letter
from fieldgate.journal.dead_letter import LetterChanges
from fieldgate.journal.dead_letter_file import dead_letter_path
from fieldgate.journal.side_file import NewerFile
from spoiling import spoil


def test_what_was_applied_is_there_after_a_crash(tmp_path: Path) -> None:
    """Byte for byte: it was PUBACKed."""
    file = opened(tmp_path)
    odd = letter(bytes(range(256)) * 40, topic="ä/€", detail="bad \ud800 surrogate", profile="", version=0, lane=2)
    add(file, letter(b"1"), odd, letter(b"3", is_synced=False, heard_s=77))
    file.apply(LetterChanges(again=[letter(b"1", number=1, reason="undecodable", attempts=1)], gone=[3]))

    again = opened(crashed(tmp_path))

    one, two = everything(again)
    assert (one.number, one.reason, one.attempts, one.content_id) == (1, "undecodable", 1, (1 << 64) - 5)
    assert (two.number, two.payload, two.topic, two.lane) == (2, odd.payload, "ä/€", 2)
    assert two.detail == "bad \\ud800 surrogate"
    assert again.kept == {("boiler", "undecodable"): 1, ("", "missing"): 1}
    assert not again.repairs
    file.close()
    again.close()


def test_numbers_are_never_used_again(tmp_path: Path) -> None:
    """A person writes one down, and replays it tomorrow."""
    file = opened(tmp_path)
    add(file, letter(b"1"), letter(b"2"))
    file.apply(LetterChanges(gone=[1, 2]))
    file.close()
    file = opened(tmp_path)
    add(file, letter(b"3"))

    assert [one.number for one in everything(file)] == [3]
    file.close()


def test_a_failed_write_uses_no_number_and_changes_no_count(tmp_path: Path) -> None:
    """Nothing is written then."""
    file = opened(tmp_path)
    add(file, letter(b"1"))

    with pytest.raises(sqlite3.Error):
        add(file, letter(b"2"), letter(b"3", lane=None))

    add(file, letter(b"4"))
    assert [(one.number, one.payload) for one in everything(file)] == [(1, b"1"), (2, b"4")]
    assert file.kept == {("boiler", "missing"): 2}
    file.close()


@pytest.mark.parametrize(("size", "at_once"), [(10, 100), (2_100, 4), (60_000, 2)])
def test_the_file_stays_within_its_limit_and_the_oldest_go(tmp_path: Path, size: int, at_once: int) -> None:
    """P4 for this file: its log included, at every moment."""
    file = opened(tmp_path)
    writes = 2 * SIZE // ((size + 200) * at_once)
    evicted = 0
    most = 0
    for _ in range(writes):
        new = [letter(os.urandom(size), reason="x" if number % 2 else "y") for number in range(at_once)]
        evicted += file.apply(LetterChanges(new=new)).total()
        most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))

    left = everything(file)
    assert most <= SIZE
    assert len(left) == writes * at_once - evicted == file.kept.total()
    assert [one.number for one in left] == list(range(evicted + 1, evicted + 1 + len(left)))
    assert len(left) * (size + 200) > SIZE // 4, "and the limit is made use of"
    file.close()


def test_a_smaller_limit_counts_at_the_next_start(tmp_path: Path) -> None:
    """The disk was needed for something else."""
    file = opened(tmp_path, max_size_bytes=8 << 20)
    for _ in range(100):
        add(file, *[letter(os.urandom(3_000)) for _ in range(10)])
    file.close()

    file = opened(tmp_path, max_size_bytes=1 << 20)

    left = everything(file)
    assert (tmp_path / "dead_letters.db").stat().st_size <= 1 << 20
    assert 100 < len(left) < 200
    assert left[-1].number == 1000
    assert not file.repairs
    file.close()


def test_when_nothing_is_left_its_space_is_given_back(tmp_path: Path) -> None:
    """`purge --all` on a full card."""
    file = opened(tmp_path)
    for _ in range(20):
        add(file, letter(os.urandom(20_000)))
    file.apply(LetterChanges(gone=list(range(1, 21))))

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 20_000
    add(file, letter(b"next"))
    assert [one.number for one in everything(file)] == [21]
    file.close()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """It holds what devices say."""
    old = os.umask(0)
    try:
        file = opened(tmp_path)
        add(file, letter())
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("dead_letters.db*")} == {0}
    file.close()


def test_any_sqlite_tool_can_read_it(tmp_path: Path) -> None:
    """`sqlite-utils rows dead_letters.db letters`."""
    file = opened(tmp_path)
    add(file, letter(b'{"t": 1}'))
    file.close()

    with closing(sqlite3.connect(tmp_path / "dead_letters.db")) as connection:
        (row,) = connection.execute("SELECT number, received, topic, profile, reason, payload FROM letters")

    assert row == (1, "2027-01-15T08:00:00.000Z", "site/a", "boiler", "missing", b'{"t": 1}')


# -- damage -----------------------------------------------------------------------------------------------------------


def test_a_changed_row_is_noticed(tmp_path: Path) -> None:
    """SQLite has no checksum; without ours it would be believed, and replayed."""
    file = opened(tmp_path)
    add(file, letter(b"1"), letter(b"2"), letter(b"3"))
    file.close()
    with closing(sqlite3.connect(tmp_path / "dead_letters.db")) as connection, connection:
        connection.execute("UPDATE dead_letter SET topic = 'site/b' WHERE number = 2")
    file = opened(tmp_path)

    with pytest.raises(sqlite3.DatabaseError, match="letter 2 is not as it was written"):
        everything(file)
    file.repair("a row")

    assert payloads(everything(file)) == [b"1", b"3"]
    (repair,) = file.repairs
    assert (repair.kept, repair.damaged_rows) == (2, 1)
    assert repair.set_aside == tmp_path / "dead_letters.db.damaged-1"
    file.close()


@pytest.mark.parametrize("seed", range(24))
def test_no_damage_keeps_it_from_opening_and_nothing_wrong_is_believed(tmp_path: Path, seed: int) -> None:
    """P5, for this file as well: garbage anywhere, cut anywhere, bits that fell over."""
    rng = random.Random(seed)
    file = opened(tmp_path)
    written = {number: rng.randbytes(rng.choice([5, 300, 6000])) for number in range(1, 301)}
    for first in range(1, 301, 10):
        add(file, *[letter(written[number]) for number in range(first, first + 10)])
    if seed % 3:
        file.close()  # all in the database; else in the log, some of it
        victim = tmp_path / "dead_letters.db"
    else:
        victim = tmp_path / "dead_letters.db-wal"
    damaged = crashed(tmp_path, "damaged")
    content = bytearray((damaged / victim.name).read_bytes())
    spoil(content, rng, how=seed % 4)
    (damaged / victim.name).write_bytes(content)

    again = opened(damaged)
    assert again.problem == ""
    try:
        found = everything(again)
    except sqlite3.DatabaseError:
        again.repair("found later")
        found = everything(again)

    assert all(one.payload == written[one.number] for one in found)
    add(again, letter(b"next"))
    assert everything(again)[-1].payload == b"next"
    again.close()
    file.close()


def test_a_damaged_page_costs_what_was_on_it(tmp_path: Path) -> None:
    """What stands before and behind it is read from both ends."""
    file = opened(tmp_path)
    for number in range(200):
        add(file, letter(b"%04d" % number * 100))
    file.close()
    path = tmp_path / "dead_letters.db"
    content = bytearray(path.read_bytes())
    page = content.index(b"0100" * 100) // 4096
    content[page * 4096 : page * 4096 + 4096] = random.Random(1).randbytes(4096)
    path.write_bytes(content)

    file = opened(tmp_path)

    numbers = [one.number for one in everything(file)]
    assert len(file.repairs) == 1
    assert numbers[0] == 1
    assert numbers[-1] == 200
    assert 180 <= len(numbers) < 200
    file.close()


def test_a_log_that_lost_commits_is_noticed(tmp_path: Path) -> None:
    """SQLite ends at the first bad frame and says that all is well."""
    file = opened(tmp_path)
    for number in range(30):
        add(file, letter(b"%d" % number))
    damaged = crashed(tmp_path, "damaged")
    wal = damaged / "dead_letters.db-wal"
    content = bytearray(wal.read_bytes())
    content[len(content) // 3] ^= 1
    wal.write_bytes(content)

    again = opened(damaged)

    assert [one.why for one in again.repairs] == ["its write-ahead log is damaged"]
    assert 0 < len(everything(again)) < 30
    again.close()
    file.close()


def test_a_file_that_is_deleted_while_it_is_open_is_made_again_with_all_it_held(tmp_path: Path) -> None:
    """Row 30: what would be written on would go with the last descriptor."""
    file = opened(tmp_path)
    add(file, letter(b"1"))
    for path in tmp_path.glob("dead_letters.db*"):
        path.unlink()

    add(file, letter(b"2"))

    again = opened(crashed(tmp_path))
    assert payloads(everything(again)) == [b"1", b"2"]
    assert [one.why for one in file.repairs] == ["it was deleted or replaced"]
    file.close()
    again.close()


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A downgrade must not throw away what the newer version stored."""
    opened(tmp_path).close()
    with closing(sqlite3.connect(dead_letter_path(tmp_path))) as connection:
        connection.execute("PRAGMA user_version=2")

    with pytest.raises(NewerFile, match="version 2"):
        opened(tmp_path)

    assert not list(tmp_path.glob("*damaged*"))


def test_a_foreign_file_is_set_aside(tmp_path: Path) -> None:
    """Whoever put it there may want it back."""
    with closing(sqlite3.connect(dead_letter_path(tmp_path))) as connection, connection:
        connection.execute("CREATE TABLE mine (n)")

    file = opened(tmp_path)

    assert file.repairs[0].set_aside == tmp_path / "dead_letters.db.damaged-1"
    assert everything(file) == []
    file.close()


def test_without_a_file_at_the_start_it_is_made_as_soon_as_that_works(tmp_path: Path) -> None:
    """And goes on with the numbers of what lay there."""
    file = opened(tmp_path)
    add(file, letter(b"1"))
    file.close()
    blocker = tmp_path / "new-dead_letters.db"
    blocker.mkdir()  # what no start can delete

    file = opened(tmp_path)
    problem = file.problem
    with pytest.raises(OSError, match="directory"):
        add(file, letter(b"2"))
    blocker.rmdir()
    add(file, letter(b"3"))

    assert "directory" in problem
    assert file.problem == ""
    assert [(one.number, one.payload) for one in everything(file)] == [(1, b"1"), (2, b"3")]
    file.close()


def test_a_file_that_a_stranger_has_locked_is_waited_for_and_not_taken_for_damaged(tmp_path: Path) -> None:
    """Somebody looks into it with his own tool while the gateway starts."""
    file = opened(tmp_path)
    add(file, letter(b"1"))
    file.close()
    with closing(sqlite3.connect(dead_letter_path(tmp_path), isolation_level=None)) as stranger:
        stranger.execute("BEGIN EXCLUSIVE")
        file = opened(tmp_path)
        problem = file.problem
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            add(file, letter(b"2"))

    add(file, letter(b"3"))

    assert "locked" in problem
    assert [(one.number, one.payload) for one in everything(file)] == [(1, b"1"), (2, b"3")]
    assert not list(tmp_path.glob("*damaged*"))
    assert not file.repairs
    file.close()


# -- looking for letters ----------------------------------------------------------------------------------------------
