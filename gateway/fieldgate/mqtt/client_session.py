"""The client's side of an MQTT session, 3.1.1 and 5, over as many connections as it takes.

Laws of this file:

- Fed bytes and ``now_s``; answers happenings, and bytes to write (`output`). No clock, no socket, no log.
- What the server has acknowledged goes straight to ``delivered``; everything else that matters is a `Happening`.
- QoS 1 messages live in `InFlight` over connections. On a new one they are ``held`` until the owner has them sent
  again (`resend`), before anything new; the owner decides how many at a time.
- A server that is silent, or acknowledges nothing, is given up (`ServerWatch`).
- What the server publishes goes to the connection's `ClientInbox` a run at a time; it says what is acknowledged when.
- What is sent, and kept until it is acknowledged, is the other half: `ClientSender`.

What it will not do: send at QoS 2, AUTH.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from fieldgate.mqtt.client_happenings import (
    Connected,
    Ended,
    Happening,
    Refused,
    Rejected,
    Subscribed,
    disconnect_text,
)
from fieldgate.mqtt.client_inbox import ClientInbox, OpenInbox, unasked
from fieldgate.mqtt.client_sender import ClientSender, Phase
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.client_terms import old_refusal, refusal, terms_of
from fieldgate.mqtt.codec import CodecError, Decoder, encode
from fieldgate.mqtt.framing import short_pubacks
from fieldgate.mqtt.in_flight import Delivered
from fieldgate.mqtt.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRel,
    Reason,
    SubAck,
    UnsubAck,
)
from fieldgate.mqtt.violation import Violation

__all__ = ["ClientSession"]

_NOTHING: Final[tuple[Happening, ...]] = ()


class ClientSession(ClientSender):
    """One client id's session. ``acked``, ``sent``, ``resent``, ``stray_acks`` count messages over its life."""

    def __init__(
        self,
        settings: ClientSettings,
        *,
        delivered: Delivered,
        first_id: int = 1,
        open_inbox: OpenInbox | None = None,
    ) -> None:
        super().__init__(settings, first_id=first_id)
        self.acked = self.stray_acks = 0
        self._delivered = delivered
        self._decoder: Decoder | None = None
        self._tail = b""  # the beginning of a packet, kept from the decoder until its kind is known
        self._open_inbox = open_inbox or unasked(settings.receive_maximum)
        self._inbox: ClientInbox | None = None

    # -- connections ------------------------------------------------------------------------------------------

    def connect(self, version: int, now_s: float) -> None:
        """Begin a connection with a CONNECT for protocol level ``version`` (4 or 5)."""
        settings = self.settings
        self.version = version
        self._phase = Phase.CONNECTING
        self._decoder = Decoder(version=version, max_packet_bytes=settings.max_packet_bytes, from_client=False)
        self._tail = b""
        self._end_inbox()
        self._watch.begins(now_s)
        self._announcements.waiting.clear()
        self._out.clear()
        self.pings = self.pongs = 0
        self.in_flight.release_all()
        self._write(encode(settings.connect(version), version), now_s)

    def forget(self) -> None:
        """Have the server forget the session when the next connection begins, with all that it keeps for it."""
        self.settings = msgspec.structs.replace(self.settings, clean_start=True)

    def disconnect(self, now_s: float, reason: int = Reason.SUCCESS) -> None:
        """Say goodbye; nothing but `output` may follow before the next `connect`. Does nothing when not connected."""
        if self._phase is Phase.CONNECTED:
            goodbye = Disconnect(reason) if self.version == 5 else Disconnect()
            self._write(encode(goodbye, self.version), now_s)
        self._phase = Phase.CLOSED

    def _leave(self, now_s: float) -> None:
        """End a connection that is of no use; a will is the server's to publish then [MQTT-3.14.4-3]."""
        if self.settings.will is None:
            self.disconnect(now_s)
        elif self.version == 5:
            self.disconnect(now_s, Reason.DISCONNECT_WITH_WILL)
        self._phase = Phase.CLOSED

    def closed(self) -> None:
        """The connection is gone."""
        self._phase = Phase.CLOSED
        self._out.clear()
        self._end_inbox()

    def _end_inbox(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.end()

    def acknowledge(self, now_s: float) -> None:
        """Write the acknowledgements of what was received that are due."""
        if self._inbox is not None and self._phase is Phase.CONNECTED:
            due = self._inbox.due()
            if due:
                self._write(due, now_s)

    # -- receiving --------------------------------------------------------------------------------------------

    def received(self, chunk: bytes, now_s: float) -> Sequence[Happening]:
        """Take what was read from the socket."""
        self._watch.heard(now_s)
        decoder = self._decoder
        if self._phase is Phase.CLOSED or decoder is None:
            return _NOTHING
        if self._tail:
            chunk, self._tail = self._tail + chunk, b""
        if self._phase is Phase.CONNECTING and self.version == 5 and chunk[:2] == b"\x20\x02"[: len(chunk)]:
            return self._old_connack(chunk)
        if self._phase is Phase.CONNECTED and decoder.is_between_packets:
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
            self._watch.waiting_since_s = now_s
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
            if type(packet) is Publish and self._phase is Phase.CONNECTED:
                publishes.append(packet)
                continue
            if publishes:
                self._incoming(publishes, happenings, now_s)
                publishes = []
            if type(packet) is PubAck and packet.packet_id in self._announcements.waiting:
                self._watch.waiting_since_s = now_s
                happenings.append(self._announcements.answered(packet))
                continue
            if type(packet) is PubAck and packet.reason < 0x80 and self._phase is Phase.CONNECTED:
                acks.append(packet.packet_id)
                continue
            if acks:
                self._pubacks(acks, now_s)
                acks = []
            if self._phase is Phase.CLOSED:
                return
            if self._phase is Phase.CONNECTING:
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
        taken = in_flight.acknowledge_all(ids, self._delivered)
        self.acked += taken
        self.stray_acks += len(ids) - taken
        if taken:
            self._watch.waiting_since_s = now_s
        if not was_overtaken:
            self._watch.head_since_s = now_s

    def _other(self, packet: Packet, happenings: list[Happening], now_s: float) -> None:
        match packet:
            case PubAck():
                self._refused(packet, happenings, now_s)
            case PubRel():
                self._released(packet.packet_id, now_s)
            case PingResp():
                self.pongs += 1
            case SubAck() | UnsubAck():
                if self.in_flight.release(packet.packet_id):
                    happenings.append(Subscribed(packet.packet_id, packet.reasons))
                else:
                    self.stray_acks += 1
            case Disconnect():
                self._phase = Phase.CLOSED
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
        self._watch.waiting_since_s = now_s
        run.is_known = False
        if packet.reason == Reason.PACKET_ID_IN_USE and (packet_id := self.in_flight.fresh_id()):
            run.renumber(packet_id)
            if not run.tries:  # a server that minds the next id as well is the owner's to be patient with
                run.tries = 1
                self.in_flight.hold(run)
                return
        text = packet.properties.reason_string if packet.properties is not None else None
        happenings.append(Rejected(run, packet.reason, text or ""))

    def _incoming(self, publishes: list[Publish], happenings: list[Happening], now_s: float) -> None:
        if self._inbox is None or self._phase is not Phase.CONNECTED:
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
        settings = self.settings
        if not isinstance(packet, ConnAck):
            return self._violated(Reason.PROTOCOL_ERROR, f"{type(packet).__name__.upper()} instead of CONNACK", now_s)
        refused = refusal(packet, settings, version=self.version)
        if refused is not None:
            self._phase = Phase.CLOSED
            return refused
        self._phase = Phase.CONNECTED
        self.terms = terms_of(packet, settings)
        self._watch.keep_alive_s = self.terms.keep_alive_s
        self._watch.waiting_since_s = now_s
        self.in_flight.hold_all(is_session_present=packet.session_present)
        self.settings = msgspec.structs.replace(settings, clean_start=False) if settings.clean_start else settings
        self._inbox = self._open_inbox(self.version, packet.session_present)
        return Connected(packet.session_present)

    def _old_connack(self, chunk: bytes) -> Sequence[Happening]:
        """A server that does not know MQTT 5 answers in the words of 3.1.1 [MQTT-3.1.2-2]."""
        if len(chunk) < 4:
            self._tail = chunk
            return _NOTHING
        self._phase = Phase.CLOSED
        return [old_refusal(chunk[3])]

    def _violated(self, reason: int, problem: str, now_s: float) -> Ended:
        self.disconnect(now_s, reason)
        if reason == Reason.PACKET_TOO_LARGE:  # a 3.1.1 server could not know
            return Ended(f"the server sent {problem}", reason)
        return Ended(f"the server broke the protocol: {problem}", reason)

    # -- time -------------------------------------------------------------------------------------------------

    @property
    def poll_interval_s(self) -> float:
        """How often to call `poll`."""
        return self._watch.poll_interval_s

    @property
    def waits_since_s(self) -> float | None:
        """Since when a PUBACK is due and none has come; None while nothing is on the way."""
        return self._watch.waiting_since_s if self.in_flight.sent_count else None

    @property
    def heard_s(self) -> float:
        """When the server was heard last."""
        return self._watch.heard_s

    def set_reading(self, is_reading: bool, now_s: float) -> None:
        """Say whether the owner reads the socket; while it does not, a server's silence means nothing."""
        self._watch.set_reading(is_reading, now_s)

    def poll(self, now_s: float) -> Sequence[Happening]:
        """Look at the time: ping a silent server, give up a dead one."""
        if self._phase is not Phase.CONNECTED:
            return _NOTHING
        sent_count = self.in_flight.sent_count + len(self._announcements.waiting)
        why = self._watch.gives_up(now_s, sent_count=sent_count, is_overtaken=self.in_flight.is_overtaken)
        if why:
            self._leave(now_s)
            return [Ended(why)]
        if self._watch.is_ping_due(now_s):
            self.ask_pong(now_s)
        return _NOTHING
