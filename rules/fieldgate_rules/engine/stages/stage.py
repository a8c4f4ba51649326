"""What stands between a condition and its actions, a class per key; all have this shape.

A signal is True, False or None. None is *nothing new*: it changes no state, neither here nor behind. Times are boot
seconds. `save` gives plain values for msgpack, `restore` takes them, with times moved to this boot by ``move``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from fieldgate_rules.condition import Facts

__all__ = ["Move", "Signal", "Stage", "Timed"]

Signal = bool | None
Move = Callable[[float], float]
"""Takes a saved boot time to what it is in this boot."""


class Stage(ABC):
    """``key`` is that of the rule. ``due_s`` is when `tick` has something to say; None: never."""

    key: ClassVar[str]
    due_s: float | None = None

    @abstractmethod
    def feed(self, signal: Signal, facts: Facts) -> Signal:
        """Take the signal of an event, and return what it is from here on."""

    def tick(self, now_s: float) -> Signal:
        """It is `due_s`; return what the signal is from now on."""
        del now_s
        return None

    @property
    def news(self) -> object:
        """Return what, if it is another, is to be written soon."""
        return self.due_s

    @abstractmethod
    def shown(self) -> dict[str, Any]:
        """Return the state as plain values, for explanations."""

    @abstractmethod
    def save(self) -> Any:
        """Return the state; None where there is none."""

    @abstractmethod
    def restore(self, saved: Any, move: Move) -> None:
        """Take what `save` returned."""


class Timed(Stage):
    """A stage that has waited since ``since_s`` for `due_s`; None: it does not."""

    def __init__(self) -> None:
        self.since_s: float | None = None

    def tick(self, now_s: float) -> Signal:
        """See `Stage`: it has waited long enough."""
        del now_s
        self.due_s = None
        return True

    def shown(self) -> dict[str, Any]:
        """See `Stage`."""
        return {"since_s": self.since_s, "due_s": self.due_s}

    def save(self) -> Any:
        """See `Stage`."""
        return None if self.since_s is None else [self.since_s, self.due_s]

    def restore(self, saved: Any, move: Move) -> None:
        """See `Stage`."""
        since_s, due_s = saved
        self.since_s = move(since_s)
        self.due_s = None if due_s is None else move(due_s)
