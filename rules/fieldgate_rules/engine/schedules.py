"""``every`` and ``cron``: rules that are asked because it is time.

``every`` goes by boot time and keeps its phase over restarts. ``cron`` goes by the wall clock of its zone, not while
nobody knows the time. A slot that has gone by unnoticed (the gateway was stopped, the clock was set ahead) is skipped;
none comes twice when the clock is set back, unless by more than a day: then it was wrong before, and only those that
came within the last day, really, do not come again.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Literal

from cronsim import CronSim

from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.stages.stage import Move

__all__ = ["Cron", "Every", "Schedule"]

_LATEST_S: Final = 60.0
_WRONG_S: Final = 86_400.0
_EARLY_S: Final = 0.001
_LOOKS_EVERY_S: Final = 60.0
_REMEMBERED: Final = 16

Came = Literal["now", "skipped", "not_yet"]


class Schedule(ABC):
    """``due_s`` is boot time; None: nobody knows yet."""

    due_s: float | None = None
    has_missed: bool = False
    """Whether a time has gone by unnoticed: to be said, and set to False again."""

    @abstractmethod
    def begin(self, now: Moment) -> None:
        """Work out when it is due, unless that is known."""

    @abstractmethod
    def look(self, now: Moment) -> Came:
        """Return whether it is time, and work out the next one if it is, or was."""

    @abstractmethod
    def clock_changed(self, now: Moment) -> None:
        """The wall clock was set, or has become known."""

    @abstractmethod
    def save(self) -> Any:
        """Return the state."""

    @abstractmethod
    def restore(self, saved: Any, move: Move, now: Moment) -> None:
        """Take what `save` returned."""


class Every(Schedule):
    """Again and again after ``every_s``."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s

    def begin(self, now: Moment) -> None:
        """See `Schedule`."""
        if self.due_s is None:
            self.due_s = now.boot_s + self._every_s

    def look(self, now: Moment) -> Came:
        """See `Schedule`."""
        assert self.due_s is not None
        if now.boot_s < self.due_s:
            return "not_yet"
        is_late = now.boot_s - self.due_s >= self._every_s
        self.due_s += self._every_s * (math.floor((now.boot_s - self.due_s) / self._every_s) + 1)
        return "skipped" if is_late else "now"

    def clock_changed(self, now: Moment) -> None:
        """See `Schedule`: boot time goes on."""

    def save(self) -> Any:
        """See `Schedule`."""
        return self.due_s

    def restore(self, saved: Any, move: Move, now: Moment) -> None:
        """See `Schedule`."""
        self.due_s = move(saved)
        if self.due_s < now.boot_s:
            self.has_missed = True
            self.due_s += self._every_s * math.ceil((now.boot_s - self.due_s) / self._every_s)
        self.due_s = min(self.due_s, now.boot_s + self._every_s)


class Cron(Schedule):
    """At the times that ``text`` names; ``slot_s`` is the next one in UTC."""

    def __init__(self, text: str, zone: tzinfo) -> None:
        self._text = text
        self._zone = zone
        self._last_s = -math.inf
        self._came: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)  # slots in UTC, and when in boot time
        self.slot_s: float | None = None

    def begin(self, now: Moment) -> None:
        """See `Schedule`."""
        self.clock_changed(now)

    def clock_changed(self, now: Moment) -> None:
        """See `Schedule`."""
        if now.wall_s is None:
            self.due_s = now.boot_s + _LOOKS_EVERY_S
            return
        if self._last_s > now.wall_s + _WRONG_S:
            self._last_s = -math.inf
        slot_s, last_s = self.slot_s, self._last_s
        if slot_s is not None and last_s < slot_s <= now.wall_s:
            if now.wall_s - slot_s <= _LATEST_S:  # the clock was set over it, by little
                self.due_s = now.boot_s
                return
            self.has_missed = True
        self._next(now.wall_s, now)

    def _next(self, after_s: float, now: Moment) -> None:
        assert now.wall_s is not None
        after = datetime.fromtimestamp(max(after_s, self._last_s, 0.0), UTC).astimezone(self._zone)
        came = {slot_s for slot_s, at_s in self._came if now.boot_s - at_s < _WRONG_S}
        slots = (slot.timestamp() for slot in CronSim(self._text, after))
        self.slot_s = next((slot_s for slot_s in slots if slot_s not in came), None)
        if self.slot_s is None:
            self.due_s = None
            return
        self.due_s = now.boot_s + max(0.0, self.slot_s - now.wall_s)

    def look(self, now: Moment) -> Came:
        """See `Schedule`."""
        slot_s = self.slot_s
        if slot_s is None or now.wall_s is None:
            self.clock_changed(now)
            return "not_yet"
        if now.wall_s < slot_s - _EARLY_S:
            self.due_s = now.boot_s + slot_s - now.wall_s
            return "not_yet"
        self._last_s = slot_s
        self._came.append((slot_s, now.boot_s))
        self._next(now.wall_s, now)
        return "now" if now.wall_s - slot_s <= _LATEST_S else "skipped"

    def save(self) -> Any:
        """See `Schedule`."""
        return None if math.isinf(self._last_s) else [self._last_s, list(self._came)]

    def restore(self, saved: Any, move: Move, now: Moment) -> None:
        """See `Schedule`."""
        last_s, came = saved if isinstance(saved, list) else (saved, [])  # an earlier version wrote the last one alone
        last_s = float(last_s)  # all of it is looked at before any is taken
        recent = [(float(slot_s), float(move(at_s))) for slot_s, at_s in came]
        self._last_s = last_s
        self._came.extend(recent)
        if now.wall_s is not None and last_s <= now.wall_s:
            self._next(last_s, now)
            self.has_missed = self.slot_s is not None and self.slot_s <= now.wall_s
        self.slot_s = None
        self.clock_changed(now)
