"""Dead letters for tests, and somebody who waits for them to be safe."""

from __future__ import annotations

from typing import Any

from fieldgate.journal.dead_letter import DeadLetter


class Device:
    """A settler that notes what it is told."""

    def __init__(self, source: str = "127.0.0.1:1883") -> None:
        self.source = source
        self.told: list[int] = []
        self.flushes = 0

    def settled(self, first: int, count: int) -> None:
        self.told += range(first, first + count)

    def flush(self) -> None:
        self.flushes += 1


def letter(payload: bytes = b"{}", topic: str = "site/a", **also: Any) -> DeadLetter:
    """A letter as the flow makes it."""
    values: dict[str, Any] = {
        "number": 0,
        "received_wall_ns": 1_800_000_000 * 10**9,
        "source": "127.0.0.1:1883",
        "topic": topic,
        "payload": payload,
        "content_id": (1 << 64) - 5,
        "lane": 1,
        "profile": "boiler",
        "version": 2,
        "reason": "missing",
        "detail": "temperature is missing",
    }
    return DeadLetter(**(values | also))
