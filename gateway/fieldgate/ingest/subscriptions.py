"""What a source is subscribed to, and what must be sent to make that what is configured.

Laws of this file:

- With a session on the far side only what differs is sent: a 3.1.1 broker replays its retained messages at each
  SUBSCRIBE. What was subscribed to in earlier runs and is not configured any more is given up (UNSUBSCRIBE).
- ``record`` says what the broker may have for us; it is to be saved before anything is sent. MQTT cannot be asked.
- A filter that the broker refuses is tried again after a minute, and on each new connection.

Sans-io: it is told what happened and answers what to send.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fieldgate.config.source import SubscribeConfig
from fieldgate.mqtt.client_happenings import reason_text
from fieldgate.mqtt.packets import Reason, Subscription

__all__ = ["Ask", "Subscriptions"]

MAYBE: Final = -1
"""In a record: asked for, and not known whether it was granted."""

_FILTERS_PER_PACKET: Final = 8  # AWS IoT takes no more
_PACKET_BYTES: Final = 10  # of a SUBSCRIBE beside its filters, at most: header, id, no properties
_RETRY_S: Final = 60.0
_PATIENCE_S: Final = 30.0
_SEND_RETAINED_IF_NEW: Final = 1  # Retain Handling [MQTT5 3.8.3.1]
_WORDS: Final[dict[int, str]] = {
    Reason.NOT_AUTHORIZED: "this client may not read it",
    Reason.TOPIC_FILTER_INVALID: "the broker does not take this filter",
    Reason.QUOTA_EXCEEDED: "the broker's quota is used up",
    Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: "the broker has no shared subscriptions",
    Reason.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: "the broker has no wildcards",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A SUBSCRIBE (``subscribe``) or an UNSUBSCRIBE (``unsubscribe``) to be sent; one of the two is empty."""

    subscribe: tuple[Subscription, ...] = ()
    unsubscribe: tuple[str, ...] = ()


@dataclass(slots=True)
class _Sent:
    ask: Ask
    at_s: float


class Subscriptions:
    """The subscriptions of one source over its connections. ``refused`` and ``lowered`` say what is not as wanted."""

    def __init__(self, wanted: Sequence[SubscribeConfig], record: Mapping[str, int]) -> None:
        self.record = dict(record)
        self.refused: dict[str, str] = {}  # filter -> why, in words
        self.granted: dict[str, int] = {}  # filter -> QoS, as told by this process's last SUBACK
        self.is_saved = True
        self._wanted = {one.filter: one.qos for one in wanted}
        self._asks: list[Ask] = []
        self._sent: dict[int, _Sent] = {}
        self._retry_at_s: float | None = None

    @property
    def lowered(self) -> dict[str, int]:
        """Filters that the broker grants a lower QoS than was asked for, and which."""
        return {one: qos for one, qos in self.granted.items() if qos < self._wanted[one]}

    @property
    def subscribed(self) -> int:
        """How many of the wanted filters the broker has granted, as far as known."""
        return sum(self.record.get(one) == qos for one, qos in self._wanted.items())

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to send or to be answered."""
        return not self._asks and not self._sent

    def connected(self, *, is_session_present: bool, max_packet_bytes: int | None) -> None:
        """A connection was accepted: plan what is to be sent on it."""
        self._sent.clear()
        self._retry_at_s = None
        self.refused.clear()
        if not is_session_present:
            self.granted.clear()
            self._note({})
        self._plan(max_packet_bytes)

    def _plan(self, max_packet_bytes: int | None) -> None:
        limit = 1 << 28 if max_packet_bytes is None else max_packet_bytes
        for one in self._wanted:
            if _size(one) + _PACKET_BYTES > limit:
                self.refused[one] = f"it is too long for this broker, which takes packets of {limit} bytes at most"
        gone = [one for one in self.record if one not in self._wanted]
        missing = [one for one, qos in self._wanted.items() if self.record.get(one) != qos and one not in self.refused]
        self._asks = [Ask(unsubscribe=tuple(part)) for part in _parts(gone, limit)]
        for part in _parts(missing, limit):
            self._asks.append(Ask(subscribe=tuple(self._subscription(one) for one in part)))
        if missing:
            self._note(self.record | dict.fromkeys(missing, MAYBE))

    def _subscription(self, topic_filter: str) -> Subscription:
        return Subscription(topic_filter, self._wanted[topic_filter], retain_handling=_SEND_RETAINED_IF_NEW)

    def _note(self, record: dict[str, int]) -> None:
        if record != self.record:
            self.record = record
            self.is_saved = False

    def next_ask(self) -> Ask | None:
        """Take the next packet to send; it is to be followed by `sent`."""
        return self._asks.pop(0) if self._asks else None

    def sent(self, ask: Ask, packet_id: int, now_s: float) -> None:
        """The packet was sent under that id; 0: there was none free."""
        if packet_id:
            self._sent[packet_id] = _Sent(ask, now_s)
        else:
            self._asks.insert(0, ask)

    def answered(self, packet_id: int, reasons: Sequence[int], *, version: int, now_s: float) -> str | None:
        """Take a SUBACK or UNSUBACK; return what is wrong with it, if anything."""
        sent = self._sent.pop(packet_id, None)
        if sent is None:
            return None
        if sent.ask.unsubscribe:
            gone = set(sent.ask.unsubscribe)
            self._note({one: qos for one, qos in self.record.items() if one not in gone})
            return None
        if len(reasons) != len(sent.ask.subscribe):  # [MQTT-3.8.4-6]
            return f"a SUBACK with {len(reasons)} answers to {len(sent.ask.subscribe)} filters"
        record = dict(self.record)
        for asked, reason in zip(sent.ask.subscribe, reasons, strict=True):
            if reason < 0x80:
                self.granted[asked.filter] = reason
                record[asked.filter] = asked.qos
                continue
            known = _WORDS.get(reason) if version == 5 else "the broker does not grant it"
            self.refused[asked.filter] = known or f"the broker says {reason_text(reason)}"
            self.granted.pop(asked.filter, None)
            record.pop(asked.filter, None)
            self._retry_at_s = now_s + _RETRY_S
        self._note(record)
        return None

    def overdue(self, now_s: float) -> str | None:
        """Say that the broker does not answer, once it has had enough time."""
        if any(now_s - one.at_s >= _PATIENCE_S for one in self._sent.values()):
            return f"the broker has not answered a SUBSCRIBE for {_PATIENCE_S:g} s"
        return None

    def retry(self, now_s: float, *, max_packet_bytes: int | None) -> bool:
        """Plan to ask again for what was refused, when it is time; return whether it was."""
        if self._retry_at_s is None or now_s < self._retry_at_s or not self.is_complete:
            return False
        self._retry_at_s = None
        self.refused.clear()
        self._plan(max_packet_bytes)
        return True


def _parts(filters: Sequence[str], limit: int) -> list[list[str]]:
    """Split ``filters`` so that each part fits into one packet."""
    parts: list[list[str]] = []
    size = limit
    for one in filters:
        needed = _size(one)
        if not parts or len(parts[-1]) >= _FILTERS_PER_PACKET or size + needed > limit:
            parts.append([])
            size = _PACKET_BYTES
        parts[-1].append(one)
        size += needed
    return parts


def _size(topic_filter: str) -> int:
    """The bytes of a filter in a SUBSCRIBE: its length, itself, its options."""
    return len(topic_filter.encode()) + 3
