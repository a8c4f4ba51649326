"""Raw sockets to a server under test, and the servers: our listener in a thread of its own, and mosquitto."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

import mqtt_bytes as mb
from gateway_kit import free_port
from listener_kit import LOOPS, SettlingIntake, serving
from mqtt_bytes import Got, Property

__all__ = [
    "BOTH_SLOWLY",
    "PATIENCE_S",
    "SHORT_PATIENCE_S",
    "Peer",
    "Server",
    "fieldgate_server",
    "fresh",
    "mosquitto_path",
    "mosquitto_server",
    "mosquitto_version",
]

PATIENCE_S = 8.0  # only a failing test waits that long
SHORT_PATIENCE_S = 0.15  # where failing is what is expected
BOTH_SLOWLY = pytest.mark.parametrize(
    "server", ["fieldgate", pytest.param("mosquitto", marks=pytest.mark.long)], indirect=True
)
"""For tests that wait for time to pass: the second opinion on them is for ``make test-long``."""
_numbers = count(1)


def fresh(stem: str) -> str:
    """A name that no other test uses: servers are shared."""
    return f"{stem}{next(_numbers)}"


class Ended(Exception):
    """The server closed the connection where a packet was expected."""


class Peer:
    """A client made of a socket: it sends what it is given and never answers by itself."""

    def __init__(self, server: Server, level: int) -> None:
        self.level = level
        self.client_id = ""
        self.connack = Got(0x20, b"\0\0", level)
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=server.patience_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""
        self._aside: list[Got] = []  # PUBLISHes that came while something else was waited for
        self._is_told = server.name == "fieldgate"

    def send(self, *chunks: bytes) -> None:
        with suppress(ConnectionError):  # the server may have closed already; what it said is still to be read
            self._socket.sendall(b"".join(chunks))

    def next(self) -> Got:
        """The next packet. Raises `Ended` when there is none any more."""
        while (found := self._cut()) is None:
            self._read()
        return found

    def _cut(self) -> Got | None:
        held = self._held
        size = shift = 0
        for at in range(1, min(5, len(held))):
            size |= (held[at] & 127) << shift
            shift += 7
            if held[at] < 128:
                end = at + 1 + size
                if len(held) < end:
                    return None
                self._held = held[end:]
                return Got(held[0], held[at + 1 : end], self.level)
        return None

    def _read(self) -> None:
        try:
            chunk = self._socket.recv(65_536)
        except ConnectionError as error:
            raise Ended("reset") from error
        if not chunk:
            raise Ended("closed")
        self._held += chunk

    def expect(self, kind: int) -> Got:
        """The next packet, which is of this kind."""
        got = self.next()
        assert got.kind == kind, f"packet type {got.kind} ({got.wire.hex()}) instead of {kind}"
        return got

    def ask(self, *chunks: bytes, kind: int) -> Got:
        """Send, and return the next packet, which is of this kind."""
        self.send(*chunks)
        return self.expect(kind)

    def answer(self, *chunks: bytes, kind: int) -> Got:
        """As `ask`, but PUBLISHes may come before; `messages` has them later."""
        self.send(*chunks)
        while (got := self.next()).kind == mb.PUBLISH:
            self._aside.append(got)
        assert got.kind == kind, f"packet type {got.kind} ({got.wire.hex()}) instead of {kind}"
        return got

    def drain(self) -> list[Got]:
        """Everything that the server sends before it answers a PINGREQ: a barrier, not a wait."""
        self.send(mb.PINGREQ)
        found = []
        while (got := self.next()).kind != mb.PINGRESP:
            found.append(got)
        return found

    def end(self) -> list[Got]:
        """What still comes until the server closes; a server that does not close in time fails the test."""
        found: list[Got] = []
        try:
            while True:
                found.append(self.next())
        except Ended:
            return found
        except TimeoutError:
            raise AssertionError(f"the server has not closed the connection; it said {found}") from None

    def rejected(self, *codes: int) -> None:
        """The server ends this connection because of what it was sent, and answers nothing else from now on.

        Our listener tells MQTT 5 clients one of ``codes`` by DISCONNECT first, which a server should and need not
        [MQTT5 4.13.1]; in 3.1.1 the close says it all.
        """
        said = self.end()
        if self.level != 5 or (not said and not self._is_told):
            assert said == [], said
            return
        assert [got.kind for got in said] == [mb.DISCONNECT], said
        assert said[0].reason in codes, f"{said[0].reason:#04x} instead of {[hex(code) for code in codes]}"

    def refused(self, *codes: int) -> None:
        """The server does not accept the CONNECT: it closes, after a CONNACK with one of ``codes`` or without."""
        said = self.end()
        if said:
            assert [got.kind for got in said] == [mb.CONNACK], said
            assert not said[0].session_present  # [MQTT-3.2.2-6]
            assert said[0].reason in codes, f"{said[0].reason:#04x} instead of {[hex(code) for code in codes]}"

    def close(self) -> None:
        self._socket.close()

    def vanish(self) -> None:
        """Break the connection as a fallen link would show it: without DISCONNECT."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    # what nearly every test does

    def subscribe(self, *filters: str | tuple[str, int], properties: tuple[Property, ...] = ()) -> list[int]:
        """Subscribe and return the codes; what was retained follows."""
        sent = mb.subscribe(*filters, packet_id=77, level=self.level, properties=properties)
        got = self.answer(sent, kind=mb.SUBACK)
        assert got.packet_id == 77
        return got.reasons

    def publish(self, topic: str, payload: bytes = b"", *, qos: int = 1, **rest: object) -> None:
        """Publish, and wait until the server has it."""
        packet_id = next(_numbers) % 65_535 + 1 if qos else 0
        sent = mb.publish(topic, payload, level=self.level, qos=qos, packet_id=packet_id, **rest)  # type: ignore[arg-type]
        if qos == 1:
            assert self.answer(sent, kind=mb.PUBACK).packet_id == packet_id
        elif qos == 2:
            assert self.answer(sent, kind=mb.PUBREC).packet_id == packet_id
            assert self.answer(mb.ack(mb.PUBREL, packet_id), kind=mb.PUBCOMP).packet_id == packet_id
        else:
            self.answer(sent, mb.PINGREQ, kind=mb.PINGRESP)

    def messages(self) -> list[Got]:
        """The PUBLISHes that have come; those of QoS 1 and 2 are acknowledged to their end."""
        found: list[Got] = []
        while True:
            batch = self._aside + self.drain()
            self._aside = []
            if not batch:
                return found
            for got in batch:
                if got.kind == mb.PUBLISH:
                    found.append(got)
                    if got.qos:
                        self.send(mb.ack(mb.PUBACK if got.qos == 1 else mb.PUBREC, got.packet_id))
                elif got.kind == mb.PUBREL:
                    self.send(mb.ack(mb.PUBCOMP, got.packet_id))
                else:
                    raise AssertionError(f"unexpected {got}")


