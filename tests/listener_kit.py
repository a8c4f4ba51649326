"""A listener on a free port, an intake that settles at once or on demand, and a raw client that speaks bytes."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from fieldgate.config.listen import ListenConfig
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.ingest.source import Damaged, Received, Settler
from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import ConnAck, Connect, Packet, Properties, Publish
from fieldgate_devices.event import Trace
from raw_peer import RawPeer

__all__ = ["HeldIntake", "RawClient", "SettlingIntake", "on_both_loops", "serving"]

LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio")]
if importlib.util.find_spec("uvloop") is not None:
    LOOPS.append(pytest.param(importlib.import_module("uvloop").new_event_loop, id="uvloop"))


def on_both_loops(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run an async test (one without async fixtures) on asyncio's loop and on uvloop, whose transports differ."""

    def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], **fixtures: object) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(test(**fixtures))

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    own = inspect.signature(test)
    loop = inspect.Parameter("loop_factory", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = own.replace(parameters=[loop, *own.parameters.values()])  # type: ignore[attr-defined]
    run.pytestmark = list(getattr(test, "pytestmark", []))  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop_factory", LOOPS)(run)


class HeldIntake:
    """Takes events and settles them when told to; ``batches`` are (settler, first, received) in order of arrival."""

    def __init__(self) -> None:
        self.batches: list[tuple[Settler, int, list[Received]]] = []
        self.refused: list[tuple[Settler, int, list[Damaged]]] = []
        self.lanes: list[int] = []
        self.traces: list[Mapping[int, Trace] | None] = []
        self.stalls = 0
        self.open = True

    def accept(
        self,
        received: Sequence[Received],
        settler: Settler,
        first: int,
        *,
        lane: int,
        traces: Mapping[int, Trace] | None = None,
    ) -> None:
        self.batches.append((settler, first, list(received)))
        self.lanes.append(lane)
        self.traces.append(traces)

    def refuse(self, damaged: Sequence[Damaged], settler: Settler, first: int, *, lane: int) -> None:
        self.refused.append((settler, first, list(damaged)))

    def is_open(self) -> bool:
        return self.open

    def stalled(self, *, is_far: bool = False) -> None:
        self.stalls += 1

    @property
    def bad(self) -> list[Damaged]:
        return [one for _, _, damaged in self.refused for one in damaged]

    @property
    def heard(self) -> list[Received]:
        return [one for _, _, received in self.batches for one in received]

    @property
    def payloads(self) -> list[bytes]:
        return [one.payload for one in self.heard]

    def settle(self, batch: int) -> None:
        """Settle all of one batch."""
        settler, first, received = self.batches[batch]
        settler.settled(first, len(received))
        settler.flush()


class SettlingIntake(HeldIntake):
    """Settles everything at once; forgets it too unless ``keep``."""

    def __init__(self, *, keep: bool = True) -> None:
        super().__init__()
        self._keep = keep

    def accept(
        self,
        received: Sequence[Received],
        settler: Settler,
        first: int,
        *,
        lane: int,
        traces: Mapping[int, Trace] | None = None,
    ) -> None:
        if self._keep:
            super().accept(received, settler, first, lane=lane, traces=traces)
        settler.settled(first, len(received))
        settler.flush()

    def refuse(self, damaged: Sequence[Damaged], settler: Settler, first: int, *, lane: int) -> None:
        if self._keep:
            super().refuse(damaged, settler, first, lane=lane)
        settler.settled(first, len(damaged))
        settler.flush()


class RawClient(RawPeer):
    """A client made of a socket and the codec: it does only what a test tells it to. `serving` closes it at the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        super().__init__(reader, writer)
        self.version = version
        self.packets: list[Packet] = []
        self.connack = ConnAck()
        self._decoder = Decoder(version=version, max_packet_bytes=2**28, from_client=False)

    @classmethod
    async def open(cls, port: int, *, version: int = 4, local_address: str = "127.0.0.1") -> RawClient:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(local_address, 0))
        return cls(reader, writer, version)

    @classmethod
    async def connect(
        cls,
        port: int,
        client_id: str = "raw",
        *,
        version: int = 4,
        clean: bool = True,
        keep_alive_s: int = 60,
        properties: Properties | None = None,
    ) -> RawClient:
        client = await cls.open(port, version=version)
        connect = Connect(client_id, version, clean, keep_alive_s, properties=properties)
        client.write(connect)
        answer = await client.receive()
        assert isinstance(answer, ConnAck), answer
        assert answer.reason == 0, answer
        client.connack = answer
        return client

    def write(self, *packets: Packet) -> None:
        self.writer.write(b"".join(encode(packet, self.version) for packet in packets))

    def publish(
        self, packet_id: int, payload: bytes = b"x", *, topic: str = "t", qos: int = 1, dup: bool = False
    ) -> None:
        self.write(Publish(topic, payload, qos, dup=dup, packet_id=packet_id))

    async def receive(self, within_s: float = 20.0) -> Packet:
        """The next packet; EOFError when the other side has closed."""
        async with asyncio.timeout(within_s):
            while not self.packets:
                chunk = await self.reader.read(65_536)
                if not chunk:
                    raise EOFError
                self.packets += self._decoder.feed(chunk)
        return self.packets.pop(0)

    def heard(self, chunk: bytes) -> None:
        self.packets += self._decoder.feed(chunk)


@asynccontextmanager
async def serving(
    intake: HeldIntake, broker: LocalBroker | None = None, **settings: object
) -> AsyncIterator[MqttListener]:
    """A running listener; ``settings`` are those of ``ListenConfig``."""
    config = ListenConfig.model_validate({"mqtt": "127.0.0.1:0"} | settings)
    listener = MqttListener(config, intake, broker or LocalBroker())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(listener.run(), name="listener")
        async with asyncio.timeout(20):
            await listener.started.wait()
        try:
            yield listener
        finally:
            task.cancel()
            await RawClient.close_all()
