"""``rate``: how fast a number changes, from the oldest to the newest value within a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from fieldgate_rules.condition import Facts
from fieldgate_rules.condition.reads import known_number
from fieldgate_rules.engine.stages.stage import Move, Signal, Stage

if TYPE_CHECKING:
    from fieldgate_rules.model.stages import RateSpec

__all__ = ["Rate"]

_PARTS: Final = 60


class Rate(Stage):
    """Keeps 64 samples at most, which lie a sixtieth of the time apart at least."""

    key = "rate"

    def __init__(self, spec: RateSpec, name: str) -> None:
        self._spec = spec
        self._name = name
        self._samples: deque[tuple[float, float]] = deque()
        self._value: float | None = None

    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """See `Stage`."""
        value = known_number(facts.fields.get(self._name))
        if signal is not True or value is None:
            return None
        samples, now_s, within_s = self._samples, facts.boot_s, self._spec.within
        while len(samples) > 1 and samples[1][0] <= now_s - within_s:
            samples.popleft()  # the last one that is older stays: the whole time is measured
        if samples and samples[0][0] < now_s - 2 * within_s:
            samples.clear()
        if not samples or now_s - samples[-1][0] >= within_s / _PARTS:
            samples.append((now_s, float(value)))
        span_s = now_s - samples[0][0]
        if span_s < within_s / 2:
            self._value = None
            return None
        self._value = (value - samples[0][1]) / span_s * self._spec.per
        above, below = self._spec.above, self._spec.below
        return (above is not None and self._value > above) or (below is not None and self._value < below)

    def shown(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"rate": self._value, "samples": len(self._samples)}

    def save(self) -> Any:
        """See `Stage`."""
        return [list(one) for one in self._samples] or None

    def restore(self, saved: Any, move: Move) -> None:
        """See `Stage`."""
        self._samples = deque((move(at_s), value) for at_s, value in saved)
