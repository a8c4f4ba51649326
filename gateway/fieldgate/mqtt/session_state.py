"""What the gateway remembers of a client from one connection to the next: the Session State of [MQTT5 4.1].

What has to be kept for the client's return, and nothing else of the connection:

- ``subscriptions``, with their options and identifiers,
- ``outbound.queue``: what was never sent to it; ``outbound.in_flight``: sent as PUBLISH and not acknowledged;
  ``outbound.released``: sent as PUBREL and not completed; ``outbound.next_id``,
- ``unreleased``: the QoS 2 ids that it published, got a PUBREC for, and has not released,
- ``user``, to whom the session belongs; ``rights`` are the connection's, and hold while the client is away for what is
  queued for it (None: everything; asked again when it is back),
- ``expiry_s``, ``forget_at_s`` (while it is away) and ``will`` while that waits for its delay.

``owed`` is not part of it: it joins a resent PUBLISH to an event that this process still holds.

Each change of a session that outlives its connection passes `SessionState.changed`, the one place where somebody who
keeps sessions on disk learns of it; the end of a session passes `SessionWatch.forgotten`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from fieldgate.mqtt.ack_line import Owed
from fieldgate.mqtt.outbound import Outbound
from fieldgate.mqtt.packets import Reason, Subscription, Will
from fieldgate.mqtt.session_roles import Rights

__all__ = ["Client", "PendingWill", "SessionState", "SessionWatch", "Subscribed"]


class Client(Protocol):
    """The connection that a session has at the moment."""

    def flush(self) -> None:
        """Write what `Outbound` gathered."""

    def fail(self, reason: Reason, problem: str) -> None:
        """End this connection, now."""


class SessionWatch(Protocol):
    """Who keeps sessions elsewhere; called for sessions that outlive their connection (``expiry_s`` above 0)."""

    def changed(self, state: SessionState) -> None:
        """Something of ``state`` changed; many changes may follow. ``expiry_s`` of 0: it is not to be kept any more."""

    def forgotten(self, state: SessionState) -> None:
        """The session is over."""


class Subscribed(msgspec.Struct, frozen=True):
    """A subscription of a session; ``subscription_id`` is 0 where the client gave none."""

    options: Subscription
    subscription_id: int


class PendingWill(msgspec.Struct, frozen=True):
    """A will that waits for its delay; ``speak`` publishes it, given the time."""

    will: Will
    at_s: float
    speak: Callable[[Will, float], None]


class SessionState:
    """One session. ``client`` is its connection at the moment, None while it is away."""

    __slots__ = (
        "_watch", "client", "client_id", "expiry_s", "filter_bytes", "forget_at_s", "outbound", "owed", "rights",
        "subscriptions", "unreleased", "user", "will",
    )  # fmt: skip

    def __init__(self, client_id: str, outbound: Outbound, watch: SessionWatch | None = None) -> None:
        self.client_id = client_id
        self.client: Client | None = None
        self.outbound = outbound
        self.subscriptions: dict[str, Subscribed] = {}
        self.filter_bytes = 0
        self.owed: dict[int, Owed] = {}  # acknowledgements that earlier connections did not live to get
        self.unreleased: set[int] = set()  # QoS 2 ids between PUBREC and PUBREL
        self.expiry_s = 0.0
        self.forget_at_s: float | None = None
        self.will: PendingWill | None = None
        self.user = ""  # whose session it is; empty: nobody's in particular
        self.rights: Rights | None = None  # of its connection, and of the last one while it is away
        self._watch = watch

    def changed(self) -> None:
        """Tell whoever keeps sessions that this one is not what it was."""
        if self._watch is not None and self.expiry_s > 0:
            self._watch.changed(self)

    def forgotten(self) -> None:
        """Tell whoever keeps sessions that this one is over."""
        if self._watch is not None:
            self._watch.forgotten(self)

    def keep_for(self, expiry_s: float) -> None:
        """The session outlives its connection by this much."""
        was_kept, self.expiry_s = self.expiry_s > 0, expiry_s
        is_watched = self._watch is not None and expiry_s > 0
        self.outbound.on_change = self.changed if is_watched else None  # looked at for each message
        if self._watch is not None and (was_kept or expiry_s > 0):
            self._watch.changed(self)

    def bequeath(self, will: Will, speak: Callable[[Will, float], None], now_s: float) -> None:
        """The connection ended without a goodbye: ``speak`` publishes the will, now or after its delay."""
        delay_s = 0 if will.properties is None else will.properties.will_delay_s or 0
        if delay_s <= 0:
            speak(will, now_s)
        else:
            self.will = PendingWill(will, now_s + delay_s, speak)

    def hold_ids(self, packet_ids: Iterable[int]) -> None:
        """PUBRECs for these QoS 2 ids are on their way: a PUBLISH with one of them is the same one again."""
        self.unreleased.update(packet_ids)
        self.changed()

    def release_id(self, packet_id: int) -> bool:
        """PUBREL: the id is free; answers whether it was held."""
        if packet_id not in self.unreleased:
            return False
        self.unreleased.remove(packet_id)
        self.changed()
        return True
