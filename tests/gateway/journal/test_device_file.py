"""The registry's file: real files, a real writer's thread, damage and full disks; it never stops anything."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fieldgate.journal.device_file import DeviceFile, DeviceTexts, device_path, stored_devices
from fieldgate.journal.device_keeper import DeviceKeeper, open_device_file
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import JournalBusy
from fieldgate.journal.writer import Writer
from journal_kit import open_journal

A, B, C = ("boiler", "a"), ("boiler", "b"), ("generic", "c")


def fill(folder: Path, count: int = 3) -> None:
    file = DeviceFile(folder)
    keys = [("boiler", f"d{number:04}") for number in range(count)]
    file.apply(DeviceTexts({key: key[1].encode() * 20 for key in keys}, dict.fromkeys(keys, b"history")))
    file.close()


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    """Changes replace, None removes, and the mode keeps others out."""
    file = DeviceFile(tmp_path)
    file.apply(DeviceTexts({A: b"1", B: b"2", C: b"3"}, {A: b"h"}))
    file.apply(DeviceTexts({A: b"4", C: None}))
    file.close()

    again = DeviceFile(tmp_path)

    assert again.texts.devices == {A: b"4", B: b"2"}
    assert again.texts.histories == {A: b"h"}
    assert (again.problem, again.damaged_rows, again.set_aside) == ("", 0, None)
    assert again.path.stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_row_that_was_changed_is_left_out_and_the_rest_taken_over(tmp_path: Path) -> None:
    """SQLite does not notice a flipped bit in a value."""
    fill(tmp_path)
    with sqlite3.connect(device_path(tmp_path)) as connection:
        connection.execute("UPDATE device SET body = CAST(x'00000000' || substr(body, 5) AS BLOB) WHERE name = 'd0001'")
    connection.close()

    file = DeviceFile(tmp_path)

    assert sorted(name for _, name in file.texts.devices) == ["d0000", "d0002"]
    assert file.damaged_rows == 1
    assert file.set_aside is not None
    assert file.set_aside.exists()
    file.apply(DeviceTexts({A: b"1"}))
    file.close()


def test_the_check_of_a_changed_row_notices_missing_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: whatever is read is believed."""
    monkeypatch.setattr("fieldgate.journal.device_file._crc", lambda *_: bytes(4))

    with pytest.raises(AssertionError):
        test_a_row_that_was_changed_is_left_out_and_the_rest_taken_over(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95])
def test_a_damaged_file_is_set_aside_and_a_new_one_serves(tmp_path: Path, share: float) -> None:
    """Whatever a bad disk makes of it, the gateway starts and remembers from then on."""
    fill(tmp_path, 300)
    path = device_path(tmp_path)
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at : at + 600] = os.urandom(min(600, len(content) - at))
    path.write_bytes(content)

    file = DeviceFile(tmp_path)
    file.apply(DeviceTexts({A: b"1"}))
    file.close()
    again = DeviceFile(tmp_path)

    assert file.problem == again.problem == ""
    assert again.texts.devices.pop(A) == b"1"
    assert again.texts.devices == {key: key[1].encode() * 20 for key in again.texts.devices}
    assert file.set_aside is not None or len(again.texts.devices) == 300  # only unused bytes were hit
    assert again.damaged_rows == 0
    again.close()


