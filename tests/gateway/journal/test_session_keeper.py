"""The local broker's memory goes to disk, whatever happens to the disk; real files, a real writer's thread."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldgate.journal.journal import Journal
from fieldgate.journal.session_file import SessionFile
from fieldgate.journal.session_keeper import SessionKeeper
from fieldgate.journal.writer import Writer
from fieldgate.mqtt.stored import Changes, StoredMessage
from journal_kit import open_journal


class Topics:
    """A memory of retained messages; what was taken by `changes` is not given again."""

    def __init__(self) -> None:
        self.all: dict[str, StoredMessage] = {}
        self.fresh: dict[str, StoredMessage | None] = {}

    def put(self, *topics: str) -> None:
        for topic in topics:
            self.all[topic] = self.fresh[topic] = StoredMessage(topic, b"x", 1, True, 0.0)

    def changes(self, now_s: float, *, is_last: bool = False) -> Changes:
        del now_s, is_last
        changes, self.fresh = Changes(retained=self.fresh), {}
        return changes

    def everything(self, now_s: float, *, is_last: bool = False) -> Changes:
        del now_s, is_last
        self.fresh = {}
        return Changes(retained=dict(self.all))

    @property
    def is_behind(self) -> bool:
        return bool(self.fresh)


@dataclass
class Parts:
    """A keeper on a folder; after `breaks` every write and every new file fails, as on a full disk."""

    folder: Path
    file: SessionFile
    writer: Writer
    keeper: SessionKeeper
    memory: Topics

    def breaks(self) -> None:
        self.file.close()
        (self.folder / "new-sessions.db").mkdir()

    def works_again(self) -> None:
        (self.folder / "new-sessions.db").rmdir()

    async def stored(self) -> set[str]:
        await self.writer.call(lambda _: self.file.close())
        again = SessionFile(self.folder)
        again.close()
        return set(again.state.retained)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    folder = tmp_path / "sessions"
    folder.mkdir()
    journal = open_journal(tmp_path / "journal")
    file = SessionFile(folder)
    writer = Writer(journal, asyncio.get_running_loop())
    keeper = SessionKeeper(file, writer)
    memory = Topics()
    keeper.watch(memory, 0.0)
    yield Parts(folder, file, writer, keeper, memory)
    await writer.close()
    file.close()


async def test_after_a_disk_that_failed_everything_is_there(parts: Parts) -> None:
    """What could not be written while it failed, and what had been there before."""
    parts.memory.put("before")
    await parts.keeper.save(1.0)
    parts.breaks()
    parts.memory.put("meanwhile")
    await parts.keeper.save(2.0)
    assert parts.keeper.problem
    assert parts.keeper.is_behind

    parts.memory.put("later")
    await parts.keeper.save(3.0)
    parts.works_again()
    await parts.keeper.save(20.0)

    assert not parts.keeper.problem
    assert not parts.keeper.is_behind
    assert await parts.stored() == {"before", "meanwhile", "later"}


async def test_the_last_save_waits_for_the_one_before_and_makes_good_what_that_did_not_write(parts: Parts) -> None:
    """Else it would write differences to something that is not on the disk, or nothing at all."""
    at_work, may_go_on = threading.Event(), threading.Event()

    def work(_: Journal) -> None:
        at_work.set()
        may_go_on.wait(20)
        parts.breaks()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(parts.writer.call(work), name="the disk breaks")
        await asyncio.to_thread(at_work.wait)
        parts.memory.put("first")
        tasks.create_task(parts.keeper.save(1.0), name="the save that fails")
        await asyncio.sleep(0)
        parts.memory.put("second")
        last = tasks.create_task(parts.keeper.save(1.5, is_last=True), name="the last save")
        await asyncio.sleep(0)
        tasks.create_task(parts.writer.call(lambda _: parts.works_again()), name="the disk works again")
        may_go_on.set()
    assert last.done()

    assert not parts.keeper.problem
    assert await parts.stored() == {"first", "second"}


async def test_what_coming_back_changes_is_stored_before_anybody_is_served(parts: Parts, tmp_path: Path) -> None:
    """A kill in the first second must not forget which packet ids are in use now."""
    memory = Topics()
    memory.put("of this process")

    parts.keeper.watch(memory, 0.0)

    killed = tmp_path / "killed"
    shutil.copytree(parts.folder, killed)
    again = SessionFile(killed)
    again.close()
    assert again.state.retained.keys() == {"of this process"}
