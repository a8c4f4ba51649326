"""A token bucket: how many events may leave now."""

from __future__ import annotations

__all__ = ["Pace", "TokenBucket"]

_BURST_S = 0.1


class TokenBucket:
    """Lets ``rate`` events pass per second; what was not used is kept up to ``burst`` events.

    The default burst is what a tenth of a second brings, and at least 1, so that no second sees more than
    1.1 x ``rate`` + 1.
    """

    def __init__(self, rate: float, *, burst: float | None = None) -> None:
        if rate <= 0:
            raise ValueError(f"rate {rate!r} must be above 0")
        self.rate = rate
        self._burst = max(1.0, rate * _BURST_S if burst is None else burst)
        self._tokens = self._burst
        self._at_s: float | None = None

    def available(self, now_s: float) -> int:
        """Return how many events may pass now."""
        if self._at_s is not None and now_s > self._at_s:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self.rate)
        self._at_s = now_s
        return max(0, int(self._tokens + 1e-9))

    def spend(self, count: int) -> None:
        """``count`` events have passed, as many as were available at most (a single batch may overdraw)."""
        self._tokens -= count

    def wait_s(self, count: int = 1) -> float:
        """Return how long after the last `available` that many may pass (the burst, if that is fewer)."""
        missing = min(float(count), self._burst) - self._tokens
        return max(0.0, missing / self.rate)


class Pace:
    """The rate of an uplink, which may have none; no more than ``at_once`` events are taken at the same time.

    ``batch`` is how many events a message carries, so that a slow rate may still fill one.
    """

    def __init__(self, rate: float | None, *, batch: int, at_once: int) -> None:
        self._bucket: TokenBucket | None = None
        self._batch = batch
        self._at_once = at_once
        self.use(rate)

    def use(self, rate: float | None) -> None:
        """From now on at this rate."""
        if rate == (None if self._bucket is None else self._bucket.rate):
            return
        self._bucket = None
        if rate is not None:
            self._bucket = TokenBucket(rate, burst=max(rate * _BURST_S, min(rate, self._batch)))

    def allowed(self, now_s: float) -> int:
        """Return how many events may pass now."""
        return self._at_once if self._bucket is None else self._bucket.available(now_s)

    def wait_s(self, now_s: float) -> float | None:
        """Return in how many seconds another one may; None where none is held up."""
        if self._bucket is None or self._bucket.available(now_s):
            return None
        return self._bucket.wait_s()

    def spend(self, events: int) -> None:
        """Note that so many have passed."""
        if self._bucket is not None:
            self._bucket.spend(events)

    def quiet(self, now_s: float) -> str:
        """Say in words what holds up sending; empty where this does not."""
        if self._bucket is None or self._bucket.available(now_s):
            return ""
        return f"paused by rate: {self._bucket.rate:g} events per second at most"
