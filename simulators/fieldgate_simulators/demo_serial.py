"""The serial devices of the demo: a scale, a smart meter and a sensor, of which one is unplugged in mid-frame.

A serial device is told nothing, so that nothing can be accepted: what is counted is each frame that was written whole
while the gateway had the port open. Frames that an unplug cut are to arrive nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fieldgate_devices.yaml_text import flow
from fieldgate_simulators.counting import Arrivals, NumberOf, NumberSet, Verdict, judge
from fieldgate_simulators.demo_state import SerialView
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.serial_pty import SerialDevice

__all__ = ["SerialPart", "is_serial_good", "unplug_at_s"]

_CAST: Final = (("scale", "scale"), ("meter", "sml"), ("sensor", "cobs"))
_RATE: Final = 2.0
_AWAY_S: Final = 2.0
_OPEN_WITHIN_S: Final = 15.0
_POLL_S: Final = 0.02


def unplug_at_s(total_s: float) -> float:
    """When the first device is unplugged: in the last third, when an outage of a short run is over."""
    return total_s * 0.7


def is_serial_good(verdict: Verdict) -> bool:
    """Whether every frame that was sent whole arrived, in order, and no other."""
    return verdict.is_good and not verdict.unaccepted


class SerialPart:
    """Up to three devices on links in ``folder``; use it as a context."""

    def __init__(self, folder: Path, *, devices: int, seed: int) -> None:
        if not 0 <= devices <= len(_CAST):
            raise SimulatorError(f"the demo has up to {len(_CAST)} serial devices, not {devices}")
        self._devices = {
            name: SerialDevice(kind, folder / name, rate=_RATE, seed=seed) for name, kind in _CAST[:devices]
        }
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for device in self._devices.values():
            await self._stack.enter_async_context(device)
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        await self._stack.aclose()

    @property
    def sources(self) -> str:
        """Their lines in the section ``sources`` of the gateway's configuration."""
        return "".join(f"  - {flow(device.source(name))}\n" for name, device in self._devices.items())

    def write_profiles(self, folder: Path) -> None:
        """Write the profiles that are not built in."""
        folder.mkdir(exist_ok=True)
        for device in self._devices.values():
            if device.kind.profile_text:
                (folder / f"{device.kind.profile}.yaml").write_text(device.kind.profile_text, encoding="utf-8")

    @property
    def numbers_of(self) -> Mapping[str, NumberOf]:
        """How the readings of each device are counted, by its name in the events."""
        return {device.device or name: device.kind.number_of for name, device in self._devices.items()}

    @property
    def sent(self) -> Mapping[str, NumberSet]:
        """What each device sent, by its name in the events."""
        return {device.device or name: device.sent for name, device in self._devices.items()}

    async def all_open(self) -> None:
        """Wait until the gateway has opened every port.

        Raises:
            SimulatorError: it has not.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + _OPEN_WITHIN_S
        while closed := [str(one.line.link) for one in self._devices.values() if not one.line.is_open]:
            if loop.time() >= end_s:
                raise SimulatorError(f"the gateway does not open {', '.join(closed)}")
            await asyncio.sleep(_POLL_S)

    async def play(self, total_s: float) -> None:
        """Let all of them send for ``total_s``; the first is unplugged and plugged in again once."""
        async with asyncio.TaskGroup() as tasks:
            for number, (name, device) in enumerate(self._devices.items()):
                acts = _unplugged_once(device, total_s) if number == 0 else device.run(seconds=total_s)
                tasks.create_task(acts, name=f"serial:{name}")

    def view(self, arrivals: Arrivals) -> SerialView:
        """How it stands."""
        devices = self._devices.items()
        return SerialView(
            devices=len(devices),
            open=sum(device.line.is_open for _, device in devices),
            sent=sum(device.counts.sent for _, device in devices),
            arrived=sum(len(arrivals.by_device[name]) for name in self.numbers_of if name in arrivals.by_device),
            unplugged=next((name for name, device in devices if not device.line.is_plugged), ""),
        )

    def verdict(self, arrivals: Arrivals) -> Verdict:
        """What was sent against what arrived of these devices."""
        verdict = judge(self.sent, arrivals)
        names = self.numbers_of.keys()
        others = sum(len(numbers) for name, numbers in arrivals.by_device.items() if name not in names)
        return replace(verdict, arrived=verdict.arrived - others, unaccepted=verdict.unaccepted - others)

    @property
    def unplugs(self) -> int:
        """How often a device was unplugged."""
        return sum(device.counts.unplugged for device in self._devices.values())


async def _unplugged_once(device: SerialDevice, total_s: float) -> None:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + total_s
    await device.run(seconds=unplug_at_s(total_s))
    await device.replug(away_s=min(_AWAY_S, total_s / 6))
    await device.run(seconds=max(0.0, end_s - loop.time()))
