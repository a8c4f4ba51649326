"""What the tests of uplinks share: a feed in memory, events, a configuration, mosquitto, and a broker by script."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.forward.uplink import Shipment
from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.packets import ConnAck, Connect, Packet, PingReq, PingResp, PubAck, Publish
from fieldgate.net.broker_connection import Timing
from fieldgate_devices.event import Address, Event, Lane, Stamp
from ports import free_port

RUN = 0x0123_4567_89AB_CDEF
STAMP = Stamp(RUN, 1_767_225_600_123_456_789, 5_000_000_000)
FAST = Timing(base_s=0.01, cap_s=0.02, stable_s=0.0)


def make_event(seq: int, data: bytes | None = None, **changes: Any) -> Event:
    """An event that is an object with its own number, unless told otherwise."""
    fields: dict[str, Any] = {
        "address": Address("site.a", "message", "site/a"),
        "stamp": STAMP,
        "data": b'{"n":%d}' % seq if data is None else data,
        "is_json": True,
        "content_id": seq + 1,
        "lane": Lane.NORMAL,
        "seq": seq,
    }
    return Event(**{**fields, **changes})


def make_events(count: int, first: int = 1) -> list[Event]:
    return [make_event(seq) for seq in range(first, first + count)]


class MemoryFeed:
    """A feed over batches in memory; checks that each event is settled once, and only after it was taken."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.done: dict[int, str] = {}  # seq -> "delivered" or the reason for which it was parked
        self.down: list[bool] = []
        self.changed = asyncio.Event()
        self._ready: deque[list[Any]] = deque()
        self._out: list[list[Any]] = []
        self.handed_out = 0
        self.is_stored = False

    def add(self, events: Sequence[Event]) -> None:
        batch = list(events)
        self.batches.append(batch)
        self._ready.append([batch, 0, len(batch)])

    def take(self, max_events: int) -> list[Shipment]:
        assert max_events > 0
        shipments = []
        while self._ready and max_events:
            batch, start, stop = self._ready[0]
            end = min(stop, start + max_events)
            has_publishes = any(event.extra is not None and event.extra.publish is not None for event in batch)
            shipments.append(Shipment(batch, batch, start, end, self.is_stored, has_publishes))
            self._out.append([batch, start, end])
            self.handed_out += end - start
            max_events -= end - start
            if end == stop:
                self._ready.popleft()
            else:
                self._ready[0][1] = end
        return shipments

    def delivered(self, batch: Any, start: int, stop: int) -> None:
        self._settle(batch, start, stop, "delivered")

    def parked(self, batch: Any, start: int, stop: int, reason: str) -> None:
        self._settle(batch, start, stop, reason)

    def expired(self, batch: Any, start: int, stop: int) -> None:
        self._settle(batch, start, stop, "expired")

    def _settle(self, batch: Any, start: int, stop: int, how: str) -> None:
        assert any(batch is other and first <= start < stop <= end for other, first, end in self._out)
        for event in batch[start:stop]:
            assert event.seq not in self.done
            self.done[event.seq] = how
        self.changed.set()

    def joined(self, pieces: Sequence[tuple[object, int, int]]) -> None:
        """Nobody asks."""

    def put_back(self) -> None:
        out, self._out = self._out, []
        left = [[b, at, at + 1] for b, first, end in out for at in range(first, end) if b[at].seq not in self.done]
        self._ready.extendleft(reversed(left))
        self.handed_out -= len(left)

    def is_down(self, down: bool) -> None:
        self.down.append(down)
        self.changed.set()

    @property
    def delivered_seqs(self) -> list[int]:
        return [seq for seq, how in self.done.items() if how == "delivered"]

    async def settled(self, count: int) -> None:
        """Wait until that many events are delivered or parked."""
        await self.until(lambda: len(self.done) >= count)

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self.changed.clear()
            await self.changed.wait()


def uplink_config(port: int, **changes: Any) -> UplinkConfig:
    own = {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "60s", "status_topic": "off"}
    mqtt = {**own, **changes.pop("mqtt", {})}
    return UplinkConfig.model_validate({"mqtt": mqtt, **changes})


