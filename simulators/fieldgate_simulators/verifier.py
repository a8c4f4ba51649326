"""Listen at the upstream broker itself and count what arrives there, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiomqtt

from fieldgate_simulators.counting import Arrivals, NumberOf
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.target import DeviceClient, Target

__all__ = ["Verifier"]

_DEVICE_LEVEL: Final = 2  # of the default topic: fieldgate/GATEWAY/DEVICE/TYPE


class Verifier:
    """Counts CloudEvents on ``topic_filter`` (QoS 1) for as long as its context lasts.

    Those of the devices in ``apart``, by their name in the event, are counted in ``apart_arrivals``.
    """

    def __init__(
        self, target: Target, *, topic_filter: str = "fieldgate/#", apart: Mapping[str, NumberOf] | None = None
    ) -> None:
        self.arrivals = Arrivals()
        self.apart_arrivals = Arrivals(apart or {})
        self._apart = frozenset(apart or {})
        self._topic_filter = topic_filter
        self._client = DeviceClient(target, identifier="verifier")
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        await self._client.subscribe(self._topic_filter, qos=1)
        self._listening = asyncio.get_running_loop().create_task(self._listen(), name="verifier")
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        await self._client.__aexit__(error_type, error, trace)

    def check(self) -> None:
        """Raise if it no longer listens: a count that has stopped would look like loss."""
        if self._listening is not None and self._listening.done():
            raise SimulatorError("the verifying subscriber has lost the upstream broker; the count is worthless")

    async def _listen(self) -> None:
        try:
            async for message in self._client.messages:
                assert isinstance(message.payload, bytes)
                if message.topic.matches("fieldgate/+/status"):
                    continue  # what the uplink says of itself
                is_apart = bool(self._apart) and str(message.topic).split("/")[_DEVICE_LEVEL] in self._apart
                (self.apart_arrivals if is_apart else self.arrivals).add_cloudevent(message.payload)
        except aiomqtt.MqttError:
            return  # `check` says so
