"""The power is cut under the whole gateway: a real file system is shut down (rows 14 and 16 of FAULTS.md).

What counts as acknowledged is what the devices had been told before the cut. The controls break the promise on purpose
and must be found out by the same oracle: a power-cut test that never fails is no evidence.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually
from mount_kit import Disk, needs_root, private_mounts

pytestmark = [pytest.mark.root, needs_root, pytest.mark.timeout(900)]

FILE_SYSTEMS = pytest.mark.parametrize("kind", ["ext4", "xfs"])
COUNTS = pytest.mark.parametrize("cuts", [5, pytest.param(30, marks=pytest.mark.long)])

Figure = Callable[[str], None]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    disks: list[Disk] = []

    def make(kind: str) -> Disk:
        disks.append(Disk(tmp_path, kind))
        return disks[-1]

    with private_mounts():
        try:
            yield make
        finally:
            for disk in disks:
                disk.throw_away()


@dataclass
class Site:
    """A gateway on a disk that can lose its power, with a link to an upstream broker."""

    disk: Disk
    gateway: Gateway
    link: Link
    upstream: Upstream
    rng: random.Random
    cuts: list[list[Publisher]] = field(default_factory=list)
    _acked: list[set[int]] = field(default_factory=list)
    _is_cut: bool = False

    async def cut_under_load(self, *, after_ack: bool = False) -> None:
        """Start the gateway and cut the power at some moment; ``after_ack``: as soon as a device is told something."""
        await self.gateway.start()
        devices = self._devices()
        try:
            await eventually("devices are acknowledged", lambda: all(device.acked for device in devices))
            await asyncio.sleep(self.rng.uniform(0.05, 0.6))  # the moment of the cut, not a synchronisation
            if after_ack:
                devices[0].on_acked = lambda: self._cut(devices)
                await eventually("a device is told something", lambda: self._is_cut)
            self._cut(devices)
        finally:
            await self._clean_up(devices)

    async def cut_while_starting(self) -> None:
        """Start the gateway on an empty disk and cut the power while it makes its files, or just after."""
        starting = asyncio.ensure_future(self.gateway.start())
        devices = self._devices()
        try:
            await eventually("it begins to make its files", lambda: self.gateway.state.exists())
            await asyncio.sleep(self.rng.uniform(0.0, 0.3) ** 2 * 3)  # the moment of the cut, sooner rather than later
            self._cut(devices)
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self._clean_up(devices)

    def _devices(self) -> list[Publisher]:
        number = len(self.cuts)
        devices = [Publisher(self.gateway.port, name=f"cut{number}-{letter}", retry_s=0.02) for letter in "ab"]
        for device in devices:
            device.start()
        return devices

    def _cut(self, devices: list[Publisher]) -> None:
        if not self._is_cut:
            self._is_cut = True
            self._acked = [set(device.acked) for device in devices]  # before the cut: later ones do not count
            self.disk.cut()

    async def _clean_up(self, devices: list[Publisher]) -> None:
        for device in devices:
            device.close()
        await self.gateway.kill()
        for device, numbers in zip(devices, self._acked, strict=False):
            device.acked = numbers
        self.cuts.append(devices)
        self._is_cut, self._acked = False, []
        self.disk.turn_off()
        self.disk.turn_on()

    async def settle(self) -> None:
        """Let everything arrive."""
        self.gateway.env = {}
        await self.gateway.start()
        self.link.restore()
        status = await self.gateway.drained("up", within_s=60)
        assert status["uplinks"]["up"]["unaccounted"] == 0
        count = -1
        while count != len(self.upstream.arrived):
            count = len(self.upstream.arrived)
            await asyncio.sleep(0.3)

    def failed(self) -> list[dict[str, list[int]]]:
        """What is missing, for each cut that lost something; also that copies are the same and in order."""
        assert sum(len(device.acked) for devices in self.cuts for device in devices) > 20 * len(self.cuts)
        assert self.upstream.same_id_other_data() == []
        assert self.upstream.out_of_order() == []
        return [missing for devices in self.cuts if (missing := self.upstream.missing(devices))]


@asynccontextmanager
async def site(folder: Path, disk: Disk, *, durability: str = "relay", mutant: str = "") -> AsyncIterator[Site]:
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        uplink = {"mqtt": {"url": f"mqtt://127.0.0.1:{link.port}", "keep_alive": "2s"}}
        gateway = Gateway(
            folder,
            uplinks={"up": uplink},
            durability=durability,
            journal={"path": str(disk.path / "state")},
            env={"FIELDGATE_MUTANT": mutant} if mutant else {},
        )
        gateway.state = disk.path / "state"
        try:
            yield Site(disk, gateway, link, upstream, random.Random(14))
        finally:
            upstream.close()
            if gateway.process is not None:
                await gateway.kill()


@FILE_SYSTEMS
@COUNTS
async def test_a_power_cut_costs_nothing_acknowledged(
    tmp_path: Path, make_disk: Callable[[str], Disk], figure: Figure, kind: str, cuts: int
) -> None:
    """Row 14. Each cut hits the files as the cut before left them; the uplink is away half of the time."""
    async with site(tmp_path, make_disk(kind)) as here:
        for number in range(cuts):
            here.link.refuse() if number % 2 else here.link.restore()
            await here.cut_under_load(after_ack=number % 3 != 0)
        await here.settle()

        failed = here.failed()
        figure(f"{len(failed)} of {cuts} cuts; 95 % upper bound {min(1, 3 / cuts):.0%}")
        assert failed == []
        log = here.gateway.log_text()
        assert "journal.lost_events" not in log
        assert "journal.set_aside" not in log


@FILE_SYSTEMS
@COUNTS
async def test_a_power_cut_during_the_first_start_is_no_matter(
    tmp_path: Path, make_disk: Callable[[str], Disk], figure: Figure, kind: str, cuts: int
) -> None:
    """Row 16: the installer pulls the plug before the first start is done."""
    disk = make_disk(kind)
    failed = 0
    async with site(tmp_path, disk, durability="journal") as here:
        here.link.refuse()
        for number in range(cuts):
            here.gateway.state = disk.path / f"state-{number}"
            here.gateway.settings["journal"]["path"] = str(here.gateway.state)
            await here.cut_while_starting()
            await here.settle()
            failed += bool(here.upstream.missing(here.cuts[-1]))
            await here.gateway.stop()
            here.link.refuse()

        figure(f"{failed} of {cuts} cuts; 95 % upper bound {min(1, 3 / cuts):.0%}")
        assert failed == 0
        log = here.gateway.log_text()
        assert "journal.lost_events" not in log
        assert "journal.set_aside" not in log


@pytest.mark.parametrize(("mutant", "cuts"), [("commit-without-sync", 3), ("ack-before-commit", 6)])
async def test_a_gateway_that_breaks_its_promise_is_found_out(
    tmp_path: Path, make_disk: Callable[[str], Disk], figure: Figure, mutant: str, cuts: int
) -> None:
    """Controls: SQLite without its sync, and a PUBACK before the commit."""
    async with site(tmp_path, make_disk("ext4"), durability="journal", mutant=mutant) as here:
        here.link.refuse()
        for _ in range(cuts):
            await here.cut_under_load(after_ack=True)
        await here.settle()

        failed = here.failed()
        figure(f"control, must fail: {len(failed)} of {cuts} cuts")
        assert failed != []
