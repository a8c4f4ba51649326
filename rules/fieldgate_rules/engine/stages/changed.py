"""``changed`` and ``by``: only events in which a field is another than in the last one that counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fieldgate_rules.condition import Facts
from fieldgate_rules.condition.reads import known_number
from fieldgate_rules.engine.stages.stage import Move, Signal, Stage

__all__ = ["Changed", "is_other"]


class Changed(Stage):
    """``by``: with one field, by how much at least it must differ."""

    key = "changed"

    def __init__(self, fields: Sequence[str], by: float | None) -> None:
        self._fields = tuple(fields)
        self._by = by
        self._last: tuple[object, ...] | None = None

    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """See `Stage`. A value that is missing is as it was."""
        if signal is not True:
            return signal
        now = tuple(facts.fields.get(name) for name in self._fields)
        if self._last is not None:
            now = tuple(old if new is None else new for new, old in zip(now, self._last, strict=True))
        if now.count(None) == len(now) or not is_other(self._last, now, self._by):
            return None
        self._last = now
        return True

    def shown(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"last": list(self._last) if self._last is not None else None, "by": self._by}

    def save(self) -> Any:
        """See `Stage`."""
        return (
            None
            if self._last is None
            else [one if isinstance(one, bool | int | float | str) else None for one in self._last]
        )

    def restore(self, saved: Any, move: Move) -> None:
        """See `Stage`."""
        del move
        self._last = tuple(saved) if len(saved) == len(self._fields) else None


def is_other(last: tuple[object, ...] | None, now: tuple[object, ...], by: float | None) -> bool:
    """Whether ``now`` counts as another than ``last``."""
    if last is None:
        return True
    if by is None:
        return any(type(one) is not type(other) or one != other for one, other in zip(now, last, strict=True))
    new, old = known_number(now[0]), known_number(last[0])
    if new is None or old is None:
        return now[0] != last[0]
    return abs(new - old) >= by
