"""A fleet of simulated devices, each with a connection of its own, that publish at one common rate.

The same seed makes the same readings in the same order. What a fleet counts as acknowledged was confirmed to the
device by a PUBACK: it is what must arrive upstream.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from random import Random
from types import TracebackType
from typing import Final, Self

from fieldgate_simulators.counting import NumberSet
from fieldgate_simulators.device import Counts, Device
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.target import Target

__all__ = ["DEFAULT_TOPIC", "Fleet", "FleetSummary"]

DEFAULT_TOPIC: Final = "sensors/{device}/telemetry"
_TICK_S: Final = 0.005  # at high rates readings are made in groups, at most this much late
_YIELD_EVERY: Final = 100  # a rate that cannot be kept must not starve the connections
_POLL_S: Final = 0.02
_MAKE_UP_S: Final = 0.5  # a stall is made up for after the end; a rate that cannot be reached is not
_SHORT_OF: Final = 0.99


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """What a fleet did in a run; ``unacknowledged`` readings may or may not have been taken.

    ``planned`` is what its rate comes to; ``made`` is less if this machine, or the other side, could not keep up.
    """

    devices: int
    seconds: float
    planned: int
    made: int
    sent: int
    acknowledged: int
    unacknowledged: int
    skipped: int
    disconnects: int
    refusals: int

    @property
    def rate(self) -> float:
        """Acknowledged readings per second."""
        return self.acknowledged / self.seconds if self.seconds else 0.0

    @property
    def is_short(self) -> bool:
        """Whether the fleet's rate was not reached."""
        return self.made < self.planned * _SHORT_OF

    def as_dict(self) -> dict[str, int | float]:
        """Return the counts and the rate, for JSON."""
        return {**asdict(self), "seconds": round(self.seconds, 3), "rate": round(self.rate, 3)}


class Fleet:
    """``devices`` devices that together make ``rate`` readings per second, in turn, while `Fleet.measure` runs.

    Use as a context: devices connect on entry and disconnect on exit. ``memory`` is how many unacknowledged readings
    one device keeps.
    """

    def __init__(
        self,
        target: Target,
        *,
        devices: int = 50,
        rate: float = 10.0,
        seed: int = 0,
        topic: str = DEFAULT_TOPIC,
        window: int = 20,
        memory: int = 1000,
        keep_alive_s: int = 60,
        prefix: str = "device-",
    ) -> None:
        if devices < 1:
            raise SimulatorError(f"a fleet needs at least 1 device, not {devices}")
        if not rate > 0:
            raise SimulatorError(f"the rate must be above 0 events per second, not {rate:g}")
        if "{device}" not in topic and devices > 1:
            raise SimulatorError(f"the topic {topic!r} must name {{device}}, or all devices share it")
        self.counts = Counts()
        self._rate = rate
        self._devices = [
            Device(
                f"{prefix}{number:0{len(str(devices))}}",
                target,
                self.counts,
                topic=topic,
                rng=Random(f"{seed}:{number}"),
                window=window,
                memory=memory,
                keep_alive_s=keep_alive_s,
            )
            for number in range(1, devices + 1)
        ]
        self._turn = 0
        self._seconds = 0.0
        self._planned = 0
        self._connections: asyncio.Task[None] | None = None

    @property
    def acknowledged(self) -> Mapping[str, NumberSet]:
        """The numbers of each device's acknowledged readings."""
        return {device.name: device.acknowledged for device in self._devices}

    @property
    def size(self) -> int:
        """How many devices it has."""
        return len(self._devices)

    async def __aenter__(self) -> Self:
        self._connections = asyncio.get_running_loop().create_task(self._stay_connected(), name="fleet")
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.cancel()
            await asyncio.wait([connections])
            if not connections.cancelled():
                connections.result()

    async def _stay_connected(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for device in self._devices:
                tasks.create_task(device.run(), name=device.name)

    async def measure(self, duration_s: float | None = None) -> None:
        """Make readings at the fleet's rate for ``duration_s`` seconds, or until cancelled.

        What could not be made by then is not made: the summary tells how much it is.
        """
        loop = asyncio.get_running_loop()
        began_s, before_s = loop.time(), self._seconds
        made, to_make = 0, math.inf if duration_s is None else round(duration_s * self._rate)
        end_s = math.inf if duration_s is None else began_s + duration_s + _MAKE_UP_S
        try:
            while made < to_make and loop.time() < end_s:
                wait_s = began_s + made / self._rate - loop.time()
                if wait_s > 0:
                    await asyncio.sleep(max(wait_s, _TICK_S))
                elif made % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
                self._devices[self._turn % len(self._devices)].measure()
                self._turn += 1
                made += 1
            if duration_s is not None:
                await asyncio.sleep(began_s + duration_s - loop.time())
        finally:
            took_s = loop.time() - began_s
            self._seconds = before_s + took_s
            self._planned += round(min(took_s, duration_s if duration_s is not None else took_s) * self._rate)

    async def settled(self, timeout_s: float) -> bool:
        """Wait until every reading made is acknowledged; return False when that takes longer than ``timeout_s``."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while self.counts.unacknowledged:
            if loop.time() >= end_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def all_connected(self, timeout_s: float) -> bool:
        """Wait until every device is connected at once; return False when that takes longer than ``timeout_s``."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while self.counts.connected < self.size:
            if loop.time() >= end_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def summary(self) -> FleetSummary:
        """Return the counts so far."""
        counts = self.counts
        return FleetSummary(
            devices=self.size,
            seconds=self._seconds,
            planned=self._planned,
            made=counts.made,
            sent=counts.sent,
            acknowledged=counts.acknowledged,
            unacknowledged=counts.unacknowledged,
            skipped=counts.skipped,
            disconnects=counts.disconnects,
            refusals=counts.refusals,
        )

    async def run(self, duration_s: float, *, settle_s: float = 5.0) -> FleetSummary:
        """Connect, measure for ``duration_s``, wait at most ``settle_s`` for the last PUBACKs, disconnect."""
        async with self:
            await self.measure(duration_s)
            await self.settled(settle_s)
        return self.summary()
