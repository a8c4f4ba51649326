"""Ask a broker who it is and what it allows: CONNECT, CONNACK, three pings, DISCONNECT. Nothing is published.

It comes under a client id of its own, asks for a clean start and a session that ends with the connection, and leaves
no will: what the running gateway has there is not touched.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from fieldgate import clock
from fieldgate.config.broker import BrokerConfig
from fieldgate.doctor.tls_facts import TlsFacts, agreed_on
from fieldgate.errors import UplinkError
from fieldgate.mqtt.client_happenings import connack_text
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.codec import CodecError, Decoder, encode
from fieldgate.mqtt.packets import ConnAck, Disconnect, Packet, PingReq, PingResp
from fieldgate.mqtt.version_choice import VersionChoice
from fieldgate.net.dialler import Dialler
from fieldgate.net.link import Link
from fieldgate.net.login import client_settings
from fieldgate.net.refusals import ClosedByServer

__all__ = ["MOST_WAIT_S", "BrokerAnswer", "NoAnswer", "ask_broker", "own_client_id"]

MOST_WAIT_S: Final = 20.0
"""For one answer: who waits for a doctor does not wait for as long as a gateway may."""

_PINGS: Final = 3
_MAX_PACKET_BYTES: Final = 256 * 1024


class NoAnswer(UplinkError):
    """Something answers there that is no MQTT server, or it hangs up."""


@dataclass(frozen=True, slots=True)
class BrokerAnswer:
    """``refusal`` is empty where it lets us in; ``ping_ms`` is the fastest of a few, None where none came back."""

    connack: ConnAck
    version: int
    client_id: str
    connack_ms: float
    ping_ms: float | None = None
    refusal: str = ""
    tls: TlsFacts | None = None


def own_client_id() -> str:
    """A client id that nobody has, short enough for every server [MQTT-3.1.3-5]."""
    return f"fieldgate-doc-{secrets.token_hex(4)}"


async def ask_broker(config: BrokerConfig, dialler: Dialler, *, is_version_fixed: bool = False) -> BrokerAnswer:
    """Connect, in the version that the configuration says or falls back to, and return the answer.

    Raises:
        OSError: it cannot be reached, or TLS failed.
        UplinkError: a file cannot be used, or what answers is no broker.
        TimeoutError: nothing came in the time that the configuration gives, or in `MOST_WAIT_S`.
    """
    client_id = own_client_id()
    settings = msgspec.structs.replace(
        client_settings(config, client_id=client_id),
        client_id=client_id,
        keep_alive_s=30,
        session_expiry_s=0,
        will=None,
        clean_start=True,
        max_packet_bytes=_MAX_PACKET_BYTES,
    )
    versions = VersionChoice("5" if is_version_fixed else config.version)
    is_free = config.version == "auto" and not is_version_fixed
    while True:
        visit = _Visit(settings, versions.level)
        try:
            async with asyncio.timeout(min(config.connect_timeout, MOST_WAIT_S)):
                answer = await visit.make(dialler)
        except (ConnectionError, TimeoutError):
            is_mute = visit.is_connected and not visit.has_heard
            if not is_mute or not is_free or versions.level == 4:
                raise
            versions.closed()  # a server that does not know 5 may hang up on it: asked twice, then in 3.1.1
            continue
        if answer.refusal and _is_about_version(answer) and versions.refused():
            continue
        return answer


def _is_about_version(answer: BrokerAnswer) -> bool:
    return answer.connack.reason in (1, 0x84)


class _Visit:
    """One connection; the owner of its link."""

    def __init__(self, settings: ClientSettings, version: int) -> None:
        self.is_connected = self.has_heard = False
        self._settings = settings
        self._version = version
        self._decoder = Decoder(version=version, max_packet_bytes=settings.max_packet_bytes, from_client=False)
        self._packets: asyncio.Queue[Packet | Exception] = asyncio.Queue(maxsize=1000)  # more than it is asked for
        self._link: Link | None = None
        self._sent_s = 0.0
        self._broker = ""
        self._tls: TlsFacts | None = None

    async def make(self, dialler: Dialler) -> BrokerAnswer:
        """Come, ask, and leave."""
        self._broker = dialler.broker
        try:
            await dialler.open(self)
            first = await self._next()
            connack_ms = (clock.boot_s() - self._sent_s) * 1e3
            if not isinstance(first, ConnAck):
                raise NoAnswer(f"{dialler.broker} answers CONNECT with {type(first).__name__.upper()}: no MQTT server")
            answer = BrokerAnswer(
                first,
                self._version,
                self._settings.client_id,
                round(connack_ms, 1),
                tls=self._tls,
            )
            if first.reason:
                return replace(answer, refusal=connack_text(first, self._version))
            return replace(answer, ping_ms=await self._ping())
        finally:
            if self._link is not None:
                self._link.write([encode(Disconnect(), self._version)])
                self._link.close()

    async def _ping(self) -> float | None:
        """The fastest answer, which says how long the way is; a server that hangs up meanwhile has answered enough."""
        fastest_ms: float | None = None
        for _ in range(_PINGS):
            self._write(encode(PingReq(), self._version))
            try:
                while not isinstance(await self._next(), PingResp):
                    pass
            except OSError:
                break
            ping_ms = round((clock.boot_s() - self._sent_s) * 1e3, 2)
            fastest_ms = ping_ms if fastest_ms is None else min(fastest_ms, ping_ms)
        return fastest_ms

    async def _next(self) -> Packet:
        got = await self._packets.get()
        if isinstance(got, Exception):
            raise got
        return got

    def _write(self, packet: bytes) -> None:
        if self._link is not None:
            self._sent_s = clock.boot_s()
            self._link.write([packet])

    # -- LinkOwner ----------------------------------------------------------------------------------------------

    def link_made(self, link: Link) -> None:
        """Send CONNECT."""
        self._link, self.is_connected = link, True
        self._tls = None if link.tls is None else agreed_on(link.tls)
        self._write(encode(self._settings.connect(self._version), self._version))

    def link_received(self, link: Link, chunk: bytes) -> None:
        """Take what the server says."""
        self.has_heard = True
        try:
            for packet in self._decoder.feed(chunk):
                self._tell(packet)
        except CodecError as error:
            self._tell(NoAnswer(f"what answers there is no MQTT server: {error}"))

    def link_writable(self, link: Link) -> None:
        """What we write is small."""

    def link_lost(self, link: Link, error: Exception | None) -> None:
        """It is over before it was answered, or after."""
        self._tell(
            ClosedByServer(f"{self._broker} closed the connection instead of answering CONNECT")
            if error is None
            else error
        )

    def _tell(self, item: Packet | Exception) -> None:
        if not self._packets.full():
            self._packets.put_nowait(item)
