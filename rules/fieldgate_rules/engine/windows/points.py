"""The points of a rate up to which its integral has been added up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Points"]

Point = tuple[float, float]
"""A time in seconds, on the clock of the window, and the value."""


class Points:
    """Of one window: the two newest points of each figure.

    A point that comes late adds nothing. One that is ahead of the clock must not make all others late: it is forgotten
    as soon as an earlier one comes, which goes on from the one before it.
    """

    def __init__(self) -> None:
        self._of: dict[str, list[Point]] = {}

    def add(self, figure: str, at_s: float, value: float, *, longest_s: float, clock_s: float | None) -> float:
        """Take a point; return the trapezoid since the one before it, 0 where that is longer ago than ``longest_s``.

        ``clock_s`` is what the window's clock shows; None while nobody knows.
        """
        known = self._of.get(figure, [])
        earlier = [one for one in known if one[0] < at_s]
        later = [one for one in known if one[0] > at_s]
        if later and (clock_s is None or later[-1][0] <= clock_s):
            return 0.0
        self._of[figure] = [*earlier[-1:], (at_s, value)]
        if not earlier or at_s - earlier[-1][0] > longest_s:
            return 0.0
        before_s, before = earlier[-1]
        return (before + value) / 2 * (at_s - before_s)

    def forget_after(self, clock_s: float) -> None:
        """The clock was found to be wrong: forget what is ahead of it now."""
        kept = {name: [one for one in points if one[0] <= clock_s] for name, points in self._of.items()}
        self._of = {name: points for name, points in kept.items() if points}

    def save(self) -> dict[str, list[Point]]:
        """Return them as plain values."""
        return self._of

    def restore(self, saved: Mapping[str, Sequence[Any]], shift: Callable[[float], float]) -> None:
        """Take what `save` returned; earlier versions saved one point of each, not in a list."""
        for name, points in saved.items():
            of_figure = [points] if points and isinstance(points[0], float | int) else points
            self._of[name] = [(shift(at_s), value) for at_s, value in of_figure]
