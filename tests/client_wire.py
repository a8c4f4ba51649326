"""A client session joined in memory with a server by script: bytes in, bytes out, a clock that is a number."""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate.mqtt.ack_line import AckLine
from fieldgate.mqtt.client_happenings import Happening
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    Packet,
    Publish,
)


class LineInbox:
    """A `ClientInbox` that a test settles: each QoS 1 message has its place in an `AckLine`."""

    def __init__(self) -> None:
        self.line = AckLine()
        self.runs: list[list[Publish]] = []
        self.released: list[int] = []
        self.is_over = False

    def take(self, publishes: Sequence[Publish], now_s: float) -> None:
        self.runs.append(list(publishes))
        self.line.add_events([one.packet_id for one in publishes], [0] * len(publishes), 0)

    def release(self, packet_id: int) -> bool:
        self.released.append(packet_id)
        return packet_id < 100

    def due(self) -> bytes:
        return self.line.take_due()[0]

    def end(self) -> None:
        assert not self.is_over
        self.is_over = True


class Wire:
    """A session and what a server sees of it; ``delivered`` are the numbers that were acknowledged."""

    def __init__(self, version: int = 5, *, has_inbox: bool = False, **settings: object) -> None:
        self.version = version
        self.delivered: list[int] = []
        self.inboxes: list[LineInbox] = []
        self.opened: list[tuple[int, bool]] = []
        self.session = ClientSession(
            ClientSettings("me", **settings),  # type: ignore[arg-type]
            delivered=self._delivered,
            open_inbox=self._open_inbox if has_inbox else None,
        )
        self.now_s = 100.0
        self.seen: list[Packet] = []
        self.count = 0
        self._decoder = Decoder(version=None, max_packet_bytes=1 << 24, from_client=True)

    def _delivered(self, batch: object, start: int, stop: int) -> None:
        self.delivered += range(start, stop)

    def _open_inbox(self, version: int, is_session_present: bool) -> LineInbox:
        self.opened.append((version, is_session_present))
        self.inboxes.append(LineInbox())
        return self.inboxes[-1]

    def connect(self, connack: ConnAck | None = None) -> list[Happening]:
        self._decoder = Decoder(version=None, max_packet_bytes=1 << 24, from_client=True)
        self.session.connect(self.version, self.now_s)
        (connect,) = self.take()
        assert isinstance(connect, Connect)
        return self.give(connack or ConnAck())

    def send(self, count: int) -> list[Publish]:
        """Publish that many messages, whose payloads are their numbers."""
        payloads = [b"%d" % (self.count + k) for k in range(count)]
        block = b"\x00" if self.version == 5 else b""
        self.session.publish(
            [b"\x00\x01t"] * count, [block] * count, payloads, batch="b", start=self.count, now_s=self.now_s
        )
        self.count += count
        return [packet for packet in self.take() if isinstance(packet, Publish)]

    def resend(self) -> list[Publish]:
        while (run := self.session.in_flight.next_held(65_535)) is not None:
            self.session.resend(run, self.now_s)
        return [packet for packet in self.take() if isinstance(packet, Publish)]

    def take(self) -> list[Packet]:
        packets = self._decoder.feed(b"".join(self.session.output()))
        self.seen += packets
        return packets

    def give(self, *packets: Packet) -> list[Happening]:
        return list(self.session.received(b"".join(encode(packet, self.version) for packet in packets), self.now_s))

    def pass_s(self, duration_s: float, *, step_s: float = 0.5) -> list[Happening]:
        """Let time go by, polling; stops at the first happening."""
        until_s = self.now_s + duration_s
        while self.now_s < until_s:
            self.now_s = min(until_s, self.now_s + step_s)
            if happenings := list(self.session.poll(self.now_s)):
                return happenings
        return []