class Server:
    """A server under test; `close_peers` ends what a test left open."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.patience_s = PATIENCE_S
        self.peers: list[Peer] = []

    def open(self, level: int = 5) -> Peer:
        """A connection on which nothing was said yet."""
        peer = Peer(self, level)
        self.peers.append(peer)
        return peer

    def connect(self, client_id: str | None = None, *, level: int = 5, **rest: object) -> Peer:
        """A connection that the server has accepted."""
        peer = self.open(level)
        peer.client_id = fresh("c") if client_id is None else client_id
        sent = mb.connect(peer.client_id, level=level, **rest)  # type: ignore[arg-type]
        peer.connack = peer.ask(sent, kind=mb.CONNACK)
        assert peer.connack.reason == 0, peer.connack
        return peer

    def wait(self, duration_s: float, *, exactly: bool = False) -> None:
        """Let time pass while nobody says anything: for what depends on the time alone.

        Mosquitto looks at the time once a second or less often, our listener four times; so it gets more, unless
        ``exactly``.
        """
        time.sleep(duration_s if exactly or self.name == "fieldgate" else duration_s + 1.5)

    def close_peers(self) -> None:
        while self.peers:
            self.peers.pop().close()


@contextmanager
def fieldgate_server(**settings: object) -> Iterator[Server]:
    """Our listener on a free port, in a thread with a loop of its own; every event is safe at once."""
    started = threading.Event()
    box: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []

    async def serve() -> None:
        async with serving(SettlingIntake(keep=False), **settings) as listener:
            over = asyncio.Event()
            box.append((asyncio.get_running_loop(), over, listener.port))
            started.set()
            await over.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=LOOPS[-1].values[0]) as runner:  # uvloop, as `fieldgate run` takes it
            runner.run(serve())

    thread = threading.Thread(target=run, name="listener")
    thread.start()
    assert started.wait(10), "the listener has not started"
    loop, over, port = box[0]
    server = Server("fieldgate", port)
    try:
        yield server
    finally:
        server.close_peers()
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


def mosquitto_path() -> str | None:
    """Where mosquitto is, if it is installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def mosquitto_version() -> str:
    """The version of the mosquitto here; empty without one."""
    path = mosquitto_path()
    if path is None:
        return ""
    said = subprocess.run([path, "-h"], capture_output=True, text=True, check=False).stdout.split()
    return said[2] if len(said) > 2 else ""


@contextmanager
def mosquitto_server(folder: Path) -> Iterator[Server]:
    """A mosquitto on a free port that lets everybody in."""
    path = mosquitto_path()
    assert path is not None
    port = free_port()
    config = folder / "mosquitto.conf"
    options = ("allow_anonymous true", "set_tcp_nodelay true", "persistence false", "max_packet_size 262144")
    config.write_text("\n".join((f"listener {port} 127.0.0.1", *options, "")), encoding="utf-8")
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([path, "-c", str(config)], stdout=log, stderr=log)
        server = Server("mosquitto", port)
        try:
            _wait_for(port)
            yield server
        finally:
            server.close_peers()
            process.terminate()
            process.wait(10)


def _wait_for(port: int) -> None:
    end_s = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < end_s, "mosquitto does not listen"
            time.sleep(0.02)
        else:
            return
