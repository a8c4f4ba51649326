"""The client's side of an MQTT session, 3.1.1 and 5, over as many connections as it takes.

Laws of this file:

- Fed bytes and ``now_s``; answers happenings, and bytes to write (`output`). No clock, no socket, no log.
- What the server has acknowledged goes straight to ``delivered``; everything else that matters is a `Happening`.
- QoS 1 messages live in `InFlight` over connections. On a new one they are ``held`` until the owner has them sent
  again (`resend`), before anything new; the owner decides how many at a time.
- A silent server is given up: after 1.25 x keep-alive at most when the link is dead, after ``puback_timeout_s`` when
  it answers pings and nothing else, or leaves one message behind all others.
- What the server publishes goes to the connection's `ClientInbox` a run at a time; it says what is acknowledged when.

What it will not do: send at QoS 2, AUTH, topic aliases, wills.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from fieldgate.mqtt.client_happenings import (
    Connected,
    Ended,
    Happening,
    Refused,
    Rejected,
    Subscribed,
    connack_text,
    disconnect_text,
)
from fieldgate.mqtt.client_inbox import ClientInbox, OpenInbox, unasked
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.codec import CodecError, Decoder, encode
from fieldgate.mqtt.framing import encode_publishes, short_pubacks
from fieldgate.mqtt.in_flight import Delivered, InFlight, Piece, Run
from fieldgate.mqtt.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRel,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
)
from fieldgate.mqtt.violation import Violation

__all__ = ["ClientSession"]

_MAX_WINDOW: Final = 65_000  # leaves packet ids for SUBSCRIBE
_NOTHING: Final[tuple[Happening, ...]] = ()
_PING_AFTER: Final = 0.75  # of the keep-alive: silence after which the server is asked
_PING_PATIENCE: Final = 0.5  # of the keep-alive: how long it may take to answer


class _Phase(Enum):
    CLOSED = "closed"
    CONNECTING = "waits for CONNACK"
    CONNECTED = "connected"


class ClientSession:
    """One client id's session. ``acked``, ``sent``, ``resent``, ``stray_acks`` count messages over its life."""

    def __init__(
        self,
        settings: ClientSettings,
        *,
        delivered: Delivered,
        first_id: int = 1,
        open_inbox: OpenInbox | None = None,
    ) -> None:
        self.settings = settings
        self.in_flight = InFlight(first_id=first_id)
        self.version = 5
        self.window = 0  # most messages without a PUBACK, as this server wants it
        self.max_packet_bytes: int | None = None  # the server's Maximum Packet Size
        self.kept_s: int | None = None  # how long the server keeps the session, where it says so
        self.acked = self.sent = self.resent = self.stray_acks = 0
        self._delivered = delivered
        self._phase = _Phase.CLOSED
        self._decoder: Decoder | None = None
        self._tail = b""  # the beginning of a packet, kept from the decoder until its kind is known
        self._out: list[bytes] = []
        self._open_inbox = open_inbox or unasked(settings.receive_maximum)
        self._inbox: ClientInbox | None = None
        self._is_reading = True
        self._keep_alive_s = settings.keep_alive_s
        self._heard_s = self._written_s = 0.0
        self._pinged_s: float | None = None
        self._waiting_since_s = 0.0  # last PUBACK, or when the first message since was sent
        self._head_since_s = 0.0  # when the oldest message was overtaken

    # -- connections ------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the server has accepted the connection and it is not known to be over."""
        return self._phase is _Phase.CONNECTED

    def connect(self, version: int, now_s: float) -> None:
        """Begin a connection with a CONNECT for protocol level ``version`` (4 or 5)."""
        settings = self.settings
        self.version = version
        self._phase = _Phase.CONNECTING
        self._decoder = Decoder(version=version, max_packet_bytes=settings.max_packet_bytes, from_client=False)
        self._tail = b""
        self._end_inbox()
        self._is_reading = True
        self._pinged_s = None
        self._heard_s = now_s
        self._out.clear()
        self.in_flight.release_all()
        self._write(encode(settings.connect(version), version), now_s)

    def output(self) -> list[bytes]:
        """Take what is to be written now."""
        out, self._out = self._out, []
        return out

    def disconnect(self, now_s: float, reason: int = Reason.SUCCESS) -> None:
        """Say goodbye; nothing but `output` may follow before the next `connect`. Does nothing when not connected."""
        if self._phase is _Phase.CONNECTED:
            goodbye = Disconnect(reason) if self.version == 5 else Disconnect()
            self._write(encode(goodbye, self.version), now_s)
        self._phase = _Phase.CLOSED

    def closed(self) -> None:
        """The connection is gone."""
        self._phase = _Phase.CLOSED
        self._out.clear()
        self._end_inbox()

    def _end_inbox(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.end()

    # -- sending ----------------------------------------------------------------------------------------------

    def room(self, window: int) -> int:
        """Return how many messages may be sent now with at most ``window`` in flight; the server's limit holds too."""
        return min(window, self.window) - self.in_flight.sent_count if self._phase is _Phase.CONNECTED else 0

    def publish(
        self,
        topics: Sequence[bytes],
        properties: Sequence[bytes],
        payloads: Sequence[bytes],
        *,
        batch: object,
        start: int,
        now_s: float,
    ) -> int:
        """Send ``events[start:]`` of ``batch`` as new messages; return how many bytes that is. See `encode_publishes`.

        The caller keeps to `room` and to ``max_packet_bytes``, and has nothing held left to send.
        """
        in_flight = self.in_flight
        if not in_flight.sent_count:
            self._waiting_since_s = now_s
        self._written_s = now_s
        done, total, size = 0, len(payloads), 0
        while done < total:
            first_id, count = in_flight.span(total - done)
            if count == total:
                wire = encode_publishes(topics, properties, payloads, first_id)
            else:  # the ids wrap, or some are still in use
                end = done + count
                wire = encode_publishes(topics[done:end], properties[done:end], payloads[done:end], first_id)
            in_flight.add(Run(first_id, count, wire, batch=batch, start=start + done))
            self._out.append(wire)
            done += count
            size += len(wire)
        self.sent += total
        return size

    def publish_joint(
        self, topic: bytes, properties: bytes, payload: bytes, *, pieces: tuple[Piece, ...], now_s: float
    ) -> int:
        """Send one message that carries all of ``pieces``; return its size. As `publish` otherwise."""
        if not self.in_flight.sent_count:
            self._waiting_since_s = now_s
        first_id, _ = self.in_flight.span(1)
        wire = encode_publishes([topic], [properties], [payload], first_id)
        self.in_flight.add(Run(first_id, 1, wire, pieces=pieces))
        self._write(wire, now_s)
        self.sent += 1
        return len(wire)

    def resend(self, run: Run, now_s: float) -> None:
        """Send again what `InFlight.next_held` gave."""
        if not self.in_flight.sent_count:
            self._waiting_since_s = now_s
        self.resent += run.count
        self._write(self.in_flight.send_again(run), now_s)

    def subscribe(self, subscriptions: Sequence[Subscription], now_s: float) -> int:
        """Send a SUBSCRIBE and return its packet id, by which `Subscribed` answers; 0 when no id is free."""
        packet_id = self.in_flight.reserve()
        if packet_id:
            self._write(encode(Subscribe(packet_id, tuple(subscriptions)), self.version), now_s)
        return packet_id

    def unsubscribe(self, filters: Sequence[str], now_s: float) -> int:
        """Send an UNSUBSCRIBE; as `subscribe`."""
        packet_id = self.in_flight.reserve()
        if packet_id:
            self._write(encode(Unsubscribe(packet_id, tuple(filters)), self.version), now_s)
        return packet_id

    def acknowledge(self, now_s: float) -> None:
        """Write the acknowledgements of what was received that are due."""
        if self._inbox is not None and self._phase is _Phase.CONNECTED:
            due = self._inbox.due()
            if due:
                self._write(due, now_s)

    # -- receiving --------------------------------------------------------------------------------------------

    def received(self, chunk: bytes, now_s: float) -> Sequence[Happening]:
        """Take what was read from the socket."""
        self._heard_s = now_s
        self._pinged_s = None
        decoder = self._decoder
        if self._phase is _Phase.CLOSED or decoder is None:
            return _NOTHING
        if self._tail:
            chunk, self._tail = self._tail + chunk, b""
        if self._phase is _Phase.CONNECTING and self.version == 5 and chunk[:2] == b"\x20\x02"[: len(chunk)]:
            return self._old_connack(chunk)
        if self._phase is _Phase.CONNECTED and decoder.is_between_packets:
            chunk = self._take_pubacks(chunk, now_s)
            if not chunk:
                return _NOTHING
        happenings: list[Happening] = []
        try:
            packets = decoder.feed(chunk)
        except CodecError as error:
            self._take(error.packets, happenings, now_s)
            if not any(isinstance(happening, Ended | Refused) for happening in happenings):
                happenings.append(self._violated(error.reason, str(error), now_s))
            return happenings
        self._take(packets, happenings, now_s)
        return happenings

    def _take_pubacks(self, chunk: bytes, now_s: float) -> bytes:
        """The fast path: take the expected PUBACKs, keep one that is cut off, and return what is left to decode."""
        if chunk[:2] == b"\x40\x03" and self.version == 5:
            whole = len(chunk) - len(chunk) % 5
            chunk = (short_pubacks(chunk[:whole]) or chunk[:whole]) + chunk[whole:]
        used = self.in_flight.acknowledge(chunk, self._delivered)
        if used:
            self.acked += used >> 2
            self._waiting_since_s = now_s
            chunk = chunk[used:]
        size = len(chunk)
        if size < 5 and chunk[:1] == b"\x40" and (size == 1 or size < 2 + chunk[1]):
            self._tail = chunk
            return b""
        return chunk

    def _take(self, packets: Sequence[Packet], happenings: list[Happening], now_s: float) -> None:
        acks: list[int] = []
        publishes: list[Publish] = []
        for packet in packets:
            if type(packet) is Publish and self._phase is _Phase.CONNECTED:
                publishes.append(packet)
                continue
            if publishes:
                self._incoming(publishes, happenings, now_s)
                publishes = []
            if type(packet) is PubAck and packet.reason < 0x80 and self._phase is _Phase.CONNECTED:
                acks.append(packet.packet_id)
                continue
            if acks:
                self._pubacks(acks, now_s)
                acks = []
            if self._phase is _Phase.CLOSED:
                return
            if self._phase is _Phase.CONNECTING:
                happenings.append(self._first(packet, now_s))
            else:
                self._other(packet, happenings, now_s)
        if acks:
            self._pubacks(acks, now_s)
        if publishes:
            self._incoming(publishes, happenings, now_s)

    def _pubacks(self, ids: list[int], now_s: float) -> None:
        """Book PUBACKs of success, by runs of consecutive ids."""
        in_flight = self.in_flight
        was_overtaken = in_flight.is_overtaken
        taken = start = 0
        size = len(ids)
        for index in range(1, size + 1):
            if index == size or ids[index] != ids[index - 1] + 1:
                taken += in_flight.acknowledge_ids(ids[start], index - start, self._delivered)
                start = index
        self.acked += taken
        self.stray_acks += size - taken
        if taken:
            self._waiting_since_s = now_s
        if not was_overtaken:
            self._head_since_s = now_s

    def _other(self, packet: Packet, happenings: list[Happening], now_s: float) -> None:
        match packet:
            case PubAck():
                self._refused(packet, happenings, now_s)
            case PubRel():
                self._released(packet.packet_id, now_s)
            case PingResp():
                pass
            case SubAck() | UnsubAck():
                if self.in_flight.release(packet.packet_id):
                    happenings.append(Subscribed(packet.packet_id, packet.reasons))
                else:
                    self.stray_acks += 1
            case Disconnect():
                self._phase = _Phase.CLOSED
                happenings.append(Ended(disconnect_text(packet), packet.reason, is_by_server=True))
            case _:
                kind = type(packet).__name__.upper()
                happenings.append(self._violated(Reason.PROTOCOL_ERROR, f"an unexpected {kind}", now_s))

    def _refused(self, packet: PubAck, happenings: list[Happening], now_s: float) -> None:
        """The server did not take a message [MQTT5 3.4.2.1]."""
        run = self.in_flight.remove(packet.packet_id)
        if run is None:
            self.stray_acks += 1
            return
        self._waiting_since_s = now_s
        run.is_known = False
        if packet.reason == Reason.PACKET_ID_IN_USE:
            packet_id = self.in_flight.fresh_id()
            if packet_id:
                run.renumber(packet_id)
            self.in_flight.hold(run)
            return
        text = packet.properties.reason_string if packet.properties is not None else None
        happenings.append(Rejected(run, packet.reason, text or ""))

    def _incoming(self, publishes: list[Publish], happenings: list[Happening], now_s: float) -> None:
        if self._inbox is None or self._phase is not _Phase.CONNECTED:
            return
        try:
            self._inbox.take(publishes, now_s)
        except Violation as error:
            happenings.append(self._violated(error.reason, str(error), now_s))

    def _released(self, packet_id: int, now_s: float) -> None:
        """PUBREL is always answered; an id that is not known was released before [MQTT5 4.3.3]."""
        is_known = self._inbox is not None and self._inbox.release(packet_id)
        reason = Reason.PACKET_ID_NOT_FOUND if self.version == 5 and not is_known else 0
        self._write(encode(PubComp(packet_id, reason), self.version), now_s)

    # -- the first packet -------------------------------------------------------------------------------------

    def _first(self, packet: Packet, now_s: float) -> Happening:
        if not isinstance(packet, ConnAck):
            return self._violated(Reason.PROTOCOL_ERROR, f"{type(packet).__name__.upper()} instead of CONNACK", now_s)
        properties = packet.properties or Properties()
        if packet.reason:
            self._phase = _Phase.CLOSED
            is_version = packet.reason == (Reason.UNSUPPORTED_PROTOCOL_VERSION if self.version == 5 else 1)
            return Refused(packet.reason, connack_text(packet, self.version), is_version=is_version)
        if properties.maximum_qos == 0 and self.settings.window:
            self._phase = _Phase.CLOSED
            return Refused(Reason.QOS_NOT_SUPPORTED, "the server takes QoS 0 only, which confirms nothing")
        self._phase = _Phase.CONNECTED
        self.window = min(self.settings.window, _MAX_WINDOW, properties.receive_maximum or _MAX_WINDOW)
        self.max_packet_bytes = properties.maximum_packet_size
        self.kept_s = properties.session_expiry_s
        server_keep_alive_s = properties.server_keep_alive_s
        self._keep_alive_s = self.settings.keep_alive_s if server_keep_alive_s is None else server_keep_alive_s
        self._waiting_since_s = now_s
        self.in_flight.hold_all(is_session_present=packet.session_present)
        self._inbox = self._open_inbox(self.version, packet.session_present)
        return Connected(packet.session_present)

    def _old_connack(self, chunk: bytes) -> Sequence[Happening]:
        """A server that does not know MQTT 5 answers in the words of 3.1.1 [MQTT-3.1.2-2]."""
        if len(chunk) < 4:
            self._tail = chunk
            return _NOTHING
        self._phase = _Phase.CLOSED
        return [Refused(chunk[3], connack_text(ConnAck(chunk[3]), 4), is_version=True)]

    def _violated(self, reason: int, problem: str, now_s: float) -> Ended:
        self.disconnect(now_s, reason)
        if reason == Reason.PACKET_TOO_LARGE:  # a 3.1.1 server could not know
            return Ended(f"the server sent {problem}", reason)
        return Ended(f"the server broke the protocol: {problem}", reason)

    # -- time -------------------------------------------------------------------------------------------------

    @property
    def poll_interval_s(self) -> float:
        """How often to call `poll`: often enough for each limit to be kept to within a twentieth."""
        limits_s = [1.0, self.settings.puback_timeout_s / 20]
        if self._keep_alive_s:
            limits_s.append(self._keep_alive_s / 20)
        return max(min(limits_s), 0.01)

    def set_reading(self, is_reading: bool, now_s: float) -> None:
        """Say whether the owner reads the socket; while it does not, a server's silence means nothing."""
        self._is_reading = is_reading
        self._heard_s = now_s
        self._pinged_s = None

    def poll(self, now_s: float) -> Sequence[Happening]:
        """Look at the time: ping a silent server, give up a dead one."""
        if self._phase is not _Phase.CONNECTED:
            return _NOTHING
        keep_alive_s, patience_s = self._keep_alive_s, self.settings.puback_timeout_s
        if not self._is_reading:  # it must hear of us all the same; its answers wait in the socket
            if keep_alive_s and now_s - self._written_s >= _PING_AFTER * keep_alive_s:
                self._write(encode(PingReq(), self.version), now_s)
            return _NOTHING
        if self._pinged_s is not None and now_s - self._pinged_s >= _PING_PATIENCE * keep_alive_s:
            self._phase = _Phase.CLOSED
            silence_s = now_s - self._heard_s
            return [Ended(f"the server has been silent for {silence_s:.0f} s: the link is dead")]
        in_flight = self.in_flight
        if in_flight.sent_count and now_s - self._waiting_since_s >= patience_s:
            self.disconnect(now_s)
            return [Ended(f"no PUBACK for {patience_s:g} s with {in_flight.sent_count} messages on the way")]
        if in_flight.is_overtaken and now_s - self._head_since_s >= patience_s:
            self.disconnect(now_s)
            return [Ended(f"the server has passed over a message for {patience_s:g} s")]
        if keep_alive_s and self._pinged_s is None:
            quiet_s = now_s - min(self._heard_s, self._written_s)
            if quiet_s >= _PING_AFTER * keep_alive_s:
                self._write(encode(PingReq(), self.version), now_s)
                self._pinged_s = now_s
        return _NOTHING

    def _write(self, packet: bytes, now_s: float) -> None:
        self._out.append(packet)
        self._written_s = now_s
