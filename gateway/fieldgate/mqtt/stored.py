"""What of the local broker outlives the process, as plain values: sessions, what waits for them, retained messages.

Everything that is stored is stored under a number (sessions, messages), a session's number and a position
(deliveries) or a topic (retained messages). Times are seconds of a clock that goes on over restarts and never steps
back; see `fieldgate.journal.journal.Journal.journal_s`. Fields are stored by position: append new ones with a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from fieldgate.mqtt.packets import Properties

__all__ = ["Changes", "StoredDelivery", "StoredMessage", "StoredSession", "StoredState", "StoredSubscription"]


class StoredSubscription(msgspec.Struct, array_like=True, frozen=True):
    """One subscription [MQTT5 3.8.3.1] and its identifier (0: none)."""

    filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    subscription_id: int = 0


class StoredSession(msgspec.Struct, array_like=True, frozen=True):
    """A session without its deliveries. ``away_since_s`` is None while its client was connected.

    ``unreleased`` are the QoS 2 ids between PUBREC and PUBREL of what the client published, as of a clean stop.
    ``half`` says which half of the packet ids the process used towards this client that wrote this. ``user`` is whose
    session it is; empty: nobody's in particular.
    """

    client_id: str
    expiry_s: float
    away_since_s: float | None = None
    subscriptions: tuple[StoredSubscription, ...] = ()
    unreleased: tuple[int, ...] = ()
    half: int = 0
    user: str = ""


class StoredMessage(msgspec.Struct, array_like=True, frozen=True):
    """A message that waits for somebody, or a retained one."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    heard_s: float
    origin: str | None = None
    properties: Properties | None = None


class StoredDelivery(msgspec.Struct, array_like=True, frozen=True):
    """One message on its way to one session. ``packet_id`` is 0 while it was not sent.

    ``is_retained``: it answers a subscription. ``share`` is the shared subscription that it came by. ``message`` is 0
    once the client has said PUBREC: what is owed is PUBREL, and the message is not needed any more.
    """

    message: int
    qos: int
    retain: bool
    subscription_ids: tuple[int, ...] = ()
    packet_id: int = 0
    is_retained: bool = False
    share: str | None = None


@dataclass(slots=True)
class StoredState:
    """All of it, as found at start. Deliveries of a session are in the order in which they were queued."""

    sessions: dict[int, StoredSession] = field(default_factory=dict)
    deliveries: dict[int, dict[int, StoredDelivery]] = field(default_factory=dict)
    messages: dict[int, StoredMessage] = field(default_factory=dict)
    retained: dict[str, StoredMessage] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What is different since the last time; None removes. Removing a session removes its deliveries."""

    sessions: dict[int, StoredSession | None] = field(default_factory=dict)
    deliveries: dict[tuple[int, int], StoredDelivery | None] = field(default_factory=dict)
    messages: dict[int, StoredMessage | None] = field(default_factory=dict)
    retained: dict[str, StoredMessage | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.sessions or self.deliveries or self.messages or self.retained)
