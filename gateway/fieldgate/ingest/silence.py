"""Which devices have fallen silent: nothing was heard for as long as their profile says (``silent_after``).

All by CLOCK_BOOTTIME. Nobody is declared silent before this process has listened for as long; a pause of the whole
machine is no silence of its devices. Each silence is told once, also over restarts; a kill within a minute of it may
have it told twice, since the registry is stored that often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from fieldgate.ingest.device_entry import Device

__all__ = ["Silence"]

_PAUSE_S: Final = 30.0  # between two looks: we were not there ourselves


class Silence:
    """Asked about once a second. ``after_s`` is ``silent_after`` by profile."""

    def __init__(self, *, os_boot: str, now_s: float) -> None:
        self._os_boot = os_boot
        self._after_s: Mapping[str, float] = {}
        self._listening_since_s = self._looked_s = now_s
        self._next_s = -math.inf
        self._arrivals = 0

    def use(self, after_s: Mapping[str, float]) -> None:
        """From now on by these profiles."""
        self._after_s = after_s
        self._next_s = -math.inf

    def after_s(self, profile: str) -> float | None:
        """Return how long devices of this profile may say nothing; None where that is nobody's concern."""
        return self._after_s.get(profile)

    def fallen(self, devices: Iterable[Device], now_s: float, *, arrivals: int) -> list[Device]:
        """Return those that have fallen silent since the last look; ``arrivals`` changes when there are others."""
        if now_s - self._looked_s > _PAUSE_S:
            self._listening_since_s = now_s
        self._looked_s = now_s
        if not self._after_s or (now_s < self._next_s and arrivals == self._arrivals):
            return []
        self._arrivals = arrivals
        fallen: list[Device] = []
        next_s = math.inf
        for device in devices:
            after_s = self._after_s.get(device.type)
            if after_s is None or device.is_silent or device.last is None:
                continue
            due_s = self._heard_s(device) + after_s
            if due_s <= now_s:
                fallen.append(device)
            else:
                next_s = min(next_s, due_s)
        self._next_s = next_s
        return fallen

    def _heard_s(self, device: Device) -> float:
        """When it was last heard, or could have been first."""
        if device.last is None or device.last_boot != self._os_boot:
            return self._listening_since_s
        return max(device.last.boot_ns / 1e9, self._listening_since_s)
