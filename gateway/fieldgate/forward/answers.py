"""Answers to commands on their way upstream: sent beside the events, a few at a time, until they are acknowledged.

Laws of this file:

- An answer goes to the response topic of its command, with the correlation data [MQTT5 4.10.1], else one level below
  the command's own topic. Where the server takes none on the response topic it goes to the other one.
- It is kept until the server acknowledges it or refuses it for good, over connections; in order, but for those that
  are sent again.
- One over which the server ends connections is given up after a few: no sender of a command, who chose the topic, can
  keep an uplink from its work.
- What is kept is bounded. What is too much is forgotten here, and counted; the desk tells it again after a restart.

No I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from fieldgate.decide.orders import Answer, Order
from fieldgate.forward.command_requests import Request
from fieldgate.forward.encode import JSON_TYPE, TimeText
from fieldgate.mqtt.framing import packet_size
from fieldgate.mqtt.packets import Properties, Publish, Reason

__all__ = ["Answers", "Reply"]

_MAX_REPLIES: Final = 2000
_MAX_REFUSALS: Final = 1000  # beyond it those of commands that reached no desk are the first to go
_MAX_BYTES: Final = 2 << 20
_OVERHEAD_BYTES: Final = 512
_MAX_SENT: Final = 64  # at the same time, and half of the window at the most
_MAX_TRIES: Final = 3  # connections that the server may end over one topic
_PAUSE_S: Final = 1.0  # after a refusal that may pass
_NEVER: Final = frozenset({
    Reason.NOT_AUTHORIZED, Reason.TOPIC_NAME_INVALID, Reason.PAYLOAD_FORMAT_INVALID, Reason.PACKET_TOO_LARGE,
})  # fmt: skip

Told = Callable[[Order, Answer], None]


class Reply(msgspec.Struct):
    """One answer; ``topics`` are where it may go, the first one first."""

    topics: list[str]
    payload: bytes
    correlation: bytes | None
    order: Order | None
    answer: Answer
    tries: int = 0

    @property
    def size_bytes(self) -> int:
        """What it costs to keep it."""
        return len(self.payload) + sum(map(len, self.topics)) + len(self.correlation or b"") + _OVERHEAD_BYTES

    def message(self) -> Publish:
        """Return what to publish; a 3.1.1 server gets no properties."""
        properties = Properties(payload_format=1, content_type=JSON_TYPE, correlation_data=self.correlation)
        return Publish(self.topics[0], self.payload, qos=1, properties=properties)


class Answers:
    """``told`` hears of answers that need not be told again. ``sent`` and ``dropped`` count over the uplink's life.

    ``refusal`` is why the server took the last one nowhere, if that happened.
    """

    def __init__(self, *, told: Told, is_synced: Callable[[], bool]) -> None:
        self.sent = self.dropped = 0
        self.refusal = ""
        self._told = told
        self._is_synced = is_synced
        self._time_text = TimeText()
        self._waiting: deque[Reply] = deque()
        self._out: dict[int, Reply] = {}  # by packet id
        self._size_bytes = 0
        self._pause_until_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._out)

    @property
    def is_out(self) -> bool:
        """Whether any waits for its PUBACK."""
        return bool(self._out)

    def add(self, request: Request, answer: Answer, order: Order | None, *, default_topic: str) -> None:
        """Take an answer."""
        said = {"id": answer.id, "device": answer.device, "command": answer.name, "status": str(answer.status)}
        if answer.reason:
            said["reason"] = answer.reason
        said["at"] = self._time_text.of(answer.at_ns).decode()
        if not self._is_synced():
            said["timequality"] = "unsynced"
        if request.remark:
            said["remark"] = f"{request.remark}: answered here"
        topics = [default_topic] if request.reply_to is None else [request.reply_to, default_topic]
        reply = Reply(topics, msgspec.json.encode(said), request.correlation, order, answer)
        if (
            len(self) >= (_MAX_REPLIES if order is not None else _MAX_REFUSALS)
            or self._size_bytes + reply.size_bytes > _MAX_BYTES
        ):
            self.dropped += 1
            return
        self._size_bytes += reply.size_bytes
        self._waiting.append(reply)

    def ready(self, now_s: float, *, window: int, max_packet_bytes: int | None) -> Iterator[Reply]:
        """Give what may be sent now, one by one: each is followed by `is_sent`, or it was the last.

        ``window`` is how many messages may be on the way, events included, which get half of it.
        """
        most = min(_MAX_SENT, max(1, window // 2))
        while self._waiting and len(self._out) < most and now_s >= self._pause_until_s:
            reply = self._waiting[0]
            size_bytes = packet_size(reply.topics[0].encode(), b"", reply.payload) + len(reply.correlation or b"") + 64
            if max_packet_bytes is not None and size_bytes > max_packet_bytes:
                self._give_up(self._waiting.popleft(), f"the server takes packets of {max_packet_bytes} bytes at most")
                continue
            yield reply

    def is_sent(self, packet_id: int) -> None:
        """What `ready` gave last is on its way."""
        self._out[packet_id] = self._waiting.popleft()

    def wakes_in_s(self, now_s: float) -> float | None:
        """In how many seconds something may be sent that may not now; None where nothing waits for that."""
        return self._pause_until_s - now_s if self._waiting and now_s < self._pause_until_s else None

    def answered(self, packet_id: int, reason: int, now_s: float, *, why: str) -> bool:
        """A PUBACK; return whether it was that of an answer."""
        reply = self._out.pop(packet_id, None)
        if reply is None:
            return False
        if reason < Reason.UNSPECIFIED_ERROR:
            self.sent += 1
            self._done(reply)
        elif reason in _NEVER:
            self._next_topic(reply, why)
        else:
            self._pause_until_s = now_s + _PAUSE_S
            self._waiting.appendleft(reply)
        return True

    def lost(self, *, is_by_server: bool) -> None:
        """The connection is over; ``is_by_server``: the server ended it, perhaps over an answer."""
        again, self._out = list(self._out.values()), {}
        self._pause_until_s = 0.0
        for reply in reversed(again):
            self._waiting.appendleft(reply)
        if not is_by_server:
            return
        for reply in again:
            reply.tries += 1
            if reply.tries >= _MAX_TRIES or (len(reply.topics) > 1 and reply.tries > 1):
                self._waiting.remove(reply)
                self._next_topic(reply, "the server ends the connection when it gets it")

    def _next_topic(self, reply: Reply, why: str) -> None:
        """The server does not take it there."""
        if len(reply.topics) == 1:
            self._give_up(reply, why)
            return
        self._size_bytes -= len(reply.topics[0])
        del reply.topics[0]
        reply.tries = 0
        self._waiting.appendleft(reply)

    def _give_up(self, reply: Reply, why: str) -> None:
        self.dropped += 1
        self.refusal = f"{reply.topics[0]}: {why}"
        self._done(reply)

    def _done(self, reply: Reply) -> None:
        self._size_bytes -= reply.size_bytes
        if reply.order is not None:
            self._told(reply.order, reply.answer)
