"""What was last heard on each topic, so that a broker which replays its retained messages makes no event twice."""

from __future__ import annotations

__all__ = ["LastSeen"]


class LastSeen:
    """Topic -> (packet id, content id), for the ``limit`` topics used last, to within a factor of two.

    Two generations: what is used goes into the young one; when that is full, the old one is forgotten.
    """

    __slots__ = ("_limit", "_old", "young")

    def __init__(self, *, limit: int = 10_000) -> None:
        self.young: dict[str, tuple[int, int]] = {}
        self._old: dict[str, tuple[int, int]] = {}
        self._limit = limit

    def get(self, topic: str) -> tuple[int, int] | None:
        """Return what was noted for ``topic`` last."""
        return self.young.get(topic) or self._old.get(topic)

    def trim(self) -> None:
        """Keep within the limit; to be called after each read, which writes to ``young``."""
        if len(self.young) > self._limit:
            self._old, self.young = self.young, {}

    def clear(self) -> None:
        """Forget everything."""
        self.young.clear()
        self._old.clear()
