"""What passes between those who hear commands of an uplink, and those who answer them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fieldgate.decide.orders import Answer, Order

__all__ = ["Receipt", "Replies", "Request"]


class Request(NamedTuple):
    """What an answer needs to know of the message that it answers.

    ``reply_to`` is where its sender wants it, if that may be; ``remark`` says why not.
    """

    topic: str
    device: str
    name: str
    id: str
    reply_to: str | None
    correlation: bytes | None
    remark: str = ""


class Receipt(NamedTuple):
    """When something was received: boot time, UTC, whether the clock is set, and how old it was then at the most.

    ``is_inherited``: it may be of a session that an earlier process began.
    """

    boot_ns: int
    wall_ns: int
    is_synced: bool
    oldest_s: float = 0.0
    is_inherited: bool = False


class Replies(Protocol):
    """Who sends answers."""

    def reply(self, request: Request, answer: Answer, order: Order | None) -> None:
        """Send ``answer``; where there is an ``order``, the desk is told once it has arrived."""
