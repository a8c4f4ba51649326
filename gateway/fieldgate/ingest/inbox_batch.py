"""What one read of a connection becomes, while `MqttInbox` sorts it."""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate.ingest.source import Received
from fieldgate.mqtt.ack_line import AckLine
from fieldgate.mqtt.packets import Publish
from fieldgate_devices.event import Trace
from fieldgate_devices.trace_context import read_trace

__all__ = ["Batch", "Run"]

Run = tuple[list[Received], int, dict[int, Trace] | None]
"""Messages, the position of the first, and by place in the list the traces to which some belong."""


class Batch:
    """One `take` in the making: the run being gathered, the runs that are in the line, and what to deliver locally."""

    __slots__ = ("_waiting", "codes", "content_ids", "expiries", "is_routed", "received", "routed", "runs", "traces")

    def __init__(self, is_routed: bool) -> None:
        self.is_routed = is_routed
        self.routed: list[Publish] = []
        self.runs: list[Run] = []
        self.received: list[Received] = []
        self.codes: list[int] = []
        self.content_ids: list[int] = []
        self.expiries: dict[int, int] = {}  # place in ``received`` -> Message Expiry Interval
        self.traces: dict[int, Trace] | None = None  # place in ``received`` -> its trace
        self._waiting: set[tuple[int, int]] | None = None

    def note_trace(self, user: Sequence[tuple[str, str]]) -> bool:
        """The next message has these user properties; return whether they say something of a trace that is wrong."""
        trace, is_bad = read_trace(user)
        if trace is not None:
            self.traces = self.traces or {}
            self.traces[len(self.received)] = trace
        return is_bad

    def forget_trace(self) -> None:
        """The next message is no event after all."""
        if self.traces is not None:
            self.traces.pop(len(self.received), None)

    def end_run(self) -> None:
        """What was gathered is in the line; begin the next run."""
        if self._waiting is not None:
            self._waiting.update(zip(self.codes, self.content_ids, strict=True))
        self.received, self.codes, self.content_ids = [], [], []
        self.expiries = {}
        self.traces = None

    def waiting(self, line: AckLine) -> set[tuple[int, int]]:
        """What waits in ``line``, looked up once per read."""
        if self._waiting is None:
            self._waiting = set(line.waiting())
        return self._waiting
