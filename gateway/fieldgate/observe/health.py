"""Figures made of plain counters, for ``fieldgate status``: the rate of events, and whether the accounts agree."""

from __future__ import annotations

from typing import Any

__all__ = ["RateMeter", "check_accounts"]


class RateMeter:
    """Events per second over the last few seconds, from a counter that is sampled now and then."""

    def __init__(self, *, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._samples: list[tuple[float, int]] = []

    def sample(self, count: int, now_s: float) -> None:
        """Note that the counter stands at ``count``."""
        self._samples.append((now_s, count))
        while len(self._samples) > 2 and self._samples[1][0] < now_s - self._window_s:
            self._samples.pop(0)

    @property
    def per_s(self) -> float:
        """The rate; 0 until there are two samples."""
        if len(self._samples) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


def check_accounts(*, routed: int, delivered: int, pending: int, ledger: dict[str, int]) -> dict[str, Any]:
    """Return the equation of P4 for one uplink, and by how much it fails (0 when the accounts agree)."""
    return {
        "routed": routed,
        "delivered": delivered,
        "pending": pending,
        "ledger": dict(ledger),
        "unaccounted": routed - delivered - pending - sum(ledger.values()),
    }
