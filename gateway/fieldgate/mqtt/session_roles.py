"""What a `ServerSession` needs of others: a socket, somebody to take what is published, and who says who may what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldgate.mqtt.packets import Connect, Publish, Reason, Will

__all__ = ["Accepted", "Authority", "Inbox", "Link", "Refused", "Rights", "Verdict"]


class Link(Protocol):
    """The socket of a session."""

    def write(self, chunk: bytes) -> None:
        """Send; never blocks."""

    def unsent_bytes(self) -> int:
        """How much `write` took that the network has not."""

    def close(self, *, at_once: bool) -> None:
        """End the connection, after what was written unless ``at_once``; nothing more is delivered."""

    def pause_reading(self) -> None:
        """Read nothing more for now."""

    def resume_reading(self) -> None:
        """Read on."""


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


class Rights(Protocol):
    """What one connection may do. Asked for every message: answers are remembered where they are not trivial."""

    def may_publish(self, topic: str) -> bool:
        """Whether messages of this client may bear ``topic``."""

    def may_subscribe(self, topic_filter: str) -> bool:
        """Whether this client may subscribe to all of a valid ``topic_filter``."""

    def may_receive(self, topic: str) -> bool:
        """Whether a message on ``topic`` may be sent to this client, whatever it subscribed to."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client may come in as ``user`` (empty: nobody in particular). ``rights`` None: it may do everything."""

    user: str = ""
    rights: Rights | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The client may not come in: what an MQTT 5 client is told, what is counted, and the words for the log.

    ``wait_s``: when it may try again, where that is known.
    """

    reason: Reason
    code: str
    problem: str
    wait_s: float = 0.0


Verdict = Accepted | Refused


class Authority(Protocol):
    """Who may come in. One per connection; asked once."""

    def judge(self, connect: Connect, answer: Callable[[Verdict, float], None]) -> Verdict | None:
        """Judge a CONNECT whose client id is final.

        Returns the verdict, or None: then ``answer`` is called with it and the time, later and once.
        """
