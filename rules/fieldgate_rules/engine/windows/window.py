"""The window of one rule and group: figures over panes of ``slide``, of which ``size`` has a whole number.

A window by the gateway's time ends by boot time; where its panes end is worked out when each begins, so that a step of
the clock makes none early or twice. One by the device's time ends when its end, and ``late`` after it, has gone by;
none comes twice when the clock is set back, unless by more than a day: then it was wrong before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fieldgate_devices.event import Event
from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.stages.stage import Move
from fieldgate_rules.engine.windows.figure import Adder, Sum, merged, result
from fieldgate_rules.engine.windows.points import Points
from fieldgate_rules.rule import WindowValue

if TYPE_CHECKING:
    from fieldgate_rules.model import WindowSpec

__all__ = ["Ended", "Window"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_OPEN: Final = 256
_WRONG_S: Final = 86_400.0  # a clock that is ahead by more is wrong
_SAME_S: Final = 1e-6
_NS: Final = 1e9


class Ended(msgspec.Struct, frozen=True):
    """A window that has ended: its figures, when it was (UTC in seconds or None), and whether something is missing."""

    figures: Mapping[str, Any]
    start_s: float | None
    end_s: float | None
    is_partial: bool
    count: int

    def fields(self) -> dict[str, Any]:
        """What conditions and texts about it may name."""
        fields = {**self.figures, "start": self.start_s, "end": self.end_s, "partial": self.is_partial}
        return {name: value for name, value in fields.items() if value is not None}

    def data(self) -> dict[str, Any]:
        """What its event says."""
        data: dict[str, Any] = {name: value for name, value in self.figures.items() if value is not None}
        if self.start_s is not None and self.end_s is not None:
            data |= {"start": _utc(self.start_s), "end": _utc(self.end_s)}
        return data | ({"partial": True} if self.is_partial else {})


def _utc(at_s: float) -> str:
    at = _EPOCH + timedelta(milliseconds=round(at_s * 1000))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Pane(msgspec.Struct, array_like=True):
    """``begin_s`` and ``end_s`` are boot time (device time for windows of that), ``end_wall_s`` UTC or None."""

    begin_s: float
    end_s: float
    end_wall_s: float | None
    sums: list[Sum]
    count: int = 0
    is_partial: bool = False


class Window:
    """``due_s`` is when the next pane ends. ``since_s`` is from when on nothing can have been missed."""

    def __init__(
        self, spec: WindowSpec, figures: Sequence[WindowValue], adders: Sequence[Adder], *, since_s: float
    ) -> None:
        self.due_s: float | None = None
        self.late = 0
        self._spec = spec
        self._figures = tuple(figures)
        self._adders = tuple(enumerate(adders))
        self._integrals = [(number, one) for number, one in enumerate(figures) if one.spec.function == "integral"]
        self._slide_s = spec.slide or spec.size
        self._panes_in = round(spec.size / self._slide_s)
        has_delta = any(one.spec.function == "delta" for one in figures)
        self._kept = 2 * self._panes_in - 1 if has_delta else max(1, self._panes_in - 1)
        self._since_s = since_s
        self._is_by_device = spec.time == "device"
        self._done: list[_Pane] = []
        self._open: list[_Pane] = []
        self._points = Points()

    # -- events come in -----------------------------------------------------------------------------------------------

    def add(self, facts: Facts, now: Moment, event: Event | None) -> bool:
        """Take an event; return whether it is in time."""
        place_s = now.boot_s
        pane: _Pane | None
        if not self._is_by_device:
            pane = self._open[0] if self._open else self._begin(place_s, now)
        else:
            extra = None if event is None else event.extra
            known_s = now.wall_s if extra is None or extra.at_ns is None else extra.at_ns / _NS
            if known_s is None:
                return False
            place_s = known_s
            pane = self._pane_at(place_s, now)
        if pane is None:
            self.late += 1
            return False
        pane.count += 1
        sums = pane.sums
        for number, add in self._adders:
            add(sums[number], facts)
        for number, figure in self._integrals:
            self._add_area(figure, sums[number], facts, place_s, now)
        return True

    def _add_area(self, figure: WindowValue, sum_: Sum, facts: Facts, place_s: float, now: Moment) -> None:
        assert figure.of is not None  # only a count has none
        value = figure.of.evaluate(facts)
        if value is None or isinstance(value, bool | str):
            return
        longest_s = figure.spec.max_gap or self._spec.size
        clock_s = now.wall_s if self._is_by_device else now.boot_s
        sum_.area += self._points.add(figure.name, place_s, float(value), longest_s=longest_s, clock_s=clock_s)

    def _pane_at(self, place_s: float, now: Moment) -> _Pane | None:
        """The pane of a moment of the device's time; None where it has ended already."""
        for pane in self._open:
            if pane.begin_s <= place_s < pane.end_s:
                return pane
        return self._pane_of_device(place_s, now)

    def _pane_of_device(self, at_s: float, now: Moment) -> _Pane | None:
        self._forget_wrong(now)
        begin_s = self._whole(at_s)
        ended_s = self._done[-1].end_s if self._done else -math.inf
        wall_s = now.wall_s
        is_over = wall_s is not None and begin_s + self._slide_s + self._spec.late <= wall_s
        if (
            begin_s < ended_s
            or is_over
            or (wall_s is not None and begin_s > wall_s + _WRONG_S)
            or not self._has_room(begin_s)
        ):
            return None
        pane = self._open_device(begin_s)
        self._set_due(now)
        return pane

    def _has_room(self, begin_s: float) -> bool:
        """Whether one more pane may be open; the furthest gives way to an earlier one, its events as if too late.

        A device whose clock is ahead must not keep out the others of its group.
        """
        if len(self._open) < _MAX_OPEN:
            return True
        if begin_s > self._open[-1].begin_s:
            return False
        self.late += self._open.pop().count
        return True

    def _forget_wrong(self, now: Moment) -> bool:
        """Forget what is ahead of the clock if some of it is so by more than a day; return whether it was."""
        wall_s = now.wall_s
        if wall_s is None:
            return False
        newest_s = max((one.end_s for one in (*self._done[-1:], *self._open[-1:])), default=-math.inf)
        if newest_s <= wall_s + _WRONG_S + self._slide_s:
            return False
        self.late += sum(one.count for one in self._open if one.begin_s > wall_s)
        self._open = [one for one in self._open if one.begin_s <= wall_s]
        self._done = [one for one in self._done if one.end_s <= wall_s]
        self._points.forget_after(wall_s)
        return True

    def _whole(self, at_s: float) -> float:
        return math.floor(at_s / self._slide_s) * self._slide_s

    def _open_device(self, begin_s: float) -> _Pane:
        end_s = begin_s + self._slide_s
        pane = self._new(begin_s, end_s, end_s)
        self._open.append(pane)
        self._open.sort(key=lambda one: one.begin_s)
        return pane

    def _begin(self, begin_s: float, now: Moment, *, follows: bool = False) -> _Pane:
        """Begin a pane at a boot time; the first one of a group lies as if it had begun with its multiple."""
        slide_s = self._slide_s
        scale_s = 0.0 if now.wall_s is None else now.wall_s - now.boot_s  # UTC minus boot time, as it is now
        last = self._done[-1] if self._done else None
        whole_s = self._whole(begin_s + scale_s + (slide_s / 2 if follows else 0.0))
        if now.wall_s is not None and last is not None and last.end_wall_s == whole_s + slide_s:
            whole_s += slide_s  # the clock was set back, by less than a pane: no window comes twice
        end_s = whole_s + slide_s - scale_s
        start_s = begin_s if follows else max(whole_s - scale_s, -math.inf if last is None else last.end_s)
        pane = self._new(start_s, end_s, None if now.wall_s is None else whole_s + slide_s)
        pane.is_partial = start_s < self._since_s
        self._open.append(pane)
        self.due_s = end_s
        return pane

    def _new(self, begin_s: float, end_s: float, end_wall_s: float | None) -> _Pane:
        return _Pane(begin_s, end_s, end_wall_s, [Sum() for _ in self._figures])

    def _set_due(self, now: Moment) -> None:
        if not self._open or now.wall_s is None:
            self.due_s = now.boot_s + self._slide_s if self._open else None
            return
        self.due_s = now.boot_s + max(0.0, self._open[0].end_s + self._spec.late - now.wall_s)

    # -- a pane ends --------------------------------------------------------------------------------------------------

    def tick(self, now: Moment) -> Ended | None:
        """It is `due_s`: return the window that ends, if it says anything."""
        if self._is_by_device and self._forget_wrong(now) and self._spec.empty and not self._open:
            assert now.wall_s is not None
            self._open_device(self._whole(now.wall_s))
        if not self._open:
            self.due_s = None
            return None
        if self._is_by_device and (
            now.wall_s is None or self._open[0].end_s + self._spec.late > now.wall_s + 1e-6
        ):  # the clock was set back, or nobody knows the time
            self._set_due(now)
            return None
        pane = self._open.pop(0)
        self._done.append(pane)
        ended = self._ended(now)
        del self._done[: max(0, len(self._done) - self._kept)]
        self._follow(pane, now)
        return ended

    def _follow(self, pane: _Pane, now: Moment) -> None:
        """Begin the pane after one that has ended, if windows are to end with it."""
        tail_s = pane.end_s + self._slide_s / 2 - self._spec.size  # the next window, and half a pane for a step
        is_wanted = self._spec.empty or any(one.count for one in self._done if one.begin_s >= tail_s)
        if self._is_by_device:
            longest_s = self._spec.size + self._slide_s + self._spec.late
            is_far = now.wall_s is not None and now.wall_s - pane.end_s > longest_s  # the clock was set
            next_s = self._whole(now.wall_s) if is_far and now.wall_s is not None else pane.end_s
            if is_wanted and not any(one.begin_s < next_s + self._slide_s / 2 for one in self._open):
                self._open_device(next_s)
            self._set_due(now)
        elif is_wanted or pane.count:
            is_late = now.boot_s - pane.end_s >= self._slide_s
            self._begin(now.boot_s if is_late else pane.end_s, now, follows=not is_late)
        else:
            self.due_s = None

    def _panes(self) -> tuple[list[_Pane], list[_Pane]]:
        """Return the panes of the window that ends with the newest, and those of the window before it."""
        newest = self._done[-1]
        panes: list[_Pane] = []
        before: list[_Pane] = []
        for one in reversed(self._done):
            at = len(panes) + len(before)
            follows_s = panes[-1].begin_s if panes else one.end_s
            is_next = not before and abs(follows_s - one.end_s) < _SAME_S
            age_s = newest.end_s - self._slide_s / 2 - one.begin_s  # half a pane is what a step may have made of it
            if len(panes) < self._panes_in and not before and (is_next or age_s < self._spec.size):
                panes.append(one)
            elif at < 2 * self._panes_in and age_s < 2 * self._spec.size:
                before.append(one)
        return panes[::-1], before[::-1]

    def _ended(self, now: Moment) -> Ended | None:
        panes, before = self._panes()
        count = sum(one.count for one in panes)
        if not count and not self._spec.empty:
            return None
        figures = {
            figure.name: result(
                merged([one.sums[number] for one in panes]),
                figure,
                next((last for one in reversed(before) if (last := one.sums[number].last) is not None), None),
            )
            for number, figure in enumerate(self._figures)
        }
        end_s = panes[-1].end_wall_s
        if end_s is None and now.wall_s is not None and not self._is_by_device:
            end_s = now.wall_s - (now.boot_s - panes[-1].end_s)
        begin_s = panes[0].begin_s if len(panes) == self._panes_in else panes[-1].end_s - self._spec.size
        is_partial = begin_s < self._whole_since_s(now) - _SAME_S or any(one.is_partial for one in panes)
        return Ended(figures, None if end_s is None else end_s - self._spec.size, end_s, is_partial, count)

    def _whole_since_s(self, now: Moment) -> float:
        """From when on nothing can have been missed, on the clock of the panes."""
        if not self._is_by_device or now.wall_s is None:
            return self._since_s
        return self._since_s + now.wall_s - now.boot_s

    # -- over a restart -----------------------------------------------------------------------------------------------

    def shown(self) -> dict[str, Any]:
        """Return the state as plain values, for explanations."""
        return {"events": self.events, "due_s": self.due_s, "late": self.late}

    @property
    def events(self) -> int:
        """How many events are in panes that are open."""
        opened = self._open
        return opened[0].count if len(opened) == 1 else sum(one.count for one in opened)

    def save(self) -> Any:
        """Return the state; None where there is none."""
        if not self._open and not self._done:
            return None
        return msgspec.to_builtins([self._done, self._open, self._points.save(), self.due_s, self._since_s])

    def restore(self, saved: Any, move: Move, *, is_partial: bool) -> None:
        """Take what `save` returned; ``is_partial``: events after it are lost."""
        done, open_, points, due_s, *since = saved
        if since and not is_partial:
            self._since_s = move(since[0])
        shift = (lambda at_s: at_s) if self._is_by_device else move
        for into, panes in ((self._done, done), (self._open, open_)):
            for one in msgspec.convert(panes, list[_Pane], strict=False):
                if len(one.sums) != len(self._figures):
                    continue
                one.begin_s, one.end_s = shift(one.begin_s), shift(one.end_s)
                one.is_partial = one.is_partial or (is_partial and into is self._open)
                into.append(one)
        self._points.restore(points, shift)
        self.due_s = None if due_s is None or not self._open else move(due_s)
