"""The file of the rules' state: real files, damage; it never stops anything."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fieldgate.journal.records import JournalBusy
from fieldgate.journal.rule_file import STOPPED, RuleFile, RuleRows, rule_path, stored_rows
from fieldgate.journal.rule_keeper import open_rule_file
from journal_kit import open_journal

A, B, C = ("hot", "b1", "state"), ("hot", "b2", "state"), ("mean", "", "window")


def rows_of(count: int) -> RuleRows:
    return {("hot", f"d{number:04}", "state"): b"row %d" % number * 20 for number in range(count)}


def fill(folder: Path, count: int = 3, *, is_stop: bool = False) -> None:
    file = RuleFile(folder)
    file.apply(rows_of(count) | ({STOPPED: b""} if is_stop else {}))
    file.close()


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    """Changes replace, None removes, and the mode keeps others out."""
    file = RuleFile(tmp_path)
    file.apply({A: b"1", B: b"2", C: b"3"})
    file.apply({A: b"4", B: None})
    file.close()

    again = RuleFile(tmp_path)

    assert again.rows == {A: b"4", C: b"3"}
    assert (again.problem, again.damaged_rows, again.set_aside, again.was_stopped) == ("", 0, None, False)
    assert again.path.stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_stop_is_told_from_a_kill_by_its_mark_alone(tmp_path: Path) -> None:
    """Whether a window is whole depends on it; the mark is no row of a rule."""
    fill(tmp_path, is_stop=True)

    file = RuleFile(tmp_path)

    assert file.was_stopped
    assert file.rows == rows_of(3)
    file.apply({STOPPED: None})
    file.close()
    again = RuleFile(tmp_path)
    assert not again.was_stopped
    again.close()


def test_a_row_that_was_changed_is_left_out_and_the_rest_taken_over(tmp_path: Path) -> None:
    """SQLite does not notice a flipped bit in a value. What is left is not all, so it was no clean stop either."""
    fill(tmp_path, is_stop=True)
    with closing(sqlite3.connect(rule_path(tmp_path))) as connection, connection:
        connection.execute("UPDATE state SET body = CAST(x'00000000' || substr(body, 5) AS BLOB) WHERE grp = 'd0001'")

    file = RuleFile(tmp_path)

    assert sorted(group for _, group, _ in file.rows) == ["d0000", "d0002"]
    assert file.damaged_rows == 1
    assert not file.was_stopped
    assert file.set_aside is not None
    assert file.set_aside.exists()
    file.apply({A: b"1"})
    file.close()


def test_the_check_of_a_changed_row_notices_missing_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: whatever is read is believed."""
    monkeypatch.setattr("fieldgate.journal.rule_file._crc", lambda *_: bytes(4))

    with pytest.raises(AssertionError):
        test_a_row_that_was_changed_is_left_out_and_the_rest_taken_over(tmp_path)


def test_a_row_that_stands_under_another_key_is_not_believed(tmp_path: Path) -> None:
    """The timer of one device must not become that of another."""
    fill(tmp_path)
    with closing(sqlite3.connect(rule_path(tmp_path))) as connection, connection:
        connection.execute("UPDATE state SET grp = 'other' WHERE grp = 'd0001'")

    file = RuleFile(tmp_path)

    assert sorted(group for _, group, _ in file.rows) == ["d0000", "d0002"]
    file.close()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95])
def test_a_damaged_file_is_set_aside_and_a_new_one_serves(tmp_path: Path, share: float) -> None:
    """Whatever a bad disk makes of it, the gateway starts (P5)."""
    fill(tmp_path, 300)
    path = rule_path(tmp_path)
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at : at + 600] = os.urandom(min(600, len(content) - at))
    path.write_bytes(content)

    file = open_rule_file(tmp_path)

    assert file.problem == ""
    assert file.rows.items() <= rows_of(300).items()
    file.apply({A: b"new"})
    file.close()
    again = RuleFile(tmp_path)
    assert again.rows[A] == b"new"
    assert again.damaged_rows == 0
    again.close()


def test_a_file_cut_short_at_any_page_is_no_obstacle(tmp_path: Path) -> None:
    """A card that was pulled in the middle of a copy."""
    fill(tmp_path, 300)
    whole = rule_path(tmp_path).read_bytes()

    for end in range(0, len(whole), 4096):
        rule_path(tmp_path).write_bytes(whole[:end])
        file = RuleFile(tmp_path)
        assert file.problem == ""
        file.apply({A: b"1"})
        file.close()
        for left in tmp_path.iterdir():
            left.unlink()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """After a downgrade: it is not ours to change, and no reason not to start."""
    fill(tmp_path)
    with closing(sqlite3.connect(rule_path(tmp_path))) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = rule_path(tmp_path).read_bytes()

    file = open_rule_file(tmp_path)

    assert "schema version 99" in file.problem
    assert file.is_foreign
    file.close()
    assert rule_path(tmp_path).read_bytes() == before


def test_looking_at_a_stopped_gateways_file_changes_no_byte(tmp_path: Path) -> None:
    """And a gateway that runs keeps others from looking past it."""
    journal = open_journal(tmp_path)
    fill(tmp_path, is_stop=True)
    with pytest.raises(JournalBusy):
        stored_rows(tmp_path)
    journal.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert stored_rows(tmp_path) == rows_of(3)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    rule_path(tmp_path).write_bytes(b"no database")
    assert stored_rows(tmp_path) is None
