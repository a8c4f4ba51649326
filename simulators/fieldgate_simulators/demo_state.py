"""What the demo shows: its timetable, its rates and the state of the gateway at one moment. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

__all__ = [
    "NO_MODBUS",
    "NO_SERIAL",
    "ModbusView",
    "Outage",
    "OutageStory",
    "RateMeter",
    "SerialView",
    "Snapshot",
    "UplinkView",
    "cut_marks",
    "narration",
    "outages",
    "sparkline",
    "uplink_view",
]

_OUTAGE_S: Final = 10.0
_OUTAGE_EVERY_S: Final = 60.0
_BARS: Final = "▁▂▃▄▅▆▇█"
_CUT_LABEL: Final = " link cut "


@dataclass(frozen=True, slots=True)
class Outage:
    """The uplink's link is a black hole from ``begin_s`` to ``end_s`` after the start."""

    begin_s: float
    end_s: float


def outages(total_s: float) -> list[Outage]:
    """Return when the link is cut: at 10 s for 10 s, in longer runs every minute; in shorter ones for a quarter."""
    length_s = min(_OUTAGE_S, total_s / 4)
    found = []
    begin_s = length_s
    while begin_s + length_s <= total_s - length_s:
        found.append(Outage(begin_s, begin_s + length_s))
        begin_s += _OUTAGE_EVERY_S
    return found


class RateMeter:
    """The rate of a count over the last ``window_s`` seconds."""

    def __init__(self, window_s: float = 2.0) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, int]] = deque()

    def feed(self, count: int, now_s: float) -> float:
        """Note the count now and return its rate per second."""
        self._points.append((now_s, count))
        while len(self._points) > 2 and self._points[1][0] <= now_s - self._window_s:
            self._points.popleft()
        first_s, first = self._points[0]
        return (count - first) / (now_s - first_s) if now_s > first_s else 0.0


@dataclass(frozen=True, slots=True)
class UplinkView:
    """The gateway's own words about its uplink; ``pending`` is the buffer's depth in events."""

    state: str
    reason: str
    pending: int | None
    journal_bytes: int | None


def uplink_view(status: Mapping[str, Any] | None) -> UplinkView:
    """Read the gateway's status; what it does not say, or cannot be asked, is unknown."""
    uplinks = list((status or {}).get("uplinks", {}).values())
    journal = (status or {}).get("journal", {})
    if not uplinks:
        return UplinkView("unknown", "", None, None)
    return UplinkView(
        state=str(uplinks[0].get("state", "unknown")),
        reason=str(uplinks[0].get("reason") or ""),
        pending=sum(int(uplink.get("pending", 0)) for uplink in uplinks),
        journal_bytes=journal.get("bytes"),
    )


@dataclass(frozen=True, slots=True)
class SerialView:
    """The serial devices at one moment; ``unplugged`` is the name of the one that is."""

    devices: int
    open: int
    sent: int
    arrived: int
    unplugged: str = ""


NO_SERIAL: Final = SerialView(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ModbusView:
    """The Modbus units at one moment: the requests that they answered, and the events that arrived of it."""

    units: int
    requests: int
    arrived: int


NO_MODBUS: Final = ModbusView(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The demo at one moment; ``buffered`` are the accepted events that have not arrived."""

    at_s: float
    total_s: float
    phase: str
    connected: int
    devices: int
    accepted: int
    accepted_rate: float
    arrived: int
    arrived_rate: float
    uplink: UplinkView
    serial: SerialView = NO_SERIAL
    modbus: ModbusView = NO_MODBUS

    @property
    def buffered(self) -> int:
        """What the gateway holds: as it says itself, else what was accepted and has not arrived."""
        return self.uplink.pending if self.uplink.pending is not None else max(0, self.accepted - self.arrived)

    @property
    def next_cut_s(self) -> float | None:
        """In how many seconds the link is cut next; None if it is not any more."""
        return next((one.begin_s - self.at_s for one in outages(self.total_s) if one.begin_s > self.at_s), None)


def narration(snapshot: Snapshot) -> str:
    """Return what happens at this moment, in a sentence for someone who sees it for the first time."""
    if snapshot.serial.unplugged:
        return f"the {snapshot.serial.unplugged} is unplugged, in the middle of a frame; the others go on"
    match snapshot.phase:
        case "live" if snapshot.next_cut_s is not None:
            return f"events pass straight through; in {snapshot.next_cut_s:.0f} s the link upstream is cut"
        case "live":
            return "events pass straight through"
        case "link cut":
            return "upstream gives no answer and no error; the devices do not notice"
        case "draining" if snapshot.uplink.state == "connected":
            return "the link is back, and what was stored leaves, oldest first"
        case "draining":
            return "the link is back; the gateway finds out when it tries again"
        case "stopped":
            return "the devices have stopped; waiting for the last events to arrive"
        case _:
            return "over; the count that follows was taken at the upstream broker"


class OutageStory:
    """How deep the buffer became while the link was cut, and how long it took to drain afterwards (the last outage)."""

    def __init__(self) -> None:
        self.most_buffered = 0
        self.drained_in_s: float | None = None
        self._restored_s: float | None = None
        self._was_cut = False

    @property
    def is_over(self) -> bool:
        """The link is back and what was buffered has left."""
        return self._restored_s is not None and self.drained_in_s is not None

    def feed(self, snapshot: Snapshot) -> None:
        """Note one moment. Drained is when no more is on its way than the devices make in half a second."""
        if snapshot.phase == "link cut":
            self._was_cut = True
            self.most_buffered = max(self.most_buffered, snapshot.buffered)
            self._restored_s = self.drained_in_s = None
            return
        if self._was_cut and self._restored_s is None:
            self._restored_s = snapshot.at_s
        if self._restored_s is not None and self.drained_in_s is None:
            self.most_buffered = max(self.most_buffered, snapshot.buffered)
            if snapshot.buffered <= max(snapshot.accepted_rate / 2, 1):
                self.drained_in_s = snapshot.at_s - self._restored_s

    def __str__(self) -> str:
        if not self.most_buffered:
            return "the link was not cut"
        drained = f"{self.drained_in_s:.1f} s after its return" if self.drained_in_s is not None else "only at the end"
        return f"link cut: {self.most_buffered:,} events buffered, all upstream {drained}"


def sparkline(values: Sequence[int], width: int, *, full: int = 1) -> str:
    """Draw the last ``width`` values; a full bar is the highest of all, at least ``full``."""
    top = max([1, full, *values])
    return "".join(_BARS[value * (len(_BARS) - 1) // top] for value in values[-width:])


def cut_marks(is_cut: Sequence[bool]) -> str:
    """Draw a bracket under each run of columns during which the link was cut."""
    marks = []
    for cut, columns in groupby(is_cut):
        width = len(list(columns))
        if not cut:
            marks.append(" " * width)
        elif width == 1:
            marks.append("╵")
        else:
            label = _CUT_LABEL if width >= len(_CUT_LABEL) + 2 else ""
            marks.append(f"└{label.center(width - 2, '─')}┘")
    return "".join(marks)
