"""What an `HttpSession` needs of others: a socket, limits, and who says who may send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from fieldgate.ingest.http_request import Head
from fieldgate.mqtt.session_roles import Refused, Rights

__all__ = ["Entry", "HttpAuthority", "HttpLimits", "HttpLink", "HttpVerdict"]


class HttpLimits(msgspec.Struct, frozen=True):
    """What one connection may cost, and ``status``: the one that stands for success."""

    max_head_bytes: int = 16 * 1024
    max_body_bytes: int = 256 * 1024
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 30.0
    idle_timeout_s: float = 60.0
    answer_timeout_s: float = 30.0
    status: int = 204
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A request may come in: for whom, with what rights (None: all), and its path without what was a token."""

    user: str
    rights: Rights | None
    levels: tuple[str, ...]


HttpVerdict = Entry | Refused


class HttpAuthority(Protocol):
    """Who may send. One per connection, asked for every request."""

    def judge(self, head: Head, answer: Callable[[HttpVerdict, float], None]) -> HttpVerdict | None:
        """Judge a request; None: ``answer`` is called with the verdict and the time, later and once."""


class HttpLink(Protocol):
    """The socket of a session."""

    def write(self, chunk: bytes) -> None:
        """Send; never blocks."""

    def close(self, *, at_once: bool) -> None:
        """End the connection, after what was written unless ``at_once``."""

    def set_reading(self, is_wanted: bool) -> None:
        """Read on, or read nothing more for now."""

    def go_on_soon(self) -> None:
        """Call `HttpSession.go_on` when others had their turn."""

    def admitted(self) -> None:
        """Somebody is in: limits for strangers do not hold any more."""
