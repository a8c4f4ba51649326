"""Files damaged, lost or exchanged behind the gateway's back (rows 23 to 26 and 28 to 30 of FAULTS.md).

It always starts, within five seconds, says what is lost in its log, upstream and in the accounts, and everything else
arrives (P4, P5).
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle
from journal_kit import data_file, flip, wal_file

EACH = 1_500
NOTHING, SOME, TAIL, WHATEVER = "nothing", "some", "the newest", "what was hit"


@dataclass(frozen=True)
class Stored:
    """State folders with events that no uplink has had: as a kill leaves them, as a stop, and from some time before.

    ``start_s`` is what an undamaged start has taken on this machine, as busy as it is.
    """

    crashed: Path
    stopped: Path
    yesterday: Path
    start_s: float


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Events of device ``old`` are in all three, those of ``new`` not in yesterday's."""
    folder = tmp_path_factory.mktemp("stored")
    start_s = asyncio.run(_store(folder))
    return Stored(folder / "crashed", folder / "stopped", folder / "yesterday", start_s)


async def _store(folder: Path) -> float:
    gateway = Gateway(folder, uplinks={"up": {"mqtt": {"url": "mqtt://127.0.0.1:9"}}})
    try:
        for name, before in (("old", "yesterday"), ("new", "crashed")):
            await gateway.start()
            device = Publisher(gateway.port, name=name, total=EACH, window=200, noise_bytes=300)
            device.start()
            await device.finished()
            device.close()
            await (gateway.stop() if before == "yesterday" else gateway.kill())
            copy(gateway.state, folder / before)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await gateway.start()
        start_s = loop.time() - began_s
        await gateway.stop()
        copy(gateway.state, folder / "stopped")
        return start_s
    finally:
        await gateway.kill()


def copy(state: Path, target: Path) -> None:
    shutil.copytree(state, target, ignore=shutil.ignore_patterns("control.sock"))


@dataclass
class Site:
    gateway: Gateway
    link: Link
    upstream: Upstream

    def lost(self) -> dict[str, list[int]]:
        """The numbers of what had been acknowledged before and did not arrive."""
        return {name: sorted(set(range(EACH)) - set(self.upstream.numbers(name))) for name in ("old", "new")}

    def told(self) -> int:
        return sum(one["data"]["count"] for one in list(self.upstream.arrived) if one["type"] == "fieldgate.gap")

    async def settled(self) -> dict[str, Any]:
        """Everything has arrived that will; the uplink's part of the status."""
        status = await self.gateway.drained("up")
        await eventually("every event is there", self._has_all)
        ledger = status["uplinks"]["up"]["ledger"]
        await eventually("the loss is told upstream", lambda: self.told() == sum(ledger.values()))
        assert status["uplinks"]["up"]["unaccounted"] == 0
        assert self.upstream.same_id_other_data() == []
        assert self.upstream.out_of_order() == []
        return dict(status["uplinks"]["up"])

    async def _has_all(self) -> bool:
        uplink = (await self.gateway.status())["uplinks"]["up"]
        return len({one["id"] for one in self.upstream.events()}) >= int(uplink["delivered"])

    async def goes_on(self) -> None:
        """New events are taken, kept, sent, and bear ids that were never given."""
        runs = {one["id"].split("-")[0] for one in self.upstream.events()}
        device = Publisher(self.gateway.port, name="after", total=100, window=50)
        device.start()
        try:
            await device.finished()
            await eventually("they arrive", lambda: not self.upstream.missing([device]))
        finally:
            device.close()
        after = [one["id"] for one in self.upstream.events() if one["data"]["device_"] == "after"]
        assert runs.isdisjoint(one.split("-")[0] for one in after)


