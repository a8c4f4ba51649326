"""Rows are found in the pages of a database without SQLite, whatever shape the database is in."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.journal.pages import cells, is_leaf, page_size_of, parse_record, wal_frames, wal_header_is_sound
from fieldgate.journal.salvage import Salvage
from journal_kit import block, data_file, fill, open_journal, wal_file, write

VALUES = [None, 0, 1, -1, 127, 128, -32769, 2**31, -(2**47), 2**63 - 1, 1.5, "", "text ü", b"", b"\0" * 5000]


def test_every_kind_of_value_is_read_as_sqlite_wrote_it(tmp_path: Path) -> None:
    """Serial types, overflow pages, varints: the file format is the oracle's."""
    path = tmp_path / "x.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size=1024")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")
    for number, value in enumerate(VALUES):
        connection.execute("INSERT INTO t VALUES (?, ?, ?)", (number * 10**15, value, number))
    connection.commit()
    expected = {row[0]: row[1] for row in connection.execute("SELECT id, a FROM t")}
    connection.close()
    content = path.read_bytes()
    size = page_size_of(content)
    assert size == 1024

    def page(number: int) -> bytes | None:
        return content[(number - 1) * 1024 : number * 1024] or None

    found: dict[object, object] = {}
    for number in range(2, len(content) // 1024 + 1):
        image = page(number) or b""
        if is_leaf(image, number):
            for cell in cells(image, number):
                values = parse_record(image, cell, columns=3, read_page=page)
                assert values is not None
                found[values[0]] = values[1] if not isinstance(values[1], float) else 1.5
    expected = {key: value for key, value in expected.items() if value != 1.5}
    assert {key: value for key, value in found.items() if key in expected} == expected


@given(st.binary(min_size=512, max_size=512), st.integers(0, 511))
@settings(max_examples=300, deadline=None)
def test_garbage_gives_rows_or_nothing_but_no_error(page: bytes, cell: int) -> None:
    """A damaged file holds anything."""
    page = b"\x0d" + page[1:]
    for offset in [cell, *cells(page, 2)]:
        parse_record(page, offset, columns=3, read_page=lambda number: page if number % 3 else None)


def test_the_log_is_read_as_sqlite_reads_it(tmp_path: Path) -> None:
    """What SQLite would recover is what counts as sound."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 200)
    wal = wal_file(tmp_path).read_bytes()

    frames = list(wal_frames(wal, page_size=1024))

    (_, in_log, _) = journal._active.file.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert wal_header_is_sound(wal)
    assert len(frames) == in_log
    assert all(frame.is_sound and frame.is_current for frame in frames)
    assert sum(1 for frame in frames if frame.commit_pages) == 21
    damaged = bytearray(wal)
    damaged[frames[10].offset + 100] ^= 1
    assert [frame.is_sound for frame in wal_frames(bytes(damaged), page_size=1024)] == [n < 10 for n in range(in_log)]


def test_a_salvage_finds_every_block_of_a_sound_file_and_no_removed_one_twice(tmp_path: Path) -> None:
    """Pages are reused, rows move, old images stay about; each block counts once."""
    rng = random.Random(5)
    journal = open_journal(tmp_path)
    for n in range(120):
        write(journal, *(block(range(n * 30 + lane * 10, n * 30 + lane * 10 + 10), lane=lane) for lane in range(3)))
    stored = {lane: [info.block_no for info in journal.oldest_blocks(lane, 1000)] for lane in range(3)}
    journal.close()
    salvage = Salvage(data_file(tmp_path))
    while not salvage.step():
        pass

    assert {lane: list(salvage.lanes[lane].block_no) for lane in range(3)} == stored
    for lane in range(3):
        number = rng.randrange(len(stored[lane]))
        checked = salvage.read(lane, number)
        assert checked is not None
        assert (checked.row.block_no, checked.is_whole) == (stored[lane][number], True)
    salvage.close()
