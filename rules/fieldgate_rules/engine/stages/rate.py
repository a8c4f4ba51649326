"""``rate``: how fast a number changes, from the oldest to the newest value within a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.stages.stage import Move, Signal, Stage

if TYPE_CHECKING:
    from fieldgate_rules.model.stages import RateSpec

__all__ = ["Rate"]

_MAX_SAMPLES: Final = 64


class Rate(Stage):
    """Keeps up to 64 samples; if there are more, every other one goes, never the oldest or the newest."""

    key = "rate"

    def __init__(self, spec: RateSpec, name: str) -> None:
        self._spec = spec
        self._name = name
        self._samples: deque[tuple[float, float]] = deque()
        self._value: float | None = None

    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """See `Stage`."""
        value = facts.fields.get(self._name)
        if signal is not True or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        samples, now_s = self._samples, facts.boot_s
        while len(samples) > 1 and samples[1][0] <= now_s - self._spec.within:
            samples.popleft()  # the last one that is older stays: the whole time is measured
        if samples and samples[0][0] < now_s - 2 * self._spec.within:
            samples.clear()
        samples.append((now_s, value))
        if len(samples) > _MAX_SAMPLES:
            kept = [one for number, one in enumerate(samples) if number % 2 == 0 or number == len(samples) - 1]
            self._samples = samples = deque(kept)
        span_s = now_s - samples[0][0]
        if span_s < self._spec.within / 2:
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
