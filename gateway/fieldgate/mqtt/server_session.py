"""One client's connection as the server sees it: MQTT 3.1.1 and 5, fed bytes, answering bytes.

Laws of this file:

- The first packet is CONNECT, once, within the deadline; anything else ends the connection without a word.
- Nobody comes in before the `Authority` has said so, within the same deadline. While it thinks nothing more is read,
  and what came behind the CONNECT waits [MQTT-3.1.4-6].
- A violation ends this connection only: MQTT 5 clients are told why by DISCONNECT, 3.1.1 clients by the close.
- PUBLISHes go to the `Inbox` in order, in runs, and only the inbox decides when they are acknowledged.
- Output is gathered and written once per read; a client that does not read is cut off at ``max_unsent``.
- Nothing here reads a clock, makes a task or logs; ``now_s`` comes in, counters and `Link` calls go out.

What it will not do: authentication exchanges (AUTH), MQTT 3.1, Response Information (a client that asks for it gets
none, which [3.1.2.11.7] allows; response topics are the clients' own).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, cast

from fieldgate.mqtt.admission import Admission, Entry
from fieldgate.mqtt.codec import CodecError, Decoder
from fieldgate.mqtt.delivery import Reader
from fieldgate.mqtt.handshake import SessionLimits, return_code
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import (
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Reason,
    Subscribe,
    Unsubscribe,
    Will,
)
from fieldgate.mqtt.session_output import LARGEST_PACKET, MAX_PROBLEM, SessionOutput
from fieldgate.mqtt.session_roles import Authority, Inbox, Link, Refused
from fieldgate.mqtt.session_state import SessionState
from fieldgate.mqtt.session_subscriptions import SessionSubscriptions
from fieldgate.mqtt.violation import Violation

__all__ = ["Phase", "ServerSession"]

_ONLY_PUBLISHES: Final = {Publish}
_REFUSED: Final = 0x80  # reason codes from here on say no


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
        self._limits = limits
        self._open_inbox = open_inbox
        self._admission = Admission(authority, broker.sessions, limits, new_client_id)
        self._decoder = Decoder(
            version=None,
            max_packet_bytes=limits.max_packet_bytes,
            max_connect_bytes=limits.max_connect_bytes,
            from_client=True,
            max_user_properties=limits.max_user_properties,
        )
        self._output = SessionOutput(link, max_unsent_bytes=limits.max_unsent_bytes, overfull=self._cut_off)
        self._state: SessionState | None = None
        self._inbox: Inbox | None = None
        self._subscriptions: SessionSubscriptions | None = None
        self._will: Will | None = None
        self._deadline_s: float | None = now_s + limits.connect_timeout_s
        self._silence_s = 0.0  # 1.5 x keep-alive; 0: none
        self._stuck_since_s: float | None = None
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
        self._output.write(b"" if self._inbox is None else self._inbox.due())

    def tick(self, now_s: float) -> None:
        """Enforce the deadlines; to be called a few times per second."""
        if self.phase is Phase.CLOSED:
            return
        self._now_s = now_s
        if self._subscriptions is not None:
            self._subscriptions.tick()
        if self._deadline_s is not None and now_s >= self._deadline_s:
            problem = "no CONNECT in time" if self.phase is Phase.WAITS_FOR_CONNECT else "not judged in time"
            self._end("connect_timeout", problem, at_once=True, is_will_due=False)
        elif self._silence_s and self.is_reading and now_s - self.last_heard_s >= self._silence_s:
            self.fail(Reason.KEEP_ALIVE_TIMEOUT, "nothing was heard for 1.5 times the keep-alive")
        elif self._stuck_since_s is not None and now_s - self._stuck_since_s >= self._limits.stuck_s:
            self._cut_off()

    def set_congested(self, is_congested: bool, now_s: float) -> None:
        """The socket's buffer is (not any more) fuller than it should be."""
        if self.phase is Phase.CLOSED:  # its session may be another connection's by now
            return
        self._stuck_since_s = now_s if is_congested else None
        self._output.is_stuck = is_congested
        if self._state is not None:
            self._state.outbound.is_congested = is_congested
            if not is_congested:
                self._state.outbound.pump(now_s)
                self.flush()

    def resumed_reading(self, now_s: float) -> None:
        """The owner reads again; the client's silence counts from now."""
        self.is_reading = True
        self.last_heard_s = now_s

    def fitting(self, packet: Packet) -> bytes:
        """Encode an answer of the inbox within the limits of the client."""
        return self._output.fitting(packet)

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
        is_unheard = at_once or self.phase is not Phase.CONNECTED
        goodbye = b"" if is_unheard else self._output.goodbye(reason, problem)
        self._end(reason.name.lower(), problem, at_once=is_unheard, is_will_due=True, goodbye=goodbye)

    def _cut_off(self) -> None:
        self.fail(Reason.QUOTA_EXCEEDED, "client does not read", at_once=True)

    def shut_down(self) -> None:
        """The gateway stops: say so, keep the client's will unspoken."""
        self._will = None
        self.flush()
        self.fail(Reason.SERVER_SHUTTING_DOWN, "the gateway stops")

    # the life of a connection

    def _end(self, code: str, problem: str, *, at_once: bool, is_will_due: bool, goodbye: bytes = b"") -> None:
        self.end_code, self.end_reason = code, problem[:MAX_PROBLEM]
        is_connected = self.phase is Phase.CONNECTED
        state, inbox = self._state, self._inbox
        due = inbox.due() if inbox is not None and not at_once else b""
        self.phase = Phase.CLOSED
        self._deadline_s = None
        if at_once:
            self._output.drop()
        else:
            self._output.finish(due=due, goodbye=goodbye)
        self._link.close(at_once=at_once)
        if not is_connected or state is None or inbox is None:
            return
        inbox.end()
        state.outbound.detach()  # what its own will brings it waits with the session
        if self._will is not None and is_will_due:
            state.bequeath(self._will, inbox.speak_will, self._now_s)
        self._broker.detach(state, self._now_s)

    def _reject(self, error: CodecError) -> None:
        """End the connection for bytes that are not MQTT.

        A version that we do not speak is told so [MQTT-3.1.2-2]; so is an MQTT 5 client whose CONNECT is not lawful
        [MQTT-3.1.4-1], a 3.1.1 client hears nothing [3.1.1: MQTT-3.1.4-1].
        """
        version = self._decoder.version
        is_version = error.reason is Reason.UNSUPPORTED_PROTOCOL_VERSION
        if self.phase is Phase.WAITS_FOR_CONNECT and (is_version or version == 5):
            self.version = self._output.version = version or 4
            self._refuse(Refused(error.reason, "connect_refused", str(error)))
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
            if type(packet) is PubAck and not run:  # as many as there are PUBLISHes to a subscriber
                self._delivered(packet)
                if self.phase is Phase.CLOSED:
                    return
                continue
            if run and inbox is not None:
                inbox.take(run, self._now_s)
                run = []
                if self.phase is Phase.CLOSED:  # cut off by what it published itself
                    return
            self._answer(packet)
            if self.phase is not Phase.CONNECTED:
                self._early = list(packets[number:])
                return
            inbox = self._inbox
        if run and inbox is not None:
            inbox.take(run, self._now_s)

    def _answer(self, packet: Packet) -> None:
        match packet:
            case PubAck() | PubRec() | PubComp():
                self._delivered(packet)
            case PingReq():
                self._output.send(PingResp())
            case PubRel(packet_id=packet_id):
                self._released(packet_id)
            case Subscribe():
                assert self._subscriptions is not None
                self._subscriptions.subscribe(packet, self._now_s)
            case Unsubscribe():
                assert self._subscriptions is not None
                self._subscriptions.unsubscribe(packet)
            case Disconnect():
                self._disconnect(packet)
            case Connect():
                self._connect(packet)
            case _:  # AUTH of a client that named no method [4.12]; the decoder lets nothing else through
                raise Violation(Reason.PROTOCOL_ERROR, f"{type(packet).__name__} that nobody asked for")

    def _connect(self, connect: Connect) -> None:
        """Answer CONNECT; the decoder sees to it that it comes first and once [MQTT-3.1.0-1, MQTT-3.1.0-2]."""
        properties = connect.properties or Properties()
        self.version = self._output.version = connect.version
        self._output.max_packet = properties.maximum_packet_size or LARGEST_PACKET
        self._output.tells_problems = properties.request_problem_information != 0
        entry = self._admission.ask(connect, self._judged)
        self.client_id = connect.client_id
        if entry is None:
            self.phase = Phase.BEING_JUDGED
            self._link.pause_reading()
        else:
            self._heed(entry)

    def _judged(self, entry: Entry | Refused, now_s: float) -> None:
        """The authority has made up its mind; go on where CONNECT left off."""
        if self.phase is not Phase.BEING_JUDGED:
            return
        self._now_s = now_s
        self._is_corked = True
        try:
            if self._heed(entry):
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

    def _heed(self, entry: Entry | Refused) -> bool:
        """Let the client in, or refuse it; answers which."""
        if isinstance(entry, Refused):
            self._refuse(entry)
            return False
        try:
            self._output.fitting(entry.answer)
        except Violation as violation:  # no other packet may come before CONNACK [MQTT-3.2.0-1]
            self._refuse(Refused(violation.reason, "connect_refused", str(violation)))
            return False
        self._open(entry)
        return True

    def _open(self, entry: Entry) -> None:
        """The client is in: give it its session [MQTT-3.1.4-5]."""
        connect, limits = entry.connect, self._limits
        properties = connect.properties or Properties()
        self.user = entry.accepted.user
        self._silence_s = entry.silence_s
        self._deadline_s = None
        state, entry.answer.session_present = self._broker.attach(
            connect, self, accepted=entry.accepted, max_bytes=limits.max_unsent_bytes, now_s=self._now_s
        )
        self._state = state
        self.phase = Phase.CONNECTED
        state.keep_for(entry.expiry_s)
        self._will = connect.will
        state.outbound.attach(
            Reader(
                version=self.version,
                window=min(properties.receive_maximum or 65_535, limits.delivery_window),
                max_packet=self._output.max_packet,
                max_aliases=properties.topic_alias_maximum or 0,
                write=self._output.gather,
                unsent=self._output.unsent_bytes,
            )
        )
        self._subscriptions = SessionSubscriptions(self._broker, state, self._output, limits)
        self._inbox = self._open_inbox(self, state, connect)
        self._output.send(entry.answer)
        state.outbound.resume(self._now_s)

    def _refuse(self, refused: Refused) -> None:
        goodbye = self._output.refusal(return_code(refused.reason, version=self.version), refused.problem)
        self._end(refused.code, refused.problem, at_once=False, is_will_due=False, goodbye=goodbye)

    def _disconnect(self, packet: Disconnect) -> None:
        assert self._state is not None
        expiry_s = None if packet.properties is None else packet.properties.session_expiry_s
        if expiry_s is not None:
            if self._state.expiry_s == 0 and expiry_s:
                raise Violation(Reason.PROTOCOL_ERROR, "DISCONNECT asks to keep a session that CONNECT did not")
            self._state.keep_for(self._broker.sessions.granted_expiry_s(expiry_s))
        is_will_due = packet.reason != Reason.SUCCESS  # [MQTT-3.14.4-3]: only 0x00 drops it
        self._end("client_disconnect", "client said DISCONNECT", at_once=False, is_will_due=is_will_due)

    # acknowledgements

    def _delivered(self, packet: PubAck | PubRec | PubComp) -> None:
        """The client answers for what was delivered to it."""
        assert self._state is not None
        outbound = self._state.outbound
        match packet:
            case PubAck():
                outbound.acknowledged(packet.packet_id, self._now_s, is_refused=packet.reason >= _REFUSED)
            case PubRec():
                outbound.received(packet.packet_id, self._now_s, is_refused=packet.reason >= _REFUSED)
            case PubComp():
                outbound.completed(packet.packet_id, self._now_s)

    def _released(self, packet_id: int) -> None:
        assert self._inbox is not None
        is_known = self._inbox.release(packet_id)
        if is_known is not None:
            is_success = is_known or self.version != 5
            self._output.send(PubComp(packet_id, Reason.SUCCESS if is_success else Reason.PACKET_ID_NOT_FOUND))