@asynccontextmanager
async def running(
    feed: MemoryFeed, port: int, *, timing: Timing = FAST, name: str = "cloud", **changes: Any
) -> AsyncIterator[MqttUplink]:
    """An uplink that runs until the block ends."""
    uplink = MqttUplink(name, uplink_config(port, **changes), feed, gateway="gw", rng=Random(7), timing=timing)
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        yield uplink
    finally:
        await uplink.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    """Wait, without a bell to wait for, until something is so."""
    while not is_so():
        await asyncio.sleep(0.002)


async def end_of(mqtt: dict[str, Any]) -> tuple[str, str]:
    """Connect; return state and reason of the uplink once it does not try for a moment."""
    async with running(MemoryFeed(), 1, mqtt=mqtt) as uplink:
        await until(lambda: uplink.status.state in ("backoff", "refused", "connected"))
        return uplink.status.state, uplink.status.reason


@asynccontextmanager
async def mosquitto(folder: Path, *lines: str, port: int | None = None) -> AsyncIterator[int]:
    """A real broker, on a free port; the test is skipped where there is none."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    port = port or free_port()
    settings = folder / f"mosquitto-{port}.conf"
    text = "\n".join((f"listener {port} 127.0.0.1", f"user {getpass.getuser()}", "max_queued_messages 0", *lines))
    settings.write_text(text if "allow_anonymous" in text else text + "\nallow_anonymous true\n")
    process = await asyncio.create_subprocess_exec(
        program, "-c", settings, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            await writer.wait_closed()
            break
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class Peer:
    """One connection as a scripted broker has it."""

    def __init__(self, broker: ScriptedBroker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.broker = broker
        self.number = len(broker.peers) + 1
        self.connect: Connect | None = None
        self.got: list[Publish] = []
        self.packets: list[Packet] = []
        self.version = 5
        self._reader = reader
        self.writer = writer

    def send(self, packet: Packet) -> None:
        self.writer.write(encode(packet, self.version))

    def ack(self, publish: Publish, reason: int = 0) -> None:
        self.send(PubAck(publish.packet_id, reason))

    def close(self) -> None:
        self.writer.close()

    @property
    def is_closed(self) -> bool:
        """Whether the client has closed its side."""
        return self._reader.at_eof()

    async def serve(self) -> None:
        decoder = Decoder(version=None, max_packet_bytes=1 << 20, from_client=True)
        while chunk := await self._reader.read(65536):
            packets = decoder.feed(chunk)
            if packets and all(isinstance(packet, PubAck) for packet in packets):
                self.broker.on_acks(self, len(packets))
            for packet in packets:
                self.packets.append(packet)
                if isinstance(packet, Connect):
                    self.connect = packet
                    self.version = packet.version
                    self.broker.on_connect(self)
                elif isinstance(packet, Publish):
                    self.got.append(packet)
                    self.broker.arrived.append(packet)
                    self.broker.on_publish(self, packet)
                elif isinstance(packet, PingReq):
                    self.broker.on_ping(self)
                else:
                    self.broker.on_other(self, packet)


class ScriptedBroker:
    """A broker that does what the test says, packet by packet; by default it is a good one."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.arrived: list[Publish] = []
        self.on_connect: Callable[[Peer], None] = lambda peer: peer.send(ConnAck())
        self.on_publish: Callable[[Peer, Publish], None] = lambda peer, publish: peer.ack(publish)
        self.on_ping: Callable[[Peer], None] = lambda peer: peer.send(PingResp())
        self.on_acks: Callable[[Peer, int], None] = lambda peer, count: None  # a read of nothing but PUBACKs
        self.on_other: Callable[[Peer, Packet], None] = lambda peer, packet: None
        self.port = 0

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedBroker]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for peer in self.peers:
                peer.writer.transport.abort()
            await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(self, reader, writer)
        self.peers.append(peer)
        with suppress(ConnectionError):
            await peer.serve()
        writer.close()
