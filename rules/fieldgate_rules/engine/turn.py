"""One thing that rules are asked about, and what comes of it."""

from __future__ import annotations

import msgspec

from fieldgate_devices.event import Event
from fieldgate_rules.engine.acting import Out
from fieldgate_rules.engine.moment import Moment

__all__ = ["MAX_HOPS", "Turn"]

MAX_HOPS = 8
"""How many rules may follow from each other, by events or by firings."""

_NS = 1e9


class Turn(msgspec.Struct):
    """``event`` is what rules are asked about, None for anything else; ``mark`` names it for good.

    ``due_s`` is when it was to come, if it comes of time.
    """

    now: Moment
    out: Out
    mark: str
    event: Event | None = None
    hops: int = 0
    due_s: float | None = None

    @property
    def is_replayed(self) -> bool:
        """Whether the event was a dead letter before, or comes of one."""
        return self.event is not None and self.event.extra is not None and self.event.extra.is_replayed

    @property
    def age_s(self) -> float:
        """How old the event is: by the device's own time where both clocks are known, else since it was received.

        Of a timer: how long ago it was due.
        """
        event, now = self.event, self.now
        if event is None:
            return 0.0 if self.due_s is None else max(0.0, now.boot_s - self.due_s)
        extra = event.extra
        if extra is not None and extra.at_ns is not None and now.wall_s is not None:
            return max(0.0, now.wall_s - extra.at_ns / _NS)
        return max(0.0, now.boot_s - event.stamp.boot_ns / _NS)
