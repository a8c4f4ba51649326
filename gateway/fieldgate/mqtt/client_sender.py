"""The sending half of a client's session: what goes out on the present connection, and what is kept of it.

QoS 1 messages live in `InFlight` over connections; an announcement is a message of its own kind, never sent again, in
no count. `ClientSession` is the other half: connections, and what comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from fieldgate.mqtt.client_announcement import Announcements
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.client_terms import ServerTerms
from fieldgate.mqtt.client_watch import ServerWatch
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.framing import encode_publishes
from fieldgate.mqtt.in_flight import InFlight, Piece, Run
from fieldgate.mqtt.packets import PingReq, Publish, Subscribe, Subscription, Unsubscribe

__all__ = ["ClientSender", "Phase"]


class Phase(Enum):
    """Where the present connection is."""

    CLOSED = "closed"
    CONNECTING = "waits for CONNACK"
    CONNECTED = "connected"


class ClientSender:
    """``sent`` and ``resent`` count messages over the session's life; ``terms`` are those of the present server.

    ``pings`` and ``pongs`` count PINGREQs and PINGRESPs of the present connection.
    """

    def __init__(self, settings: ClientSettings, *, first_id: int) -> None:
        self.settings = settings
        self.in_flight = InFlight(first_id=first_id)
        self.version = 5
        self.terms = ServerTerms()
        self.sent = self.resent = 0
        self.pings = self.pongs = 0
        self._phase = Phase.CLOSED
        self._out: list[bytes] = []
        self._announcements = Announcements(self.in_flight)
        self._watch = ServerWatch(keep_alive_s=settings.keep_alive_s, puback_timeout_s=settings.puback_timeout_s)

    @property
    def is_connected(self) -> bool:
        """Whether the server has accepted the connection and it is not known to be over."""
        return self._phase is Phase.CONNECTED

    def output(self) -> list[bytes]:
        """Take what is to be written now."""
        out, self._out = self._out, []
        return out

    def room(self, window: int) -> int:
        """Return how many messages may be sent now with at most ``window`` in flight; the server's limit holds too."""
        if self._phase is not Phase.CONNECTED:
            return 0
        return min(window, self.terms.window) - len(self._announcements.waiting) - self.in_flight.sent_count

    def publish(
        self,
        topics: Sequence[bytes],
        properties: Sequence[bytes],
        payloads: Sequence[bytes],
        *,
        batch: object,
        start: int,
        now_s: float,
        aliases: Sequence[bytes] = (),
    ) -> int:
        """Send ``events[start:]`` of ``batch`` as new messages; return how many bytes that is. See `encode_publishes`.

        The caller keeps to `room` and to the server's Maximum Packet Size, and has nothing held left to send. For
        ``aliases`` see `Run`.
        """
        in_flight = self.in_flight
        if not in_flight.sent_count:
            self._watch.waiting_since_s = now_s
        self._watch.written_s = now_s
        done, total, size = 0, len(payloads), 0
        while done < total:
            first_id, count = in_flight.span(total - done)
            if count == total:
                wire = encode_publishes(topics, properties, payloads, first_id)
            else:  # the ids wrap, or some are still in use
                end = done + count
                wire = encode_publishes(topics[done:end], properties[done:end], payloads[done:end], first_id)
            in_flight.add(Run(first_id, count, wire, batch=batch, start=start + done, aliases=aliases))
            self._out.append(wire)
            done += count
            size += len(wire)
        self.sent += total
        return size

    def publish_one(self, message: Publish, *, batch: object, start: int, now_s: float) -> int:
        """Send ``events[start]`` of ``batch`` as ``message`` says, RETAIN included; return its size. As `publish` else.

        At QoS 0 nothing is kept of it, and nobody acknowledges it.
        """
        self.sent += 1
        if not message.qos:
            wire = encode(message, self.version)
            self._write(wire, now_s)
            return len(wire)
        if not self.in_flight.sent_count:
            self._watch.waiting_since_s = now_s
        first_id, _ = self.in_flight.span(1)
        wire = encode(msgspec.structs.replace(message, packet_id=first_id), self.version)
        self.in_flight.add(Run(first_id, 1, wire, batch=batch, start=start))
        self._write(wire, now_s)
        return len(wire)

    def size_of(self, message: Publish) -> int:
        """Return the length of the packet that `publish_one` makes of it."""
        return len(encode(msgspec.structs.replace(message, packet_id=1 if message.qos else 0), self.version))

    def publish_joint(
        self, topic: bytes, properties: bytes, payload: bytes, *, pieces: tuple[Piece, ...], now_s: float
    ) -> int:
        """Send one message that carries all of ``pieces``; return its size. As `publish` otherwise."""
        if not self.in_flight.sent_count:
            self._watch.waiting_since_s = now_s
        first_id, _ = self.in_flight.span(1)
        wire = encode_publishes([topic], [properties], [payload], first_id)
        self.in_flight.add(Run(first_id, 1, wire, pieces=pieces))
        self._write(wire, now_s)
        self.sent += 1
        return len(wire)

    def resend(self, run: Run, now_s: float) -> None:
        """Send again what `InFlight.next_held` gave."""
        if not self.in_flight.sent_count:
            self._watch.waiting_since_s = now_s
        self.resent += run.count
        if run.expires_at_s is not None and self.version == 5:
            run.set_expiry(run.expires_at_s - now_s)
        self._write(self.in_flight.send_again(run), now_s)

    def announce(self, message: Publish, now_s: float) -> int:
        """Send one message (QoS 1) that is no event; `Announced` answers. Return its packet id, 0 if it was not sent.

        It is not where the server's Receive Maximum is on the way already [MQTT-3.3.4-7].
        It is not sent again if the connection ends before its PUBACK: whoever wants that keeps it.
        """
        sent_count = self.in_flight.sent_count + len(self._announcements.waiting)
        if self._phase is not Phase.CONNECTED or sent_count >= self.terms.receive_maximum:
            return 0
        packet_id, packet = self._announcements.packet(message, self.version)
        if packet_id:
            if not sent_count:
                self._watch.waiting_since_s = now_s
            self._write(packet, now_s)
        return packet_id

    def subscribe(self, subscriptions: Sequence[Subscription], now_s: float) -> int:
        """Send a SUBSCRIBE and return its packet id, by which `Subscribed` answers; 0 when no id is free."""
        return self._ask(Subscribe(self.in_flight.reserve(), tuple(subscriptions)), now_s)

    def unsubscribe(self, filters: Sequence[str], now_s: float) -> int:
        """Send an UNSUBSCRIBE; as `subscribe`."""
        return self._ask(Unsubscribe(self.in_flight.reserve(), tuple(filters)), now_s)

    def ask_pong(self, now_s: float) -> None:
        """Send a PINGREQ; `pongs` counts the answer, before which the server has taken all that was sent earlier."""
        self.pings += 1
        self._write(encode(PingReq(), self.version), now_s)

    def _ask(self, request: Subscribe | Unsubscribe, now_s: float) -> int:
        if request.packet_id:
            self._write(encode(request, self.version), now_s)
        return request.packet_id

    def _write(self, packet: bytes, now_s: float) -> None:
        self._out.append(packet)
        self._watch.written_s = now_s
