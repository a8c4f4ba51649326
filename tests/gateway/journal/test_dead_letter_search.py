"""Looking for dead letters, in the file of a running gateway or of a stopped one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from dead_letter_file_kit import SIZE, add, crashed, everything, opened, payloads
from dead_letter_kit import letter
from fieldgate.errors import FieldgateError
from fieldgate.journal.dead_letter import LetterQuery
from fieldgate.journal.dead_letter_file import dead_letter_path
from fieldgate.journal.dead_letter_inspection import StoredLetters, purge_stored
from fieldgate.journal.files import Folder
from fieldgate.journal.records import JournalBusy


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (LetterQuery(), [1, 2, 3, 4]),
        (LetterQuery(numbers=frozenset({2, 4, 99, 1 << 70})), [2, 4]),
        (LetterQuery(numbers=frozenset()), []),
        (LetterQuery(profile="boiler"), [1, 2, 4]),
        (LetterQuery(profile=""), [3]),
        (LetterQuery(reason="x"), [2]),
        (LetterQuery(topic="site/*"), [1, 2]),
        (LetterQuery(since_ns=150, since_journal_s=0.0), [2, 3, 4]),
        (LetterQuery(since_ns=150, since_journal_s=50.0), [2, 3]),
    ],
)
def test_letters_are_found_by_what_people_know(tmp_path: Path, asked: LetterQuery, found: list[int]) -> None:
    """The same on the running gateway and on its file; an unset clock is compared by the journal's own."""
    file = opened(tmp_path)
    add(
        file,
        letter(received_wall_ns=100),
        letter(received_wall_ns=200, reason="x"),
        letter(received_wall_ns=300, profile="", topic="other"),
        letter(received_wall_ns=5, is_synced=False, heard_s=40, topic="other"),
    )

    assert [one.number for one in everything(file, asked)] == found
    file.close()
    with closing(StoredLetters(tmp_path)) as stored:
        assert [one.number for one in stored.letters(asked)] == found


def test_looking_changes_nothing_and_keeps_a_gateway_out(tmp_path: Path) -> None:
    """Also where the last process was killed, and half of it is in the log."""
    with closing(Folder(tmp_path)):
        file = opened(tmp_path)
        add(file, letter(b"1"), letter(b"2"))
        copy = crashed(tmp_path)
        file.close()
    (copy / "lock").touch()
    before = {path.name: path.read_bytes() for path in copy.iterdir()}

    with closing(StoredLetters(copy)) as stored:
        found = payloads(list(stored.letters(LetterQuery())))
        with pytest.raises(JournalBusy):
            Folder(copy)

    assert found == [b"1", b"2"]
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_a_stopped_gateways_letters_are_dropped_and_its_file_says_so_when_damaged(tmp_path: Path) -> None:
    """More than one write takes."""
    file = opened(tmp_path)
    add(file, *[letter(b"%d" % number) for number in range(1200)])
    file.close()

    gone = purge_stored(tmp_path, LetterQuery(numbers=frozenset(range(1, 1101))), max_size_bytes=SIZE)

    assert len(gone) == 1100
    assert purge_stored(tmp_path, LetterQuery(numbers=frozenset({5})), max_size_bytes=SIZE) == set()
    with closing(StoredLetters(tmp_path)) as stored:
        assert len(list(stored.letters(LetterQuery()))) == 100
    dead_letter_path(tmp_path).write_bytes(b"garbage" * 1000)
    with pytest.raises(FieldgateError, match="damaged"):
        StoredLetters(tmp_path)


def test_without_a_file_there_are_no_letters(tmp_path: Path) -> None:
    """A journal of an older version."""
    with closing(StoredLetters(tmp_path)) as stored:
        assert list(stored.letters(LetterQuery())) == []
    assert list(tmp_path.iterdir()) == []
