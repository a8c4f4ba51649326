"""The record of commands: a real file and a real writer's thread, damage and full disks."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fieldgate.decide.order_row import RowChanges
from fieldgate.journal import command_keeper
from fieldgate.journal.command_file import CommandFile, command_path, stored_commands
from fieldgate.journal.command_keeper import CommandKeeper, open_command_file
from fieldgate.journal.records import JournalBusy
from fieldgate.journal.writer import Writer
from gateway_kit import eventually
from journal_kit import open_journal


def fill(folder: Path, count: int = 3) -> None:
    file = CommandFile(folder)
    file.apply(RowChanges({number: b"row %d" % number * 20 for number in range(1, count + 1)}, []))
    file.close()


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    """Changes replace, what is gone is gone, and the mode keeps others out: arguments may say who is at home."""
    file = CommandFile(tmp_path)
    file.apply(RowChanges({1: b"a", 2: b"b", 3: b"c"}, []))
    file.apply(RowChanges({1: b"d"}, [2]))
    file.close()

    again = CommandFile(tmp_path)

    assert again.bodies == {1: b"d", 3: b"c"}
    assert (again.problem, again.damaged_rows, again.set_aside) == ("", 0, None)
    assert again.path.stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_row_that_was_changed_is_left_out_and_the_rest_taken_over(tmp_path: Path) -> None:
    """SQLite does not notice a flipped bit in a value."""
    fill(tmp_path)
    with closing(sqlite3.connect(command_path(tmp_path))) as connection, connection:
        connection.execute("UPDATE command SET body = x'00' WHERE number = 2")

    file = CommandFile(tmp_path)

    assert sorted(file.bodies) == [1, 3]
    assert file.damaged_rows == 1
    assert file.set_aside is not None
    assert file.set_aside.exists()
    file.apply(RowChanges({4: b"x"}, []))
    file.close()


def test_the_check_of_a_changed_row_notices_missing_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: whatever is read is believed."""
    monkeypatch.setattr("fieldgate.journal.command_file._crc", lambda *_: 0)

    with pytest.raises(AssertionError):
        test_a_row_that_was_changed_is_left_out_and_the_rest_taken_over(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95])
def test_a_damaged_file_is_set_aside_and_a_new_one_serves(tmp_path: Path, share: float) -> None:
    """Whatever a bad disk makes of it, the gateway starts (P5)."""
    fill(tmp_path, 300)
    path = command_path(tmp_path)
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at : at + 600] = os.urandom(min(600, len(content) - at))
    path.write_bytes(content)

    file = CommandFile(tmp_path)

    assert file.problem == ""
    assert all(body == b"row %d" % number * 20 for number, body in file.bodies.items())
    file.apply(RowChanges({1: b"new"}, []))
    file.close()
    again = CommandFile(tmp_path)
    assert again.bodies[1] == b"new"
    again.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """What it knows must not be carried out again by who cannot read it."""
    fill(tmp_path)
    with closing(sqlite3.connect(command_path(tmp_path))) as connection:
        connection.execute("PRAGMA user_version=99")
    before = command_path(tmp_path).read_bytes()

    file = open_command_file(tmp_path)

    assert "schema version 99" in file.problem
    assert file.is_foreign
    file.close()
    assert command_path(tmp_path).read_bytes() == before


def test_looking_at_a_stopped_gateways_file_changes_no_byte(tmp_path: Path) -> None:
    """And a gateway that runs keeps others from looking past it."""
    journal = open_journal(tmp_path)
    fill(tmp_path)
    with pytest.raises(JournalBusy):
        stored_commands(tmp_path)
    journal.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    bodies = stored_commands(tmp_path)

    assert bodies is not None
    assert sorted(bodies) == [1, 2, 3]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    command_path(tmp_path).write_bytes(b"no database")
    assert stored_commands(tmp_path) is None


# -- the keeper -------------------------------------------------------------------------------------------------------


@dataclass
class Records:
    """What is to be written, and what was said of it."""

    all: dict[int, bytes] = field(default_factory=dict)
    dirty: dict[int, bytes] = field(default_factory=dict)
    given: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.all[number] = self.dirty[number] = b"x"

    def changes(self) -> RowChanges:
        dirty, self.dirty = self.dirty, {}
        self.given.append(len(dirty))
        return RowChanges(dirty, [])

    def everything(self) -> RowChanges:
        self.dirty = {}
        return RowChanges(dict(self.all), [])

    def written(self, problem: str = "") -> None:
        self.problems.append(problem)


@dataclass
class Parts:
    """A keeper on a folder; after `breaks` every write and every new file fails, as on a full disk."""

    folder: Path
    file: CommandFile
    writer: Writer
    keeper: CommandKeeper
    records: Records

    def breaks(self) -> None:
        self.file.close()
        (self.folder / "new-commands.db").mkdir()

    def works_again(self) -> None:
        (self.folder / "new-commands.db").rmdir()

    async def is_told(self, *problems: bool) -> None:
        await eventually("it is told", lambda: len(self.records.problems) >= len(problems))
        assert [bool(one) for one in self.records.problems] == list(problems)

    async def stored(self) -> list[int]:
        await self.writer.call(lambda _: self.file.close())
        again = CommandFile(self.folder)
        again.close()
        return sorted(again.bodies)


@pytest.fixture
async def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Parts]:
    monkeypatch.setattr(command_keeper, "_RETRY_S", 0.05)
    folder = tmp_path / "commands"
    folder.mkdir()
    loop = asyncio.get_running_loop()
    writer = Writer(open_journal(tmp_path / "journal"), loop)
    file = open_command_file(folder)
    keeper, records = CommandKeeper(file, writer, loop), Records()
    keeper.watch(records)
    yield Parts(folder, file, writer, keeper, records)
    await writer.close()
    file.close()


async def test_all_of_one_turn_is_written_at_once_and_told_when_it_is_on_disk(parts: Parts) -> None:
    for number in range(1, 11):
        parts.records.put(number)
        parts.keeper.attention()
    told_before = list(parts.records.problems)
    await parts.is_told(False)

    assert told_before == []
    assert parts.records.given[0] == 10
    assert parts.keeper.commits == 1
    assert await parts.stored() == list(range(1, 11))


async def test_what_comes_while_the_thread_is_busy_goes_with_the_next_write(parts: Parts) -> None:
    parts.records.put(1)
    parts.keeper.attention()
    await asyncio.sleep(0)
    parts.records.put(2, 3)
    parts.keeper.attention()
    await parts.is_told(False, False)

    assert parts.keeper.commits == 2
    assert await parts.stored() == [1, 2, 3]


async def test_a_full_disk_is_told_and_everything_is_written_when_it_works_again(parts: Parts) -> None:
    parts.records.put(1)
    parts.keeper.attention()
    await parts.is_told(False)
    parts.breaks()
    parts.records.put(2)
    parts.keeper.attention()
    await eventually("it is told", lambda: parts.records.problems[-1])
    parts.works_again()
    running = asyncio.create_task(parts.keeper.run())
    await eventually("it works again", lambda: not parts.keeper.problem)
    running.cancel()

    assert parts.records.problems[-1] == ""
    assert await parts.stored() == [1, 2]


async def test_a_stop_writes_what_is_left(parts: Parts) -> None:
    parts.records.put(1, 2)
    await parts.keeper.stop()

    assert await parts.stored() == [1, 2]
