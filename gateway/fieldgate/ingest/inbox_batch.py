"""What one read of a connection becomes, while `MqttInbox` sorts it."""

from __future__ import annotations

from fieldgate.ingest.source import Received
from fieldgate.mqtt.ack_line import AckLine
from fieldgate.mqtt.packets import Publish

__all__ = ["Batch"]


class Batch:
    """One `take` in the making: the run being gathered, the runs that are in the line, and what to deliver locally."""

    __slots__ = ("_waiting", "codes", "content_ids", "expiries", "is_routed", "received", "routed", "runs")

    def __init__(self, is_routed: bool) -> None:
        self.is_routed = is_routed
        self.routed: list[Publish] = []
        self.runs: list[tuple[list[Received], int]] = []
        self.received: list[Received] = []
        self.codes: list[int] = []
        self.content_ids: list[int] = []
        self.expiries: dict[int, int] = {}  # place in ``received`` -> Message Expiry Interval
        self._waiting: set[tuple[int, int]] | None = None

    def end_run(self) -> None:
        """What was gathered is in the line; begin the next run."""
        if self._waiting is not None:
            self._waiting.update(zip(self.codes, self.content_ids, strict=True))
        self.received, self.codes, self.content_ids = [], [], []
        self.expiries = {}

    def waiting(self, line: AckLine) -> set[tuple[int, int]]:
        """What waits in ``line``, looked up once per read."""
        if self._waiting is None:
            self._waiting = set(line.waiting())
        return self._waiting
