"""What an uplink's server delivers: commands, on their way to the desk, acknowledged when they are safe or refused.

Laws of this file:

- A command is acknowledged when the desk says that it is settled, in order of receipt [MQTT-4.6.0-2]; what is no
  command is refused, acknowledged in its turn, and never ends the connection.
- A message that is sent again (DUP) while its first copy waits, on this connection or an earlier one of the session,
  joins that copy and reaches the desk once [MQTT-4.3.3-10]. What an earlier process may have had already, and bears no
  id by which the desk would know it, is answered ``unknown`` and not carried out.
- A retained message is never a command: it would come again at every connection.
- What waits is bounded in commands and bytes; what is too much is refused. Where a server sends on although nothing is
  acknowledged, it is not read for a while (`is_full`, `has_room`).
- Nobody says when a message was published. What a session held back while the gateway was away counts as old as it can
  be, unless its sender says otherwise.

No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from xxhash import xxh3_64_intdigest

from fieldgate.decide.orders import Answer, Desk, Order, Status
from fieldgate.forward.command_payload import BadCommand, id_in
from fieldgate.forward.command_reader import CommandReader, Doubtful
from fieldgate.forward.command_requests import Receipt, Replies, Request
from fieldgate.mqtt.ack_line import AckLine, Owed
from fieldgate.mqtt.packets import Publish, Reason
from fieldgate.mqtt.violation import Violation

__all__ = ["CommandInbox", "CommandLimits", "CommandSession", "CommandTally"]

_MAX_LINE: Final = 4096  # of a server that does not know Receive Maximum, or does not keep to it, as mosquitto 2.0
_OVERHEAD_BYTES: Final = 512


class CommandTally(msgspec.Struct):
    """What came, over the uplink's life. ``received`` counts everything, ``refused`` what reached no desk."""

    received: int = 0
    refused: int = 0
    joined: int = 0
    strange: int = 0


class CommandSession:
    """What is remembered from one connection to the next."""

    def __init__(self) -> None:
        self.tally = CommandTally()
        self.owed: dict[int, Owed] = {}
        self.unreleased: set[int] = set()  # QoS 2 ids between PUBREC and PUBREL
        self.waiting = 0  # with the desk, and not settled
        self.waiting_bytes = 0
        self.retained: set[str] = set()  # topics that were answered for being retained

    def forget(self) -> None:
        """The server has no session of ours."""
        self.owed.clear()
        self.unreleased.clear()


class CommandLimits(msgspec.Struct, frozen=True):
    """How much may wait for the desk."""

    max_waiting: int = 1024
    max_waiting_bytes: int = 4 << 20
    max_retained_topics: int = 256


