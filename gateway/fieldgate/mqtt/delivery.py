"""One message on its way to one client: how it gets it, within what limits, and the connection that reads it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fieldgate.mqtt.message import Fate, Message

__all__ = ["Delivery", "OutboundLimits", "Reader"]


class OutboundLimits(msgspec.Struct, frozen=True):
    """What may wait for one client: live messages and, beside them, retained ones."""

    max_bytes: int = 2**20
    max_retained: int = 20_000
    max_retained_bytes: int = 16 * 2**20


class Delivery(msgspec.Struct, gc=False):
    """A message for this client. ``is_stored``: a retained one, sent because the client subscribed.

    ``share`` names the shared subscription it was chosen for, which may give it to another member. ``told`` hears what
    becomes of it.
    """

    message: Message
    qos: int
    retain: bool
    subscription_ids: tuple[int, ...]
    share: str | None = None
    is_stored: bool = False
    told: Callable[[Fate], None] | None = None

    def tell(self, fate: Fate) -> None:
        """Say what became of it, to whoever wants to know."""
        if self.told is not None:
            self.told(fate)


class Reader(msgspec.Struct, frozen=True):
    """The connection that reads: ``write`` gathers bytes for it, ``unsent`` tells how many its socket holds."""

    version: int
    window: int
    max_packet: int
    max_aliases: int
    write: Callable[[bytes], None]
    unsent: Callable[[], int]
