"""What a test needs of an engine: `fieldgate_rules.engine.Engine` is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fieldgate_devices.event import Event, Stamp
from fieldgate_rules.effects import Decided, Notice
from fieldgate_rules.rule import RuleSet

__all__ = ["Deciding", "Make", "Rows"]

Rows = Mapping[tuple[str, str, str], bytes | None]
"""Saved state, by rule, group and kind; None: no more."""


class Deciding(Protocol):
    """Rules that decide. Everything is given the present moment, which never goes back."""

    @property
    def due_s(self) -> float | None:
        """When it wants its next tick, on the scale of boot time."""

    @property
    def urgent(self) -> int:
        """How many rows are to be saved soon."""

    @property
    def errors(self) -> Mapping[str, str]:
        """Rules that failed on an event, and how at last."""

    def start(self, stamp: Stamp) -> Decided | None:
        """Begin, after what was saved is there again."""

    def feed(self, events: Sequence[Event], stamp: Stamp) -> Decided | None:
        """Events came; None: they go on as they are."""

    def notice(self, notice: Notice, stamp: Stamp) -> Decided | None:
        """Something happened to the gateway."""

    def tick(self, stamp: Stamp) -> Decided | None:
        """It is time."""

    def changes(self, *, is_all: bool) -> Rows:
        """Return the rows that changed and were not given yet: those that are urgent, or all."""

    def restore(self, rows: Rows, *, was_stopped: bool) -> None:
        """Take what was saved by the process before; ``was_stopped``: it had time to save all."""


Make = Callable[[RuleSet, str, Stamp, str], Deciding]
"""Makes one, of rules, the gateway's id, the present moment and the OS boot's id."""