class CommandInbox:
    """Implements `ClientInbox` for one connection. ``changed`` is called when an acknowledgement may have become due.

    ``receipt`` says what time it is, and how old a message can be that comes now.
    """

    def __init__(
        self,
        session: CommandSession,
        reader: CommandReader,
        *,
        desk: Desk,
        replies: Replies,
        receipt: Callable[[float], Receipt],
        changed: Callable[[], None],
        limits: CommandLimits | None = None,
    ) -> None:
        self.line = AckLine()
        self._session = session
        self._reader = reader
        self._desk = desk
        self._replies = replies
        self._receipt = receipt
        self._changed = changed
        self._limits = limits or CommandLimits()
        self._receiving: set[int] = set()  # QoS 2 ids whose PUBREC is still to come

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be read for now."""
        return self.line.in_flight >= _MAX_LINE

    @property
    def has_room(self) -> bool:
        """Whether what was full can be read on."""
        return self.line.in_flight <= _MAX_LINE // 2

    # ClientInbox

    def take(self, publishes: Sequence[Publish], now_s: float) -> None:
        """See `ClientInbox`."""
        receipt = self._receipt(now_s)
        for packet in publishes:
            self._session.tally.received += 1
            if packet.properties is not None and packet.properties.topic_alias is not None:
                raise Violation(Reason.TOPIC_ALIAS_INVALID, "a topic alias, which was not offered")  # [MQTT-3.1.2-26]
            if len(self._session.unreleased) >= _MAX_LINE:
                raise Violation(Reason.QUOTA_EXCEEDED, "too many QoS 2 messages that were never released")
            self._take(packet, receipt)

    def release(self, packet_id: int) -> bool:
        """See `ClientInbox`."""
        is_known = packet_id in self._session.unreleased
        self._session.unreleased.discard(packet_id)
        return is_known

    def due(self) -> bytes:
        """See `ClientInbox`."""
        due, releases = self.line.take_due()
        if releases:
            self._receiving.difference_update(releases)
            self._session.unreleased.update(releases)
        return due

    def end(self) -> None:
        """See `ClientInbox`. What was received and is not acknowledged comes again."""
        debts = self.line.owed()
        self._session.owed.update(debts)
        while len(self._session.owed) > _MAX_LINE:
            del self._session.owed[next(iter(self._session.owed))]

    # one message

    def _take(self, packet: Publish, receipt: Receipt) -> None:
        session, code = self._session, -packet.packet_id if packet.qos == 2 else packet.packet_id
        content_id = _content_id(packet)
        if packet.qos and self._is_repeated(packet, code, content_id):
            session.tally.joined += 1
            return
        if packet.qos == 2:
            self._receiving.add(packet.packet_id)
        request = self._reader.request(packet)
        if request is None:  # of a subscription that is not ours, or not any more
            session.tally.strange += 1
            self._acknowledge(code)
            return
        try:
            self._check(packet)
            order = self._reader.order(packet, request, receipt, is_doubtful=packet.dup and receipt.is_inherited)
        except BadCommand as problem:
            self._refuse(packet, request, Status.REFUSED, str(problem), receipt)
        except Doubtful as problem:
            self._refuse(packet, request, Status.UNKNOWN, str(problem), receipt)
        else:
            self._submit(packet, code, content_id, request, order)
            return
        self._acknowledge(code)

    def _submit(self, packet: Publish, code: int, content_id: int, request: Request, order: Order) -> None:
        size_bytes = len(packet.topic) + len(packet.payload) + _OVERHEAD_BYTES
        position = self.line.add_events([code], [content_id], size_bytes)
        self._session.waiting += 1
        self._session.waiting_bytes += size_bytes
        request = request._replace(id=order.id)
        self._desk.submit(order, _Submitted(self, request, order, position=position, size_bytes=size_bytes))

    def _is_repeated(self, packet: Publish, code: int, content_id: int) -> bool:
        """Whether this is one that we have already; then it stands in the line as far as it must."""
        session, packet_id, is_twice = self._session, packet.packet_id, packet.qos == 2
        if is_twice and packet_id in self._receiving:
            return True
        if is_twice and packet_id in session.unreleased:
            self._receiving.add(packet_id)
            self._acknowledge(code)
            return True
        owed = session.owed.pop(packet_id, None)
        if not packet.dup:
            return False
        if owed is not None and owed.content_id == content_id and owed.is_release == is_twice:
            self.line.add_joined(code, owed)
            if is_twice:
                self._receiving.add(packet_id)
            return True
        return (code, content_id) in self.line.waiting()

    def _check(self, packet: Publish) -> None:
        session, limits = self._session, self._limits
        if packet.retain:
            raise BadCommand("it is retained, and would be carried out at every connection; publish it without that")
        if session.waiting >= limits.max_waiting or session.waiting_bytes >= limits.max_waiting_bytes:
            raise BadCommand(f"too many commands: {session.waiting} wait to be recorded")

    def _refuse(self, packet: Publish, request: Request, status: Status, reason: str, receipt: Receipt) -> None:
        session = self._session
        session.tally.refused += 1
        if packet.retain:  # 3.1.1 delivers it again at each SUBSCRIBE: it is told once
            if packet.topic in session.retained:
                return
            if len(session.retained) < self._limits.max_retained_topics:
                session.retained.add(packet.topic)
        answer = Answer(
            id=request.id or id_in(packet.payload),
            device=request.device,
            name=request.name,
            status=status,
            reason=reason,
            at_ns=receipt.wall_ns,
        )
        self._replies.reply(request, answer, None)
        self._desk.note(self._reader.trace(request, answer, receipt), answer)

    def _acknowledge(self, code: int) -> None:
        if code:
            self.line.add_ready(code)

    def is_settled(self, position: int, size_bytes: int) -> None:
        """A command that this connection brought may be acknowledged."""
        self._session.waiting -= 1
        self._session.waiting_bytes -= size_bytes
        self.line.settled(position, 1)
        self._changed()

    def answer(self, request: Request, answer: Answer, order: Order) -> None:
        """Say what became of one."""
        self._replies.reply(request, answer, order)


class _Submitted:
    """Implements `Hears` for one message."""

    __slots__ = ("_inbox", "_order", "_position", "_request", "_size_bytes")

    def __init__(self, inbox: CommandInbox, request: Request, order: Order, *, position: int, size_bytes: int) -> None:
        self._inbox = inbox
        self._request = request
        self._order = order
        self._position = position
        self._size_bytes = size_bytes

    def settled(self, order: Order) -> None:
        """See `Hears`."""
        del order  # that of the first copy, where this one joined it
        self._inbox.is_settled(self._position, self._size_bytes)

    def answered(self, order: Order, answer: Answer) -> None:
        """See `Hears`. Each message is answered as it asked for, although it joined another."""
        self._inbox.answer(self._request, answer, order)


def _content_id(packet: Publish) -> int:
    properties = packet.properties
    correlation = properties.correlation_data if properties is not None else None
    return xxh3_64_intdigest(packet.payload, xxh3_64_intdigest(packet.topic.encode() + b"\0" + (correlation or b"")))
