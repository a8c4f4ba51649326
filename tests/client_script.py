"""A client session and a server by script that speaks bytes; what the client says is read without our codec."""

from __future__ import annotations

from dataclasses import dataclass

import mqtt_bytes as mb
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.source import Received
from fieldgate.ingest.source_inbox import SourceInbox, SourceLimits, SourceState
from fieldgate.ingest.source_topics import SourceTopics
from fieldgate.mqtt.client_happenings import Ended, Happening
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from listener_kit import HeldIntake
from source_kit import source_config

__all__ = ["Said", "Script", "connack"]


def connack(level: int, code: int = 0, *, is_present: bool = False, properties: tuple[mb.Property, ...] = ()) -> bytes:
    """A CONNACK of either version."""
    return mb.packet(0x20, bytes((is_present, code)), mb.props(*properties) if level == 5 else b"")


@dataclass(frozen=True)
class Said:
    """A packet of the client: its first byte and its body."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        return self.first >> 4

    @property
    def wire(self) -> bytes:
        return mb.packet(self.first, self.body)


class Script:
    """The server's side of one client's connections: a source's, or an uplink's, which asks for nothing.

    Time is a number.
    """

    def __init__(self, level: int, *, is_uplink: bool = False, **settings: object) -> None:
        self.level = level
        self.now_s = 1000.0
        self.delivered: list[int] = []
        self.sent = 0
        self._intake = HeldIntake()
        topics = SourceTopics(source_config(1, mqtt={"subscribe": ["#"]}), own=())
        self._state = SourceState("me", topics, EchoGuard("gw", ()), lane=1)
        self.session = ClientSession(
            ClientSettings("me", **settings),  # type: ignore[arg-type]
            delivered=self._delivered,
            open_inbox=None if is_uplink else self._open_inbox,
        )

    def _open_inbox(self, _version: int, _is_session_present: bool) -> SourceInbox:
        return SourceInbox(self, self._state, intake=self._intake, limits=SourceLimits())

    def pause_reading(self) -> None:
        """See `Throttle`; nothing here is large enough."""

    def resume_reading(self) -> None:
        """See `Throttle`."""

    def kick(self) -> None:
        """See `Throttle`; `settle` writes what is due."""

    def _delivered(self, batch: object, start: int, stop: int) -> None:
        self.delivered += range(start, stop)

    def connect(self, answer: bytes | None = None) -> Said:
        """Connect, answer, and return the CONNECT."""
        self.session.connect(self.level, self.now_s)
        (said,) = self.said()
        assert said.kind == mb.CONNECT
        self.hear(connack(self.level) if answer is None else answer)
        return said

    def hear(self, *chunks: bytes) -> list[Happening]:
        """The server says this."""
        return list(self.session.received(b"".join(chunks), self.now_s))

    def receive(self, *chunks: bytes) -> list[Received]:
        """The server sends these messages; return what the client makes of them."""
        before = len(self._intake.heard)
        self.hear(*chunks)
        return self._intake.heard[before:]

    def settle(self, number: int) -> None:
        """The message that was received as number ``number`` (0 is the first) is safe."""
        places = [(by, first + at) for by, first, heard in self._intake.batches for at in range(len(heard))]
        settler, position = places[number]
        settler.settled(position, 1)
        self.session.acknowledge(self.now_s)

    def said(self) -> list[Said]:
        """What the client has said since the last look."""
        raw = b"".join(self.session.output())
        found, at = [], 0
        while at < len(raw):
            size = shift = 0
            end = at + 1
            while True:
                size |= (raw[end] & 127) << shift
                shift += 7
                end += 1
                if raw[end - 1] < 128:
                    break
            found.append(Said(raw[at], raw[end : end + size]))
            at = end + size
        assert at == len(raw)
        return found

    def publish(self, count: int = 1, *, topic: str = "t") -> list[Said]:
        """Publish the next numbers, and return the packets."""
        block = b"\0" if self.level == 5 else b""
        payloads = [b"%d" % (self.sent + number) for number in range(count)]
        self.session.publish(
            [mb.text(topic)] * count, [block] * count, payloads, batch="b", start=self.sent, now_s=self.now_s
        )
        self.sent += count
        return self.said()

    def resend(self) -> list[Said]:
        """Let what is held be sent again."""
        while (run := self.session.in_flight.next_held(65_535)) is not None:
            self.session.resend(run, self.now_s)
        return self.said()

    def delivery(self, payload: bytes = b"p", *, qos: int = 1, packet_id: int = 1, **rest: object) -> bytes:
        """A PUBLISH of the server."""
        topic = rest.pop("topic", "t")
        return mb.publish(topic, payload, level=self.level, qos=qos, packet_id=packet_id, **rest)  # type: ignore[arg-type]

    def ends(self, *chunks: bytes, codes: tuple[int, ...] = (0x81, 0x82)) -> Ended:
        """What the server says ends the connection; the last word of an MQTT 5 client gives one of ``codes``."""
        happenings = self.hear(*chunks)
        ended = happenings[-1]
        assert isinstance(ended, Ended), happenings
        said = self.said()
        if self.level == 5:
            assert said[-1].kind == mb.DISCONNECT, said
            assert said[-1].body[0] in codes, said
        assert not self.session.is_connected
        return ended
