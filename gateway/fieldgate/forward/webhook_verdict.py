"""What becomes of an event, by the HTTP answer to it: taken, to be sent again later, or never to be taken as it is.

A server that does not let us in (a wrong token, a hook that was removed or has moved) says nothing of the event: it
waits until a person has mended that, and is sent then. Only a refusal of what the event says is one for good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from fieldgate.net.http_exchange import Answer
from fieldgate.net.http_head import BUSY_STATUSES
from fieldgate.net.refusals import printable

__all__ = ["MAX_WAIT_S", "Doubts", "Verdict", "is_about_event", "refusal_text", "retry_after_s", "verdict", "words_of"]

Verdict = Literal["taken", "later", "not_let_in", "never"]

_NOT_NOW: Final = 503
_NOT_LET_IN: Final = frozenset({*range(300, 400), 401, 402, 403, 404, 405, 407, 410, 421, 426, 501, 505})
"""The token, the address, the method, the bill: what stands in the configuration or at the server, not in the event."""
_FIREWALL: Final = frozenset({403, 404, 405})
_FAILURES_BEFORE_TRIAL: Final = 5
MAX_WAIT_S: Final = 3600.0
"""The longest that a server may have us wait; then it is asked again whatever it had said."""


def verdict(status: int) -> Verdict:
    """Return what an answer of that status means for the event.

    A redirect is never followed: it would take secrets to a place that nobody has written down.
    """
    if 200 <= status < 300:
        return "taken"
    if status in _NOT_LET_IN:
        return "not_let_in"
    return "later" if status in BUSY_STATUSES else "never"


def is_about_event(status: int) -> bool:
    """Whether an answer that asks for another try may be due to the event.

    The server may have broken down over it, or a firewall before the server may not like its words.
    """
    return status in _FIREWALL or (status >= 500 and status not in (_NOT_NOW, *_NOT_LET_IN))


def words_of(answer: Answer) -> str:
    """What the server says, for a person."""
    location = answer.headers.get("location")
    return f"{answer}; it names {printable(location)!r}, and no redirect is followed" if location else str(answer)


def refusal_text(answer: Answer, *, is_tried: bool) -> str:
    """Say why an event is parked; ``is_tried``: the server takes others."""
    what = "cannot take it, and takes others" if is_tried else "refuses it"
    return f"the server {what}: {words_of(answer)}"


class Doubts:
    """Is it the server, or one event? After a few failures of the same one, the next one is to be tried first."""

    def __init__(self) -> None:
        self._id = ""
        self._failures = 0

    @property
    def is_trial_due(self) -> bool:
        """Whether the next try begins with another event."""
        return self._failures >= _FAILURES_BEFORE_TRIAL

    def failed(self, own_id: str, *, is_about_event: bool) -> None:
        """An event was not taken for now. If it is another one than before, the server takes none of them."""
        self._failures = self._failures + 1 if own_id == self._id and is_about_event else int(is_about_event)
        self._id = own_id

    def clear(self) -> None:
        """The server takes what it is sent."""
        self._id, self._failures = "", 0


def retry_after_s(headers: Mapping[str, str], *, wall_ns: int | None) -> float:
    """Return for how long a server wants to be left alone (RFC 9110, 10.2.3), at most `MAX_WAIT_S`; 0 if it is silent.

    ``wall_ns`` is the time, None while nobody knows it: then a date says nothing.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_WAIT_S)
    if wall_ns is None:
        return 0.0
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    left_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - wall_ns / 1e9
    return min(max(0.0, left_s), MAX_WAIT_S) if math.isfinite(left_s) else 0.0