@asynccontextmanager
async def site(folder: Path, *, state: Path | None = None) -> AsyncIterator[Site]:
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(folder, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{link.port}"}}})
        if state is not None:
            copy(state, gateway.state)
        try:
            yield Site(gateway, link, upstream)
        finally:
            upstream.close()
            if gateway.process is not None:
                await gateway.kill()


# -- found at the start ------------------------------------------------------------------------------------------------


def cut_in_half(state: Path, stored: Stored) -> None:
    os.truncate(data_file(state), data_file(state).stat().st_size // 2048 * 1024)


def no_header(state: Path, stored: Stored) -> None:
    with data_file(state).open("r+b") as file:
        file.write(bytes(100))


def random_pages(state: Path, stored: Stored) -> None:
    rng = random.Random(23)
    content = bytearray(data_file(state).read_bytes())
    for _ in range(6):
        at = rng.randrange(2, len(content) // 1024) * 1024
        content[at : at + 1024] = rng.randbytes(1024)
    data_file(state).write_bytes(content)


def another_file(state: Path, stored: Stored) -> None:
    data_file(state).write_text("the user kept notes here\n" * 1_000)


def flipped_log(state: Path, stored: Stored) -> None:
    flip(wal_file(state), wal_file(state).stat().st_size // 3)


def shorter_log(state: Path, stored: Stored) -> None:
    os.truncate(wal_file(state), 1_000)


def no_log(state: Path, stored: Stored) -> None:
    wal_file(state).unlink()


def garbage_beside(state: Path, stored: Stored) -> None:
    data_file(state).with_name(data_file(state).name + "-shm").write_bytes(random.Random(25).randbytes(32_768))


def from_yesterday(state: Path, stored: Stored) -> None:
    wal_file(state).unlink()
    shutil.copy(data_file(stored.yesterday), data_file(state))


def no_high_water(state: Path, stored: Stored) -> None:
    (state / "highwater").unlink()


def deleted(state: Path, stored: Stored) -> None:
    data_file(state).unlink()


@pytest.mark.parametrize(
    ("damage", "kind", "loses"),
    [
        pytest.param(cut_in_half, "stopped", SOME, marks=pytest.mark.long),
        (no_header, "stopped", NOTHING),
        (random_pages, "stopped", SOME),
        pytest.param(another_file, "stopped", SOME, marks=pytest.mark.long),
        (deleted, "stopped", SOME),
        (flipped_log, "crashed", WHATEVER),
        (shorter_log, "crashed", TAIL),
        (no_log, "crashed", TAIL),
        (garbage_beside, "crashed", NOTHING),
        (from_yesterday, "crashed", TAIL),
        pytest.param(no_high_water, "crashed", NOTHING, marks=pytest.mark.long),
    ],
)
async def test_damage_never_keeps_it_from_starting_and_each_loss_is_told(
    tmp_path: Path, stored: Stored, damage: Callable[[Path, Stored], None], kind: str, loses: str
) -> None:
    """Rows 23 to 26. A start that a corrupt buffer blocks loses far more than the buffer (mosquitto#3160)."""
    async with site(tmp_path, state=getattr(stored, kind)) as here:
        damage(here.gateway.state, stored)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await here.gateway.start()
        took_s = loop.time() - began_s
        uplink = await here.settled()
        await here.goes_on()

        lost = here.lost()
        count = sum(len(numbers) for numbers in lost.values())
        assert took_s < max(5, 4 * stored.start_s)
        assert ("journal.lost_events" in here.gateway.log_text()) == bool(count)
        assert loses == WHATEVER or (count == 0) == (loses == NOTHING)
        if loses == TAIL:  # how much was written after the high-water file was last saved, nobody can know
            assert 0 < uplink["ledger"]["corrupt"] <= count
            assert all(numbers == list(range(EACH - len(numbers), EACH)) for numbers in lost.values())
        else:
            assert uplink["ledger"].get("corrupt", 0) == count


# -- the user's own hands ----------------------------------------------------------------------------------------------


def by_hand(database: Path, *statements: str) -> subprocess.CompletedProcess[str]:
    """What a user with an SQLite shell does, in a process of its own."""
    script = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], timeout=0.1, isolation_level=None)\n"
    script += "for one in sys.argv[2:]: print(db.execute(one).fetchall())\ndb.close()"
    command = [sys.executable, "-c", script, str(database), *statements]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


async def test_a_user_cannot_open_the_file_of_a_running_gateway(tmp_path: Path) -> None:
    """Row 28: a second connection could lock the gateway out, or trigger the WAL-reset bug."""
    async with site(tmp_path) as here:
        here.link.refuse()
        await here.gateway.start()
        device = Publisher(here.gateway.port, total=1_000, window=50)
        device.start()
        await eventually("it runs", lambda: len(device.acked) > 50)
        attempts = [
            by_hand(data_file(here.gateway.state), statement)
            for statement in ("BEGIN IMMEDIATE", "SELECT count(*) FROM sqlite_master", "PRAGMA wal_checkpoint")
        ]
        await device.finished()
        here.link.restore()
        await here.settled()

        assert ["database is locked" in one.stderr for one in attempts] == [True] * 3
        oracle(here.upstream, [device])
        device.close()


@pytest.mark.parametrize("kind", ["stopped", "crashed"])
async def test_a_stopped_file_that_a_user_looked_into_is_no_damaged_file(
    tmp_path: Path, stored: Stored, kind: str
) -> None:
    """Row 29: the shell moves the write-ahead log into the database and deletes it; that is no loss."""
    async with site(tmp_path, state=getattr(stored, kind)) as here:
        looked = by_hand(
            data_file(here.gateway.state),
            "SELECT count(*) FROM sqlite_master",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA integrity_check",
        )
        await here.gateway.start()
        await here.settled()

        assert looked.returncode == 0, looked.stderr
        assert here.lost() == {"old": [], "new": []}
        assert "level=warning event=journal" not in here.gateway.log_text()


# -- while it runs -----------------------------------------------------------------------------------------------------


def whole_folder(state: Path) -> None:
    shutil.rmtree(state)


def data_file_only(state: Path) -> None:
    data_file(state).unlink()


def exchanged(state: Path) -> None:
    """A file of the same name from elsewhere, as a restore by hand makes it."""
    database = sqlite3.connect(state.parent / "other")
    database.execute("CREATE TABLE notes (text)")
    database.close()
    (state.parent / "other").rename(data_file(state))


@pytest.mark.parametrize("accident", [whole_folder, pytest.param(data_file_only, marks=pytest.mark.long), exchanged])
async def test_files_that_vanish_while_it_runs_are_replaced_and_the_loss_told(
    tmp_path: Path, accident: Callable[[Path], None]
) -> None:
    """Row 30: nothing that is acknowledged from then on may go where nobody finds it."""
    async with site(tmp_path) as here:
        here.link.refuse()
        await here.gateway.start()
        before = Publisher(here.gateway.port, name="before", total=500, window=100)
        before.start()
        await before.finished()
        accident(here.gateway.state)
        after = Publisher(here.gateway.port, name="later", total=500, window=100)
        after.start()
        await after.finished()
        await here.gateway.kill()
        await here.gateway.start()
        here.link.restore()
        uplink = await here.settled()

        lost = 500 - len(set(here.upstream.numbers("before")))
        assert set(here.upstream.numbers("later")) == set(range(500))
        assert uplink["ledger"].get("corrupt", 0) == lost > 0
        assert "journal.lost_events" in here.gateway.log_text()
        before.close()
        after.close()
