"""One client's connection as the server sees it: MQTT 3.1.1 and 5, fed bytes, answering bytes.

Laws of this file:

- The first packet is CONNECT, once, within the deadline; anything else ends the connection without a word.
- Nobody comes in before the `Authority` has said so, within the same deadline. While it thinks nothing more is read,
  and what came behind the CONNECT waits [MQTT-3.1.4-6].
- A violation ends this connection only: MQTT 5 clients are told why by DISCONNECT, 3.1.1 clients by the close.
- PUBLISHes go to the `Inbox` in order, in runs, and only the inbox decides when they are acknowledged.
- Output is gathered and written once per read; a client that does not read is cut off at ``max_unsent``.
- Nothing here reads a clock, makes a task or logs; ``now_s`` comes in, counters and `Link` calls go out.

What it will not do: authentication exchanges (AUTH), QoS 2 towards the client, shared subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Final, cast

from fieldgate.mqtt.codec import CodecError, Decoder, encode
from fieldgate.mqtt.handshake import SessionLimits, connack, objection, refusal, return_code, wanted_expiry_s
from fieldgate.mqtt.local_broker import LocalBroker, SessionState
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
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
    Will,
)  # fmt: skip
from fieldgate.mqtt.session_roles import Accepted, Authority, Inbox, Link, Verdict
from fieldgate.mqtt.violation import Violation

__all__ = ["Phase", "ServerSession"]

_GATHER_BYTES: Final = 65_536
_SEARCH_BUDGET: Final = 200_000  # retained topics that a client's subscriptions may visit per second
_LARGEST_PACKET: Final = 268_435_460
_ONLY_PUBLISHES: Final = {Publish}
_MAX_PROBLEM: Final = 200  # characters; a problem may quote what the client sent


class Phase(Enum):
    """Where a connection is."""

    WAITS_FOR_CONNECT = "waits for CONNECT"
    BEING_JUDGED = "waits for the authority's verdict"
    CONNECTED = "connected"
    CLOSED = "closed"


class ServerSession:
    """The protocol of one connection, from its first byte to its end."""

    def __init__(
        self,
        link: Link,
        *,
        broker: LocalBroker,
        authority: Authority,
        limits: SessionLimits,
        open_inbox: Callable[[ServerSession, SessionState, Connect], Inbox],
        new_client_id: Callable[[], str],
        now_s: float,
    ) -> None:
        self.phase = Phase.WAITS_FOR_CONNECT
        self.version = 4
        self.client_id = ""
        self.user = ""  # who the client is, once it is in; empty: nobody in particular
        self.end_code = ""  # how the connection ended, for the counters
        self.end_reason = ""  # the same in words, for the log
        self.is_reading = True  # false while the owner has paused the socket: silence is then no fault of the client
        self.last_heard_s = now_s
        self._link = link
        self._broker = broker
        self._authority = authority
        self._limits = limits
        self._open_inbox = open_inbox
        self._new_client_id = new_client_id
        self._decoder = Decoder(
            version=None,
            max_packet_bytes=limits.max_packet_bytes,
            max_connect_bytes=limits.max_connect_bytes,
            from_client=True,
        )
        self._state: SessionState | None = None
        self._inbox: Inbox | None = None
        self._will: Will | None = None
        self._deadline_s: float | None = now_s + limits.connect_timeout_s
        self._silence_s = 0.0  # 1.5 x keep-alive; 0: none
        self._max_packet = _LARGEST_PACKET
        self._search_budget = _SEARCH_BUDGET
        self._stuck_since_s: float | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._is_corked = False
        self._now_s = now_s
        self._early: list[Packet] = []  # what came behind a CONNECT that is being judged
        self._early_bytes: list[bytes] = []

    # what the owner calls

    def receive(self, chunk: bytes, now_s: float) -> None:
        """Take what was read from the socket."""
        if self.phase is Phase.CLOSED:
            return
        if self.phase is Phase.BEING_JUDGED:
            self._early_bytes.append(chunk)  # one read at most: it was on its way when reading was paused
            return
        self._now_s = self.last_heard_s = now_s
        self._is_corked = True
        try:
            try:
                packets = self._decoder.feed(chunk)
            except CodecError as error:
                self._process(error.packets)
                self._reject(error)
            else:
                self._process(packets)
        except Violation as violation:
            self.fail(violation.reason, str(violation))
        finally:
            self._is_corked = False
            self.flush()
        self._broker.flush()

    def flush(self) -> None:
        """Write the acknowledgements that are due and what was gathered; one write."""
        if self._is_corked or self.phase is Phase.CLOSED:
            return
        if self._inbox is not None and (due := self._inbox.due()):
            self._out.append(due)
        if self._out:
            self._write_out()

    def tick(self, now_s: float) -> None:
        """Enforce the deadlines; to be called a few times per second."""
        if self.phase is Phase.CLOSED:
            return
        self._now_s = now_s
        self._search_budget = _SEARCH_BUDGET
        if self._deadline_s is not None and now_s >= self._deadline_s:
            problem = "no CONNECT in time" if self.phase is Phase.WAITS_FOR_CONNECT else "not judged in time"
            self._end("connect_timeout", problem, at_once=True, is_will_due=False)
        elif self._silence_s and self.is_reading and now_s - self.last_heard_s >= self._silence_s:
            self.fail(Reason.KEEP_ALIVE_TIMEOUT, "nothing was heard for 1.5 times the keep-alive")
        elif self._stuck_since_s is not None and now_s - self._stuck_since_s >= self._limits.stuck_s:
            self.fail(Reason.QUOTA_EXCEEDED, "client does not read", at_once=True)

    def set_congested(self, is_congested: bool, now_s: float) -> None:
        """The socket's buffer is (not any more) fuller than it should be."""
        self._stuck_since_s = now_s if is_congested else None
        if self._state is not None:
            outbound = self._state.outbound
            outbound.is_congested = is_congested
            if not is_congested and self.phase is Phase.CONNECTED:
                outbound.pump(now_s)
                self.flush()

    def resumed_reading(self, now_s: float) -> None:
        """The owner reads again; the client's silence counts from now."""
        self.is_reading = True
        self.last_heard_s = now_s

    def lost(self, problem: str, now_s: float, *, code: str = "connection_lost") -> None:
        """The connection broke, or what carries it did."""
        if self.phase is not Phase.CLOSED:
            self._now_s = now_s
            self._end(code, problem, at_once=True, is_will_due=True)
            self._broker.flush()

    def fail(self, reason: Reason, problem: str, *, at_once: bool = False) -> None:
        """End this connection because of ``problem``; an MQTT 5 client is told ``reason``."""
        if self.phase is Phase.CLOSED:
            return
        problem = problem[:_MAX_PROBLEM]
        if self.phase is Phase.CONNECTED and self.version == 5:
            goodbye = encode(Disconnect(reason, Properties(reason_string=problem)), 5)
            self._gather(goodbye if len(goodbye) <= self._max_packet else encode(Disconnect(reason), 5))
        is_unheard = at_once or self.phase is not Phase.CONNECTED
        self._end(reason.name.lower(), problem, at_once=is_unheard, is_will_due=True)

    def shut_down(self) -> None:
        """The gateway stops: say so, keep the client's will unspoken."""
        self._will = None
        self.flush()
        self.fail(Reason.SERVER_SHUTTING_DOWN, "the gateway stops")

    # the life of a connection

    def _end(self, code: str, problem: str, *, at_once: bool, is_will_due: bool) -> None:
        self.end_code, self.end_reason = code, problem
        is_connected = self.phase is Phase.CONNECTED
        if self._inbox is not None and not at_once and (due := self._inbox.due()):
            self._out.insert(0, due)
        chunk = b"".join(self._out)
        self._out.clear()
        self.phase = Phase.CLOSED
        self._deadline_s = None
        if chunk and not at_once:
            self._link.write(chunk)
        self._link.close(at_once=at_once)
        state, inbox = self._state, self._inbox
        if not is_connected or state is None or inbox is None:
            return
        inbox.end()
        if self._will is not None and is_will_due:
            self._bequeath(state, inbox, self._will)
        self._broker.detach(state, self._now_s)

    def _bequeath(self, state: SessionState, inbox: Inbox, will: Will) -> None:
        delay_s = 0 if will.properties is None else will.properties.will_delay_s or 0
        if delay_s <= 0:
            inbox.speak_will(will, self._now_s)
        else:
            state.will_speaks = partial(inbox.speak_will, will)
            state.will_at_s = self._now_s + delay_s

    def _reject(self, error: CodecError) -> None:
        """End the connection for bytes that are not MQTT; a version that we do not speak is told so [MQTT-3.1.2-2]."""
        if self.phase is Phase.WAITS_FOR_CONNECT and error.reason is Reason.UNSUPPORTED_PROTOCOL_VERSION:
            self.version = self._decoder.version or 4
            self._refuse(error.reason if self.version == 5 else 0x01, str(error))
        else:
            self.fail(error.reason, str(error))

    def _process(self, packets: Sequence[Packet]) -> None:
        inbox = self._inbox
        if inbox is not None and set(map(type, packets)) == _ONLY_PUBLISHES:
            inbox.take(cast(Sequence[Publish], packets), self._now_s)  # the usual read, without a loop of its own
            return
        run: list[Publish] = []
        for number, packet in enumerate(packets, 1):
            if type(packet) is Publish:
                run.append(packet)
                continue
            if run and inbox is not None:
                inbox.take(run, self._now_s)
                run = []
            self._answer(packet)
            if self.phase is not Phase.CONNECTED:
                self._early = list(packets[number:])
                return
            inbox = self._inbox
        if run and inbox is not None:
            inbox.take(run, self._now_s)

    def _answer(self, packet: Packet) -> None:
        match packet:
            case PubAck(packet_id=packet_id):
                assert self._state is not None
                self._state.outbound.acknowledged(packet_id, self._now_s)
            case PingReq():
                self._send(PingResp())
            case PubRel(packet_id=packet_id):
                self._released(packet_id)
            case Subscribe():
                self._subscribe(packet)
            case Unsubscribe():
                self._unsubscribe(packet)
            case Disconnect():
                self._disconnect(packet)
            case Connect():
                self._connect(packet)
            case _:  # PUBREC, PUBCOMP, AUTH; the decoder lets nothing else through
                raise Violation(Reason.PROTOCOL_ERROR, f"{type(packet).__name__} that nobody asked for")

    def _connect(self, connect: Connect) -> None:
        """Answer CONNECT; the decoder sees to it that it comes first and once [MQTT-3.1.0-1, MQTT-3.1.0-2]."""
        self.version = connect.version
        refused = refusal(connect, self._limits)
        if refused is not None:
            self._refuse(*refused)
            return
        is_assigned = not connect.client_id
        if is_assigned:
            connect.client_id = self._new_client_id()
        self.client_id = connect.client_id
        verdict = self._authority.judge(connect, partial(self._judged, connect, is_assigned))
        if verdict is None:
            self.phase = Phase.BEING_JUDGED
            self._link.pause_reading()
        else:
            self._heed(verdict, connect, is_assigned=is_assigned)

    def _judged(self, connect: Connect, is_assigned: bool, verdict: Verdict, now_s: float) -> None:
        """The authority has made up its mind; go on where CONNECT left off."""
        if self.phase is not Phase.BEING_JUDGED:
            return
        self._now_s = now_s
        self._is_corked = True
        try:
            if self._heed(verdict, connect, is_assigned=is_assigned):
                self._link.resume_reading()
                early, self._early = self._early, []
                self._process(early)
        except Violation as violation:
            self.fail(violation.reason, str(violation))
        finally:
            self._is_corked = False
            self.flush()
        early_bytes, self._early_bytes = self._early_bytes, []
        for chunk in early_bytes:
            self.receive(chunk, now_s)
        self._broker.flush()

    def _heed(self, verdict: Verdict, connect: Connect, *, is_assigned: bool) -> bool:
        """Let the client in, or refuse it; answers which."""
        if isinstance(verdict, Accepted):
            is_taken = self._broker.is_owned_by_another(connect.client_id, verdict.user)
            verdict = objection(connect, verdict, is_taken=is_taken) or verdict
        if isinstance(verdict, Accepted):
            self._open(connect, verdict, is_assigned=is_assigned)
            return True
        self._refuse(return_code(verdict.reason, version=connect.version), verdict.problem, end_code=verdict.code)
        return False

    def _open(self, connect: Connect, accepted: Accepted, *, is_assigned: bool) -> None:
        """The client is in: give it its session [MQTT-3.1.4-5]."""
        properties = connect.properties or Properties()
        limits = self._limits
        self.user = accepted.user
        self._max_packet = properties.maximum_packet_size or _LARGEST_PACKET
        self._silence_s = connect.keep_alive_s * 1.5  # [MQTT-3.1.2-22]
        self._deadline_s = None
        state, is_present = self._broker.attach(
            connect, self, max_bytes=limits.max_unsent_bytes, now_s=self._now_s, accepted=accepted
        )
        self._state = state
        self.phase = Phase.CONNECTED
        state.expiry_s = self._broker.granted_expiry_s(wanted_expiry_s(connect))
        self._will = connect.will
        state.outbound.attach(
            version=self.version,
            window=min(properties.receive_maximum or 65_535, limits.delivery_window),
            max_packet=self._max_packet,
            write=self._gather,
            unsent=self._unsent_bytes,
        )
        self._inbox = self._open_inbox(self, state, connect)
        self._send(connack(connect, limits, is_present=is_present, is_assigned=is_assigned, expiry_s=state.expiry_s))
        state.outbound.resend(self._now_s)

    def _refuse(self, code: int, problem: str, *, end_code: str = "connect_refused") -> None:
        self._out.append(encode(ConnAck(code), 5 if self.version == 5 else 4))
        self._end(end_code, problem, at_once=False, is_will_due=False)

    def _disconnect(self, packet: Disconnect) -> None:
        assert self._state is not None
        expiry_s = None if packet.properties is None else packet.properties.session_expiry_s
        if expiry_s is not None:
            if self._state.expiry_s == 0 and expiry_s:
                raise Violation(Reason.PROTOCOL_ERROR, "DISCONNECT asks to keep a session that CONNECT did not")
            self._state.expiry_s = self._broker.granted_expiry_s(expiry_s)
        is_will_due = packet.reason == Reason.DISCONNECT_WITH_WILL
        self._end("client_disconnect", "client said DISCONNECT", at_once=False, is_will_due=is_will_due)

    # subscriptions and QoS 2

    def _subscribe(self, packet: Subscribe) -> None:
        state = self._state
        assert state is not None
        ids = packet.properties.subscription_ids if packet.properties is not None else ()
        subscription_id = ids[0] if ids else 0
        codes: list[int] = []
        wanting: list[Subscription] = []
        for options in packet.subscriptions:
            code, is_new = self._broker.subscribe(state, options, subscription_id)
            codes.append(code if code < 0x80 or self.version == 5 else 0x80)
            if code < 0x80 and (options.retain_handling == 0 or (options.retain_handling == 1 and is_new)):
                wanting.append(options)
        self._send(SubAck(packet.packet_id, tuple(codes)))
        for options in wanting:
            self._search_budget -= self._broker.send_retained(state, options, subscription_id, now_s=self._now_s)
            if self._search_budget < 0:
                raise Violation(Reason.MESSAGE_RATE_TOO_HIGH, "too many searches of the retained messages")
        state.outbound.pump(self._now_s)

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        state = self._state
        assert state is not None
        codes = tuple(
            Reason.SUCCESS if self._broker.unsubscribe(state, one) else Reason.NO_SUBSCRIPTION_EXISTED
            for one in packet.filters
        )
        self._send(UnsubAck(packet.packet_id, codes if self.version == 5 else ()))

    def _released(self, packet_id: int) -> None:
        assert self._inbox is not None
        is_success = self._inbox.release(packet_id) or self.version != 5
        self._send(PubComp(packet_id, Reason.SUCCESS if is_success else Reason.PACKET_ID_NOT_FOUND))

    # output

    def _send(self, packet: Packet) -> None:
        encoded = encode(packet, self.version)
        if len(encoded) > self._max_packet:
            raise Violation(
                Reason.PACKET_TOO_LARGE, f"{type(packet).__name__} exceeds the client's maximum packet size"
            )
        self._gather(encoded)

    def _gather(self, encoded: bytes) -> None:
        self._out.append(encoded)
        self._out_bytes += len(encoded)
        if self._out_bytes > _GATHER_BYTES and self.phase is Phase.CONNECTED:
            self._write_out()

    def _write_out(self) -> None:
        out = self._out
        chunk = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._out_bytes = 0
        self._link.write(chunk)
        if self._stuck_since_s is not None and self._link.unsent_bytes() > self._limits.max_unsent_bytes:
            self.fail(Reason.QUOTA_EXCEEDED, "client does not read", at_once=True)

    def _unsent_bytes(self) -> int:
        return self._link.unsent_bytes() + self._out_bytes
