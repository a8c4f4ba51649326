"""The power of a whole machine is cut under load: what devices were told is safe arrives after the next start.

The file system of the machine is shut down (FS_IOC_SHUTDOWN): what was not synced is gone. What arrives is
noted outside.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway_kit import Publisher, eventually, oracle
from machine_kit import Machine, needs_machines
from service_kit import Site, drop_in, site_of

pytestmark = [pytest.mark.deploy, needs_machines, pytest.mark.timeout(600)]

Figure = Callable[[str], None]


async def _cut_under_load(site: Site, name: str, *, after_s: float) -> Publisher:
    """Cut the power while a device publishes, and turn it on again; what it was told before the cut counts."""
    device = site.device(name, window=100)
    await eventually("a device publishes", lambda: len(device.acked) > 200, within_s=60)
    await asyncio.sleep(after_s)  # the moment of the cut, not a synchronisation
    told = set(device.acked)

    site.machine.cut_power()

    device.close()
    device.acked = told
    await site.machine.boot()
    return device


async def test_a_power_cut_under_load_costs_nothing_acknowledged(
    installed: Machine, tmp_path: Path, figure: Figure
) -> None:
    """P1, on what an installer leaves behind: nobody comes to look, the machine starts and all of it arrives."""
    rng = random.Random(7)
    async with site_of(installed, tmp_path) as site:
        await site.configured()
        await site.connected()
        with installed.cut_off():
            devices = [await _cut_under_load(site, f"off-{number}", after_s=rng.uniform(0, 1)) for number in range(2)]
        await site.connected()
        devices.append(await _cut_under_load(site, "on", after_s=rng.uniform(0, 1)))

        await site.connected()
        status = await site.drained()

        await eventually("everything is there", lambda: not site.upstream.missing(devices))
        oracle(site.upstream, devices)
        assert status["uplinks"]["up"]["unaccounted"] == 0
        log = await installed.says("journalctl -u fieldgate --no-pager")
        assert "journal.lost_events" not in log
        assert "journal.set_aside" not in log
        figure(f"{len(devices)} cuts, {sum(len(one.acked) for one in devices)} events told before them, 0 missing")


async def test_a_gateway_that_does_not_sync_is_found_out(installed: Machine, tmp_path: Path, figure: Figure) -> None:
    """The mutant: a cut that costs nothing in any case is no evidence."""
    async with site_of(installed, tmp_path) as site:
        await drop_in(installed, "Environment=FIELDGATE_MUTANT=commit-without-sync")
        await site.configured()
        await site.connected()
        with installed.cut_off():
            device = await _cut_under_load(site, "off", after_s=0.5)
        await site.connected()
        await site.drained()

        missing = len(device.acked - set(site.upstream.numbers("off")))
        figure(f"control, must lose: {missing} of {len(device.acked)} events")
        assert missing > 0
