"""What a simulated device measures: values that move like real ones, the same for a seed.

Pure: chance is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

__all__ = ["Flip", "RandomWalk", "Signal", "Tally", "room_signals", "samples"]


class Signal(Protocol):
    """A value that is asked for again and again."""

    def next(self, rng: Random) -> float | int | bool:
        """Return the next value."""


@dataclass(slots=True)
class RandomWalk:
    """A slow value that stays within its limits, such as a temperature."""

    value: float
    step: float
    low: float
    high: float
    digits: int = 2

    def next(self, rng: Random) -> float:
        """Return the next value, at most ``step`` from the last."""
        self.value = min(self.high, max(self.low, self.value + rng.uniform(-self.step, self.step)))
        return round(self.value, self.digits)


@dataclass(slots=True)
class Flip:
    """A state that changes now and then, such as a door."""

    value: bool
    probability: float

    def next(self, rng: Random) -> bool:
        """Return the next state; it differs from the last with ``probability``."""
        if rng.random() < self.probability:
            self.value = not self.value
        return self.value


@dataclass(slots=True)
class Tally:
    """A count that only rises, such as pulses of a meter."""

    value: int
    most: int

    def next(self, rng: Random) -> int:
        """Return the next count, at most ``most`` above the last."""
        self.value += rng.randint(0, self.most)
        return self.value


def room_signals(rng: Random) -> dict[str, Signal]:
    """Return the signals of a room sensor that begins somewhere of its own."""
    return {
        "temperature": RandomWalk(rng.uniform(17, 24), step=0.2, low=-10, high=45),
        "humidity": RandomWalk(rng.uniform(35, 60), step=0.5, low=0, high=100, digits=1),
        "door": Flip(value=False, probability=0.02),
        "pulses": Tally(rng.randint(0, 10_000), most=3),
    }


def samples(signals: Mapping[str, Signal], rng: Random) -> Iterator[dict[str, float | int | bool]]:
    """Yield one reading of all signals after the other, for ever."""
    while True:
        yield {name: signal.next(rng) for name, signal in signals.items()}
