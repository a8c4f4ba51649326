"""The contract of `fieldgate.ingest.source`, kept by all that hand over: listeners, broker, serial port, Modbus units.

Real sockets and ptys. A `Sender` is whoever publishes: a device at a listener or a port, the broker of a source.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest

from fieldgate.ingest.serial_source import SerialSource
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import PingReq, PingResp, Properties, PubAck, PubComp, Publish, PubRel
from fieldgate_simulators.modbus_server import ModbusServer
from http_kit import HttpClient, post, serving_http
from listener_kit import HeldIntake, RawClient, SettlingIntake, serving
from modbus_kit import make_unit, running_modbus
from serial_kit import PtyDevice, reading
from source_kit import GoodBroker, running
from uplink_kit import Peer, until

KEPT = Properties(session_expiry_s=60)
ASKED = 2  # times: in one read with what is asked about, the first question is answered before it


class Mouth(Protocol):
    """Says something to a source, which need not answer."""

    def send(self, *packet_ids: int) -> None:
        """Publish one message per id, its payload the id, in one write."""


class Sender(Mouth, Protocol):
    """One connection that publishes at QoS 1 to ``sensors/a``."""

    async def acked(self) -> list[int]:
        """The ids acknowledged so far, on all connections, in order; asked behind a packet that is answered at once."""

    async def come_again(self) -> None:
        """End the connection without a word, and go on with the session on another one."""


def _wire(packet_ids: tuple[int, ...]) -> bytes:
    return b"".join(encode(Publish("sensors/a", b"%d" % n, 1, packet_id=n), 5) for n in packet_ids)


class _Device:
    """A client of the listener."""

    def __init__(self, client: RawClient, port: int) -> None:
        self._client = client
        self._port = port
        self._acked: list[int] = []

    @classmethod
    async def connected(cls, port: int) -> _Device:
        return cls(await RawClient.connect(port, version=5, clean=False, properties=KEPT), port)

    def send(self, *packet_ids: int) -> None:
        self._client.writer.write(_wire(packet_ids))

    async def acked(self) -> list[int]:
        for _ in range(ASKED):
            self._client.write(PingReq())
            while not isinstance(packet := await self._client.receive(), PingResp):
                assert isinstance(packet, PubAck)
                self._acked.append(packet.packet_id)
        return self._acked

    async def come_again(self) -> None:
        self._client.writer.transport.abort()
        self._client = (await _Device.connected(self._port))._client
        assert self._client.connack.session_present


class _Broker:
    """The broker of a source."""

    def __init__(self, broker: GoodBroker) -> None:
        self._broker = broker

    def send(self, *packet_ids: int) -> None:
        self._broker.peers[-1].writer.write(_wire(packet_ids))

    async def acked(self) -> list[int]:
        peer = self._broker.peers[-1]
        for _ in range(ASKED):
            before = _completions(peer)
            peer.send(PubRel(65_535))  # of no message: nothing that a client answers comes closer to a ping
            await until(lambda before=before: _completions(peer) > before)
        return [one.packet_id for peer in self._broker.peers for one in peer.packets if isinstance(one, PubAck)]

    async def come_again(self) -> None:
        self._broker.session = True
        count = len(self._broker.peers)
        self._broker.peers[-1].writer.transport.abort()
        await until(lambda: len(self._broker.peers) > count and self._broker.peers[-1].connect is not None)


def _completions(peer: Peer) -> int:
    return sum(isinstance(one, PubComp) for one in peer.packets)


class _Poster:
    """A client of the HTTP listener, which sends without waiting for answers. They bear no id: order tells."""

    def __init__(self, client: HttpClient, port: int) -> None:
        self._client = client
        self._port = port
        self._unanswered: list[int] = []
        self._acked: list[int] = []

    def send(self, *packet_ids: int) -> None:
        self._unanswered += packet_ids
        self._client.send(*(post("/sensors/a", b"%d" % n) for n in packet_ids))

    async def acked(self) -> list[int]:
        """Nothing is answered out of its turn, so that only silence tells."""
        try:
            while True:
                assert (await self._client.answer(within_s=0.1)).status == 204
                self._acked.append(self._unanswered.pop(0))
        except TimeoutError:
            return self._acked

    async def come_again(self) -> None:
        """HTTP knows no session."""
        self._client.writer.transport.abort()
        self._client = await HttpClient.open(self._port)
        self._unanswered.clear()


class _SerialDevice:
    """A device on a pty; nobody can tell it anything."""

    def __init__(self, device: PtyDevice, source: SerialSource) -> None:
        self._device = device
        self.source = source

    def send(self, *packet_ids: int) -> None:
        self._device.write(b"".join(b"%d\n" % n for n in packet_ids))

    def come_again(self) -> None:
        self._device.unplug()
        self._device.plug()


@asynccontextmanager
async def _port(intake: HeldIntake) -> AsyncIterator[_SerialDevice]:
    with TemporaryDirectory() as folder, PtyDevice(Path(folder) / "port") as device:
        async with reading(intake, device.link) as source:
            await until(lambda: source.is_connected)
            yield _SerialDevice(device, source)


@asynccontextmanager
async def _http(intake: HeldIntake) -> AsyncIterator[Sender]:
    async with serving_http(intake) as listener:
        yield _Poster(await HttpClient.open(listener.port), listener.port)


@asynccontextmanager
async def _listener(intake: HeldIntake) -> AsyncIterator[Sender]:
    async with serving(intake) as listener:
        yield await _Device.connected(listener.port)


@asynccontextmanager
async def _source(intake: HeldIntake) -> AsyncIterator[Sender]:
    broker = GoodBroker()
    async with broker.serving(), running(intake, broker.port):
        await until(lambda: bool(broker.subscribed))
        yield _Broker(broker)


Heard = Callable[[HeldIntake], AbstractAsyncContextManager[Mouth]]
Made = Callable[[HeldIntake], AbstractAsyncContextManager[Sender]]
all_kinds = pytest.mark.parametrize(
    "made", [_listener, _source, _http, _port], ids=["listener", "source", "http", "serial"]
)
every = pytest.mark.parametrize("made", [_listener, _source, _http], ids=["listener", "source", "http"])
that_hold = pytest.mark.parametrize("made", [_listener, _source], ids=["listener", "source"])


@all_kinds
async def test_a_read_is_one_batch_and_positions_count_from_0(made: Heard) -> None:
    """The flow works on batches; a position is how a source finds its message again."""
    intake = HeldIntake()
    async with made(intake) as sender:
        sender.send(*range(1, 51))
        await until(lambda: len(intake.heard) == 50)
        sender.send(*range(51, 61))
        await until(lambda: len(intake.heard) == 60)

    assert len(intake.batches) <= 4  # one per read; TCP may cut a write
    firsts = [first for _, first, _ in intake.batches]
    sizes = [len(received) for _, _, received in intake.batches]
    assert firsts == [sum(sizes[:n]) for n in range(len(sizes))]
    assert intake.payloads == [b"%d" % n for n in range(1, 61)]
    assert len({id(settler) for settler, _, _ in intake.batches}) == 1


@every
async def test_nothing_is_acknowledged_before_it_is_settled_and_then_in_order(made: Made) -> None:
    """P1 and [MQTT-4.6.0-2]."""
    intake = HeldIntake()
    async with made(intake) as sender:
        sender.send(7, 8)
        await until(lambda: len(intake.heard) == 2)
        sender.send(3)
        await until(lambda: len(intake.heard) == 3)
        assert await sender.acked() == []

        intake.settle(len(intake.batches) - 1)
        assert await sender.acked() == []
        for batch in range(len(intake.batches) - 1):
            intake.settle(batch)

        assert await sender.acked() == [7, 8, 3]


@every
async def test_one_that_settles_at_once_is_acknowledged_at_once(made: Made) -> None:
    """The intake may settle within `accept`: an event that no uplink wants."""
    async with made(SettlingIntake()) as sender:
        sender.send(1, 2, 3)

        assert await sender.acked() == [1, 2, 3]


@that_hold
async def test_a_closed_intake_gets_nothing_until_it_opens(made: Made) -> None:
    """Memory is full: what is held is handed over later, in order, and nothing of it is acknowledged before."""
    intake = SettlingIntake()
    intake.open = False
    async with made(intake) as sender:
        sender.send(1, 2)
        sender.send(3)
        assert await sender.acked() == []
        assert intake.heard == []

        intake.open = True
        await until(lambda: len(intake.heard) == 3)

        assert intake.payloads == [b"1", b"2", b"3"]
        assert await sender.acked() == [1, 2, 3]


async def test_a_closed_intake_gets_nothing_of_a_port_until_it_opens() -> None:
    """There is no answer to hold back: what comes waits here and in the port."""
    intake = SettlingIntake()
    intake.open = False
    async with _port(intake) as device:
        device.send(1, 2)
        await until(lambda: device.source.status.is_paused)
        device.send(3)
        assert intake.heard == []

        intake.open = True
        await until(lambda: len(intake.heard) == 3)

        assert intake.payloads == [b"1", b"2", b"3"]


async def test_what_a_port_said_is_counted_until_it_is_settled() -> None:
    """Positions are told once, in any order, also those of a connection that has gone; nothing is counted twice."""
    intake = HeldIntake()
    async with _port(intake) as device:
        device.send(1, 2)
        await until(lambda: len(intake.heard) == 2)
        device.come_again()
        device.send(3)
        await until(lambda: len(intake.heard) == 3)
        assert device.source.status.unsettled == 3

        for batch in reversed(range(len(intake.batches))):
            intake.settle(batch)

        status = device.source.status
        assert (status.unsettled, status.unsettled_bytes, status.reconnects) == (0, 0, 1)


async def test_a_closed_intake_gets_nothing_of_a_source_that_sends_away() -> None:
    """HTTP has an answer for it, so nothing is held: the sender keeps its message and comes again."""
    intake = SettlingIntake()
    intake.open = False
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)

        assert (await client.ask(post())).status == 503
        assert intake.heard == []


@every
async def test_what_settles_after_its_connection_has_gone_acknowledges_nothing_on_the_next(made: Made) -> None:
    """A token of an older generation never writes to a newer connection; what was sent there is sent again anyway."""
    intake = HeldIntake()
    async with made(intake) as sender:
        sender.send(1, 2)
        await until(lambda: len(intake.heard) == 2)
        await sender.come_again()

        for batch in range(len(intake.batches)):
            intake.settle(batch)

        assert await sender.acked() == []
        sender.send(3)
        await until(lambda: len(intake.heard) == 3)
        intake.settle(len(intake.batches) - 1)
        assert await sender.acked() == [3]


async def test_a_source_that_asks_counts_from_0_and_goes_on_counting_over_its_connections() -> None:
    """Modbus: nobody sends, so nobody is acknowledged; what is not safe yet is counted."""
    intake = HeldIntake()
    server = ModbusServer([make_unit()])
    async with server, running_modbus(intake, url=f"tcp://127.0.0.1:{server.port}") as source:
        await until(lambda: len(intake.batches) >= 2)
        await server.stop()
        await server.start()
        count = len(intake.batches)
        await until(lambda: len(intake.batches) >= count + 2)
        unsettled = source.status.unsettled
        count = len(intake.batches)
        for batch in reversed(range(count)):
            intake.settle(batch)
        left = source.status.unsettled

    assert [first for _, first, _ in intake.batches] == list(range(len(intake.batches)))
    assert all(len(received) == 1 for _, _, received in intake.batches)
    assert len({id(settler) for settler, _, _ in intake.batches}) == 1
    assert (unsettled, left) == (count, 0)
