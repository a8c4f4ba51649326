"""What a `ServerSession` needs of others: a socket to write to, and somebody to take what its client publishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fieldgate.mqtt.packets import Publish, Will

__all__ = ["Inbox", "Link"]


class Link(Protocol):
    """The socket of a session."""

    def write(self, chunk: bytes) -> None:
        """Send; never blocks."""

    def unsent_bytes(self) -> int:
        """How much `write` took that the network has not."""

    def close(self, *, at_once: bool) -> None:
        """End the connection, after what was written unless ``at_once``; nothing more is delivered."""


class Inbox(Protocol):
    """Who takes what one client publishes."""

    def take(self, publishes: Sequence[Publish], now_s: float) -> None:
        """Take a run of PUBLISHes; raises `Violation` when one of them breaks a rule."""

    def release(self, packet_id: int) -> bool | None:
        """PUBREL: forget a QoS 2 id; answers whether it was known. None: its PUBCOMP will be `due` after its PUBREC."""

    def due(self) -> bytes:
        """The acknowledgements that may leave now."""

    def speak_will(self, will: Will, now_s: float) -> None:
        """Take the last words of a client that vanished."""

    def end(self) -> None:
        """The connection is over: what is still owed passes to the session."""
