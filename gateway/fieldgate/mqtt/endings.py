"""Why a connection to a server is over, and whom that blames."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from fieldgate.mqtt.client_happenings import Ended, Refused
from fieldgate.mqtt.packets import Reason

__all__ = ["Cause", "End", "end_of"]

_PASSING: Final = frozenset({
    Reason.SERVER_UNAVAILABLE, Reason.SERVER_BUSY, Reason.SERVER_SHUTTING_DOWN, Reason.KEEP_ALIVE_TIMEOUT,
    Reason.SESSION_TAKEN_OVER, Reason.MESSAGE_RATE_TOO_HIGH, Reason.QUOTA_EXCEEDED, Reason.ADMINISTRATIVE_ACTION,
    Reason.USE_ANOTHER_SERVER, Reason.SERVER_MOVED, Reason.CONNECTION_RATE_EXCEEDED, Reason.MAXIMUM_CONNECT_TIME,
})  # fmt: skip
"""Reasons that blame neither our configuration nor what was just sent."""
_UNAVAILABLE_311: Final = 3


class Cause(Enum):
    """Who ended a connection, or prevented it."""

    SERVER = "the server, perhaps because of what it was sent"
    REFUSAL = "a server or certificate that says no until a person acts"
    OTHER = "the link, a timeout, or a server that is busy with itself"


@dataclass(frozen=True, slots=True)
class End:
    """Why there is no connection any more.

    ``is_at_once``: try again without waiting, in another version. ``is_renewal``: we left, to come back at once.
    ``is_takeover``: another client has our client id. ``is_too_large``: a packet of ours was (DISCONNECT 0x95).
    ``is_violation``: we left, over something that the server must not send.
    """

    text: str
    cause: Cause = Cause.OTHER
    is_at_once: bool = False
    is_takeover: bool = False
    is_renewal: bool = False
    is_too_large: bool = False
    is_violation: bool = False


def end_of(happening: Ended | Refused, *, version: int) -> End:
    """Return what the end of a session, or its refusal, means for its owner."""
    if isinstance(happening, Refused):
        is_passing = happening.reason == _UNAVAILABLE_311 if version == 4 else happening.reason in _PASSING
        return End(happening.text, Cause.OTHER if is_passing else Cause.REFUSAL)
    is_ours = happening.is_by_server and happening.reason not in _PASSING
    return End(
        happening.text,
        Cause.SERVER if is_ours else Cause.OTHER,
        is_takeover=happening.is_by_server and happening.reason == Reason.SESSION_TAKEN_OVER,
        is_too_large=happening.is_by_server and happening.reason == Reason.PACKET_TOO_LARGE,
        is_violation=not happening.is_by_server and happening.reason != 0,
    )
