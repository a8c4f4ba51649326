"""How long to wait before trying again: exponential, with full jitter."""

from __future__ import annotations

from random import Random

__all__ = ["Backoff"]


class Backoff:
    """Counts failures in a row and answers the wait after each.

    The wait is uniform in [0, min(``cap_s``, ``base_s`` * 2 ** failures)], so that a fleet that lost its broker
    together does not come back together.
    """

    def __init__(self, rng: Random, *, base_s: float = 0.5, cap_s: float = 60.0) -> None:
        if not 0 < base_s <= cap_s:
            raise ValueError(f"base_s {base_s!r} must be above 0 and at most cap_s {cap_s!r}")
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self.failures = 0

    def next_s(self) -> float:
        """Count a failure and return how long to wait now, in seconds."""
        bound_s = min(self._cap_s, self._base_s * 2.0 ** min(self.failures, 64))
        self.failures += 1
        return self._rng.uniform(0, bound_s)

    def reset(self) -> None:
        """It worked: the next failure is the first one."""
        self.failures = 0
