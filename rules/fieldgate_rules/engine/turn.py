"""One thing that rules are asked about, and what comes of it."""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate_devices.event import Event
from fieldgate_rules.engine.acting import Out
from fieldgate_rules.engine.moment import Moment

__all__ = ["MAX_FOLLOWING", "MAX_HOPS", "Following", "Turn", "age_of", "is_replayed"]

MAX_HOPS: Final = 8
"""How many rules may follow from each other, by events or by firings."""

MAX_FOLLOWING: Final = 1_000
"""How many events and firings may follow from one event: ten rules on each other would make 10^8 in eight hops."""

_NS: Final = 1e9


class Following(msgspec.Struct):
    """What has followed from one event or timer: ``events`` and ``firings`` that other rules were asked about."""

    events: int = 0
    firings: int = 0

    @property
    def is_too_much(self) -> bool:
        """Whether nothing more may follow."""
        return self.events + self.firings >= MAX_FOLLOWING


class Turn(msgspec.Struct):
    """``event`` is what rules are asked about, None for anything else; ``mark`` names it for good.

    ``age_s`` is how old the event is, or that from which it follows; of a timer: how long ago it was due, and how old
    the event was that it comes of. ``is_replayed``: one of these was a dead letter before.
    """

    now: Moment
    out: Out
    mark: str
    event: Event | None = None
    hops: int = 0
    age_s: float = 0.0
    is_replayed: bool = False
    following: Following = msgspec.field(default_factory=Following)


def age_of(event: Event, now: Moment) -> float:
    """Return how old an event is: by the device's own time where both clocks are known, else since it was received."""
    extra = event.extra
    if extra is not None and extra.at_ns is not None and now.wall_s is not None:
        return max(0.0, now.wall_s - extra.at_ns / _NS)
    return max(0.0, now.boot_s - event.stamp.boot_ns / _NS)


def is_replayed(event: Event) -> bool:
    """Whether an event was a dead letter before, or comes of one."""
    return event.extra is not None and event.extra.is_replayed
