"""One simulated device: an aiomqtt client that sends every reading until it is acknowledged.

A reading is made by `Device.measure`, whether or not the device is connected, and is kept until its PUBACK. After a
reconnect all that is unacknowledged is sent again, oldest first, as new messages: a device without a persistent
session. A device whose memory is full of unacknowledged readings makes no more, and counts that.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Final

import aiomqtt

from fieldgate_simulators.counting import NumberSet
from fieldgate_simulators.signals import room_signals, samples
from fieldgate_simulators.target import DeviceClient, Target

__all__ = ["Counts", "Device"]

_BACKOFF_BASE_S: Final = 0.1
_BACKOFF_CAP_S: Final = 5.0


@dataclass(slots=True)
class Counts:
    """What all devices of a fleet did so far."""

    connected: int = 0
    made: int = 0
    sent: int = 0
    acknowledged: int = 0
    skipped: int = 0
    disconnects: int = 0
    refusals: int = 0

    @property
    def unacknowledged(self) -> int:
        """Readings that a device still keeps."""
        return self.made - self.acknowledged


class Device:
    """Sends its readings in order, at most ``window`` of them unacknowledged on the wire."""

    def __init__(
        self,
        name: str,
        target: Target,
        counts: Counts,
        *,
        topic: str,
        rng: Random,
        window: int,
        memory: int,
        keep_alive_s: int,
    ) -> None:
        self.name = name
        self.topic = topic.replace("{device}", name)
        self.acknowledged = NumberSet()
        self._target = target
        self._counts = counts
        self._rng = rng
        self._window = window
        self._memory = memory
        self._keep_alive_s = keep_alive_s
        self._samples = samples(room_signals(rng), rng)
        self._number = 0
        self._kept: dict[int, bytes] = {}
        self._unsent: deque[int] = deque()
        self._has_unsent = asyncio.Event()

    def measure(self) -> None:
        """Make one reading and queue it for sending."""
        if len(self._kept) >= self._memory:
            self._counts.skipped += 1
            return
        self._number += 1
        reading = {"device": self.name, "n": self._number, **next(self._samples)}
        self._kept[self._number] = json.dumps(reading, separators=(",", ":")).encode()
        self._unsent.append(self._number)
        self._counts.made += 1
        self._has_unsent.set()

    async def run(self) -> None:
        """Stay connected and send until cancelled; then disconnect in order."""
        attempt = 0
        while True:
            was_connected = False
            try:
                async with self._client() as client:
                    was_connected = True
                    self._counts.connected += 1
                    try:
                        await self._session(client)
                    finally:
                        self._counts.connected -= 1
            except* aiomqtt.MqttError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError from None  # a connection that fails while we leave must not keep us
            if was_connected:
                self._counts.disconnects += 1
                attempt = 0
            else:
                self._counts.refusals += 1
            attempt += 1
            await asyncio.sleep(self._rng.uniform(0, min(_BACKOFF_CAP_S, _BACKOFF_BASE_S * 2**attempt)))

    def _client(self) -> DeviceClient:
        return DeviceClient(self._target, identifier=self.name, window=self._window, keep_alive_s=self._keep_alive_s)

    async def _session(self, client: DeviceClient) -> None:
        self._unsent = deque(self._kept)
        self._has_unsent.set()
        window = asyncio.Semaphore(self._window)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_watch(client), name=f"{self.name}:watch")
            while True:
                await self._has_unsent.wait()
                while self._unsent:
                    await window.acquire()
                    number = self._unsent.popleft()
                    tasks.create_task(self._publish(client, number, window), name=f"{self.name}:{number}")
                self._has_unsent.clear()

    async def _publish(self, client: DeviceClient, number: int, window: asyncio.Semaphore) -> None:
        self._counts.sent += 1
        await client.publish(self.topic, self._kept[number], qos=1, timeout=math.inf)
        window.release()
        del self._kept[number]
        self.acknowledged.add(number)
        self._counts.acknowledged += 1


async def _watch(client: DeviceClient) -> None:
    """End the session when the connection does; what others publish to the device is not looked at."""
    async for _ in client.messages:
        pass
