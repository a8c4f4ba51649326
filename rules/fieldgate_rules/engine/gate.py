"""How often a rule may fire: ``throttle`` and ``once_per``."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.stages.stage import Move

if TYPE_CHECKING:
    from fieldgate_rules.model.stages import OncePer, ThrottleSpec

__all__ = ["Gate"]

_WRONG_S: Final = 86_400.0  # a clock that was ahead by more was wrong
_STEP_S: Final = 60.0  # by less the clock is put right all the time, also over midnight
_LENGTHS_S: Final = {"hour": 3600.0, "day": 86_400.0, "week": 604_800.0, "month": 2_592_000.0}


class Gate:
    """Of one rule and group. Periods are those of the zone's calendar, or by boot time while nobody knows the time.

    When the clock is set, the period in which it fired is both what the clock had said and what it turned out to be.
    """

    def __init__(self, throttle: ThrottleSpec | None, once_per: OncePer | None, zone: tzinfo) -> None:
        self._throttle = throttle
        self._once_per = once_per
        self._zone = zone
        self._times: deque[float] = deque(maxlen=throttle.times if throttle is not None else 1)
        self._period = ""
        self._period_s = 0.0
        self._passed_wall_s: float | None = None
        self._is_measured = False  # by the boot time of this boot

    def closed_by(self, now: Moment) -> str:
        """Return the key that keeps the rule from firing now; empty if none does."""
        throttle = self._throttle
        if throttle is not None and len(self._times) == throttle.times and self._times[0] > now.boot_s - throttle.per:
            return "throttle"
        if self._once_per is not None and self._period:
            period = self._period_of(now)
            if self._period == period or (period and (self._is_set_back(now) or self._was_in(period, now))):
                return "once_per"
            if (not period or not self._is_calendar) and self._once_per in _LENGTHS_S:
                return "once_per" if now.boot_s < self._period_s + _LENGTHS_S[self._once_per] else ""
        return ""

    def _is_set_back(self, now: Moment) -> bool:
        """Whether the clock was set back since it fired, by less than a day: that period was used up."""
        passed_s, wall_s = self._passed_wall_s, now.wall_s
        return passed_s is not None and wall_s is not None and 0.0 < passed_s - wall_s <= _WRONG_S

    def _was_in(self, period: str, now: Moment) -> bool:
        """Whether it fired in ``period`` by the clock as it is now, which was set since."""
        if not self._is_measured or self._passed_wall_s is None or now.wall_s is None:
            return False
        passed_s = now.wall_s - (now.boot_s - self._period_s)
        return abs(passed_s - self._passed_wall_s) > _STEP_S and self._name_of(passed_s) == period

    @property
    def _is_calendar(self) -> bool:
        return not self._period.startswith("boot")

    def passed(self, now: Moment) -> None:
        """It fires."""
        if self._throttle is not None:
            self._times.append(now.boot_s)
        if self._once_per is not None:
            self._period, self._period_s = self._period_of(now) or "boot", now.boot_s
            self._passed_wall_s = None if self._once_per == "start" else now.wall_s
            self._is_measured = True

    def _period_of(self, now: Moment) -> str:
        """A name for the period that it is now; empty while nobody knows the time."""
        if self._once_per == "start":
            return f"start-{now.stamp.run:x}"
        if now.wall_s is None:
            return ""
        return self._name_of(now.wall_s)

    def _name_of(self, wall_s: float) -> str:
        at = datetime.fromtimestamp(wall_s, UTC).astimezone(self._zone)
        match self._once_per:
            case "hour":
                return f"{at:%Y-%m-%dT%H%z}"
            case "day":
                return f"{at:%Y-%m-%d}"
            case "week":
                return f"{at:%G-W%V}"
            case _:
                return f"{at:%Y-%m}"

    def shown(self, now: Moment) -> dict[str, Any]:
        """Return the state as plain values, for explanations."""
        throttle = self._throttle
        shown: dict[str, Any] = {}
        if throttle is not None:
            is_full = len(self._times) == throttle.times and self._times[0] > now.boot_s - throttle.per
            shown["throttle"] = {
                "until_s": self._times[0] + throttle.per if is_full else None,
                "times": len(self._times),
            }
        if self._once_per is not None:
            shown["once_per"] = {"period": self._period}
        return shown

    def save(self) -> Any:
        """Return the state; None where there is none."""
        if not self._times and not self._period:
            return None
        return [list(self._times), self._period, self._period_s, self._passed_wall_s]

    def restore(self, saved: Any, move: Move) -> None:
        """Take what `save` returned."""
        times, self._period, period_s, *passed = saved
        self._passed_wall_s = passed[0] if passed else None
        self._times.extend(move(one) for one in times)
        self._period_s = move(period_s)
        self._is_measured = self._period_s == period_s  # after another boot nobody may know for how long it was off
