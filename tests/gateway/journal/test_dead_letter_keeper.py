"""The dead letters on a real disk in the journal's thread: a disk that takes nothing, damage met later, the end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from dead_letter_kit import Device, letter
from fieldgate.journal.dead_letter import LetterChanges, LetterQuery, LettersUnreadable
from fieldgate.journal.dead_letter_file import DeadLetterFile
from fieldgate.journal.dead_letter_keeper import DeadLetters, open_dead_letters
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import JournalRefused
from fieldgate.journal.writer import Writer
from gateway_kit import eventually
from journal_kit import open_journal

SIZE = 1 << 20


@asynccontextmanager
async def keeping(folder: Path) -> AsyncIterator[DeadLetters]:
    """Dead letters beside a journal; whoever wants to see the end stops them before."""
    journal: Journal = open_journal(folder)
    writer = Writer(journal, asyncio.get_running_loop())
    try:
        yield DeadLetters(
            open_dead_letters(folder, max_size_bytes=SIZE),
            writer,
            rate_per_s=100.0,
            largest_bytes=SIZE // 32,
            base_s=0.0,
            commit_delay_s=0.02,
        )
    finally:
        await writer.close()


def block(folder: Path) -> Path:
    """Whatever is done here, no file of dead letters can be made."""
    blocker = folder / "new-dead_letters.db"
    blocker.mkdir()
    return blocker


async def test_a_device_is_told_once_its_letter_is_written(tmp_path: Path) -> None:
    """One flush for all of them."""
    device = Device()
    async with keeping(tmp_path) as letters:
        for position in range(30):
            letters.put(letter(b"%d" % position), device, position)
        at_once = list(device.told)
        await eventually("all are told", lambda: len(device.told) == 30)
        page = await letters.read(LetterQuery())
        await letters.stop()

    assert at_once == []
    assert letters.commits == 1
    assert device.flushes == 1
    assert [one.payload for one in page.letters] == [b"%d" % position for position in range(30)]


async def test_a_letter_that_is_removed_while_it_is_read_is_not_given_out(tmp_path: Path) -> None:
    """Else who replays would make a second event of one that another replay has just finished with."""
    device = Device()
    async with keeping(tmp_path) as letters:
        for position in range(2):
            letters.put(letter(b"%d" % position), device, position)
        await eventually("they are stored", lambda: len(device.told) == 2)
        goes_on, is_done = threading.Event(), threading.Event()
        letters._writer.submit(lambda _: goes_on.wait(10), lambda _: None)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(letters.read(LetterQuery()), name="read")
            await asyncio.sleep(0)
            letters.box.leaves(1)
            await eventually("the removal stands behind the reading", lambda: letters._is_busy)
            letters._writer.submit(lambda _: is_done.set(), lambda _: None)
            goes_on.set()
            assert is_done.wait(10)  # on the loop's thread: both have ended before it hears of either
        await letters.stop()

    assert [one.payload for one in reading.result().letters] == [b"1"]


async def test_while_the_disk_takes_nothing_nobody_is_told_and_it_goes_on_by_itself(tmp_path: Path) -> None:
    """Not even a file can be made; somebody mends that."""
    blocker, device = block(tmp_path), Device()
    async with keeping(tmp_path) as letters:
        at_start = letters.problem
        letters.put(letter(b"1"), device, 0)
        letters.box.stalled()
        await eventually("it was tried", lambda: letters.box.due_s(0.0) and not letters._is_busy)
        meanwhile = list(device.told)
        with pytest.raises(LettersUnreadable):
            await letters.read(LetterQuery())
        blocker.rmdir()
        await eventually("it is told", lambda: device.told == [0])
        await letters.stop()

    assert "directory" in at_start
    assert meanwhile == []
    assert letters.problem == ""


async def test_a_stop_tries_once_more_and_does_not_wait_for_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """What was not written was not acknowledged, and comes again."""
    block(tmp_path)
    device = Device()
    async with keeping(tmp_path) as letters:
        letters.put(letter(), device, 0)
        async with asyncio.timeout(20):
            await letters.stop()

    assert device.told == []
    assert letters.problem


async def test_damage_that_is_met_later_is_mended_on_the_way(tmp_path: Path) -> None:
    """Nobody is shown a row that is not as it was written, and nobody has to restart anything."""
    with closing(DeadLetterFile(tmp_path, max_size_bytes=SIZE)) as file:
        file.apply(LetterChanges(new=[letter(b"1"), letter(b"2"), letter(b"3")]))
    with closing(sqlite3.connect(tmp_path / "dead_letters.db")) as connection, connection:
        connection.execute("UPDATE dead_letter SET payload = x'00' WHERE number = 2")
    async with keeping(tmp_path) as letters:
        page = await letters.read(LetterQuery())
        await letters.stop()

    assert [one.payload for one in page.letters] == [b"1", b"3"]
    assert letters.kept.total() == 2
    assert (tmp_path / "dead_letters.db.damaged-1").exists()


async def test_a_newer_versions_file_ends_the_start_in_a_clear_line(tmp_path: Path) -> None:
    """A downgrade, as for the journal itself."""
    DeadLetterFile(tmp_path, max_size_bytes=SIZE).close()
    with closing(sqlite3.connect(tmp_path / "dead_letters.db")) as connection:
        connection.execute("PRAGMA user_version=9")

    with pytest.raises(JournalRefused, match=r"dead_letters\.db: schema version 9; this version knows 1"):
        open_dead_letters(tmp_path, max_size_bytes=SIZE)
