"""Decide nothing: every event passes in its own lane. Rules take this place when there are any."""

from __future__ import annotations

from collections.abc import Callable

from fieldgate_devices.event import Event

__all__ = ["Decide", "pass_all"]

Decide = Callable[[list[Event]], list[Event]]


def pass_all(events: list[Event]) -> list[Event]:
    """Return ``events`` as they are."""
    return events
