"""Times that were saved, on the scale of this boot.

Within one OS boot boot time goes on, gateway or not. After another one the time between is the difference of the wall
clock where it was known at both ends, else it counts as nothing: a timer goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

__all__ = ["ALIVE", "Restart", "Saved", "is_anything", "restart_of"]

ALIVE: Final = "alive"
"""The kind of the row that says until when time was counted."""

_MOST_S: Final = 400 * 86_400.0  # a clock that says more was wrong at one end


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """When something was saved: boot time, UTC in seconds or None while nobody knew it, and the OS boot."""

    boot_s: float
    wall_s: float | None
    os_boot: str


class Restart(msgspec.Struct, frozen=True):
    """``shift_s`` is added to a saved boot time. ``note`` says why it is less than may have gone by; else empty."""

    shift_s: float
    is_same_boot: bool
    note: str = ""

    def move(self, at_s: float) -> float:
        """Return what a saved boot time is in this boot; it may be below zero."""
        return at_s + self.shift_s


def is_anything(keys: Iterable[tuple[str, str, str]]) -> bool:
    """Return whether rows with these keys (see `fieldgate_rules.engine.rows`) hold anything that rules remember."""
    return any(kind != ALIVE for _, _, kind in keys)


def restart_of(saved: Saved, *, boot_s: float, wall_s: float | None, os_boot: str) -> Restart:
    """Return how times of ``saved`` are read now."""
    if saved.os_boot == os_boot and saved.boot_s <= boot_s:
        return Restart(0.0, True)
    here_s = boot_s - saved.boot_s
    if saved.wall_s is None or wall_s is None:
        return Restart(here_s, False, "the time that the gateway was off is not counted: nobody knew the time")
    off_s = wall_s - saved.wall_s
    if not 0.0 <= off_s <= _MOST_S:
        return Restart(here_s, False, "the time that the gateway was off is not counted: the clock was set")
    return Restart(here_s - off_s, False)