def test_a_file_cut_short_at_any_page_is_no_obstacle(tmp_path: Path) -> None:
    """A card that was pulled in the middle of a copy."""
    fill(tmp_path, 300)
    path = device_path(tmp_path)
    whole = path.read_bytes()

    for end in range(0, len(whole), 4096):
        path.write_bytes(whole[:end])
        file = DeviceFile(tmp_path)
        assert file.problem == ""
        file.apply(DeviceTexts({A: b"1"}))
        file.close()
        for left in tmp_path.iterdir():
            left.unlink()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """After a downgrade: it is not ours to change, and no reason not to start."""
    fill(tmp_path)
    with sqlite3.connect(device_path(tmp_path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = device_path(tmp_path).read_bytes()

    file = open_device_file(tmp_path)

    assert "schema version 99" in file.problem
    assert file.is_foreign
    file.close()
    assert device_path(tmp_path).read_bytes() == before


def test_looking_at_a_stopped_gateways_file_changes_no_byte(tmp_path: Path) -> None:
    """And a gateway that runs keeps others from looking past it."""
    journal = open_journal(tmp_path)
    fill(tmp_path)
    with pytest.raises(JournalBusy):
        stored_devices(tmp_path)
    journal.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    texts = stored_devices(tmp_path)

    assert texts is not None
    assert len(texts.devices) == 3
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    device_path(tmp_path).write_bytes(b"no database")
    assert stored_devices(tmp_path) is None
    device_path(tmp_path).unlink()
    assert stored_devices(tmp_path) is None


# -- the keeper ---------------------------------------------------------------------------------------------------


@dataclass
class Known:
    """What is known, by name: a text, and whether it is news."""

    all: dict[str, bytes] = field(default_factory=dict)
    changed: dict[str, bool] = field(default_factory=dict)

    def put(self, *names: str, is_news: bool = True) -> None:
        for name in names:
            self.all[name] = b"x"
            self.changed[name] = is_news or self.changed.get(name, False)

    def changes(self, limit: int, *, is_all: bool, has_history: bool) -> DeviceTexts:
        names = [name for name, is_news in self.changed.items() if is_news or is_all][:limit]
        for name in names:
            del self.changed[name]
        histories = {("t", name): b"h" if has_history else None for name in names} if has_history else {}
        return DeviceTexts({("t", name): self.all[name] for name in names}, dict(histories))

    def all_changed(self) -> None:
        self.changed = dict.fromkeys(self.all, True)


@dataclass
class Parts:
    """A keeper on a folder; after `breaks` every write and every new file fails, as on a full disk."""

    folder: Path
    file: DeviceFile
    writer: Writer
    keeper: DeviceKeeper
    known: Known

    def breaks(self) -> None:
        self.file.close()
        (self.folder / "new-devices.db").mkdir()

    def works_again(self) -> None:
        (self.folder / "new-devices.db").rmdir()

    async def stored(self) -> dict[str, bool]:
        """By name: whether its history is there, too."""
        await self.writer.call(lambda _: self.file.close())
        again = DeviceFile(self.folder)
        again.close()
        return {name: (kind, name) in again.texts.histories for kind, name in again.texts.devices}


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    folder = tmp_path / "devices"
    folder.mkdir()
    journal: Journal = open_journal(tmp_path / "journal")
    file = DeviceFile(folder)
    writer = Writer(journal, asyncio.get_running_loop())
    keeper = DeviceKeeper(file, writer, now_s=0.0)
    known = Known()
    keeper.watch(known)
    yield Parts(folder, file, writer, keeper, known)
    await writer.call(lambda _: file.close())
    await writer.close()


async def test_news_is_written_once_a_minute_and_the_rest_every_quarter_of_an_hour(parts: Parts) -> None:
    """Last values change all the time: writing them each time would wear the flash for little."""
    parts.known.put("new")
    parts.known.put("goes-on", is_news=False)
    for at_s in range(59):
        await parts.keeper.save(float(at_s))
    assert parts.keeper.commits == 0

    await parts.keeper.save(60.0)
    assert parts.keeper.commits == 1
    assert parts.known.changed == {"goes-on": False}

    for at_s in range(61, 901):
        await parts.keeper.save(float(at_s))
    assert parts.keeper.commits == 2
    assert await parts.stored() == {"new": False, "goes-on": False}


async def test_nothing_is_written_where_nothing_changed(parts: Parts) -> None:
    """An idle gateway leaves its flash alone."""
    await parts.keeper.save(60.0)
    await parts.keeper.save(1000.0)

    assert parts.keeper.commits == 0


async def test_a_flood_of_new_names_is_written_in_small_parts(parts: Parts) -> None:
    """500 a minute at the most: a device with a counter in its topic does not wear the flash."""
    parts.known.put(*(f"d{number}" for number in range(5000)))

    await parts.keeper.save(60.0)

    assert len(parts.known.changed) == 4500
    assert parts.keeper.commits == 2


async def test_a_stop_writes_everything_and_its_history(parts: Parts) -> None:
    """What was seen a second ago is known after a restart."""
    parts.known.put(*(f"d{number}" for number in range(600)), is_news=False)

    await parts.keeper.stop()

    stored = await parts.stored()
    assert len(stored) == 600
    assert all(stored.values())


async def test_a_full_disk_is_told_once_and_everything_is_written_when_it_works_again(parts: Parts) -> None:
    """The registry goes on in memory meanwhile."""
    parts.known.put("before")
    await parts.keeper.save(60.0)
    parts.breaks()
    parts.known.put("during")
    await parts.keeper.save(120.0)
    assert parts.keeper.problem
    await parts.keeper.save(180.0)

    parts.works_again()
    await parts.keeper.save(240.0)

    assert parts.keeper.problem == ""
    assert await parts.stored() == {"before": True, "during": True}


async def test_a_stop_on_a_broken_disk_ends(parts: Parts) -> None:
    """What is known of devices is no reason not to stop."""
    parts.known.put("a")
    parts.breaks()

    await parts.keeper.stop()

    assert parts.keeper.problem
    parts.works_again()
