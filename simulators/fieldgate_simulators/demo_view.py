"""Show the demo: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fieldgate_simulators.demo_state import Snapshot, cut_marks, narration, sparkline

__all__ = ["LiveView", "PlainView", "View"]

_PLAIN_EVERY_S: Final = 2.0
_WIDTH: Final = 76
_FRAME_WIDTH: Final = 4
_PHASE_STYLES: Final = {"link cut": "bold white on red", "draining": "bold black on yellow", "live": "bold green"}


class View(Protocol):
    """Where snapshots go, a few per second."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *error: object) -> None:
        """Stop showing."""

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest snapshot."""


class PlainView:
    """A line every two seconds and at each change of phase, and the uplink's trouble when it changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._reason = ""
        self._unplugged = ""
        self._next_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        """Write a line if one is due."""
        self._tell_ports(snapshot)
        if snapshot.phase == self._phase and snapshot.at_s < self._next_s:
            return
        if snapshot.phase != self._phase:
            self._print(f"         {narration(snapshot)}")
        self._phase = snapshot.phase
        self._next_s = snapshot.at_s + _PLAIN_EVERY_S
        self._print(
            f"{snapshot.at_s:5.1f} s  {snapshot.phase:<8}  in {snapshot.accepted_rate:5,.0f}/s"
            f"  out {snapshot.arrived_rate:5,.0f}/s  buffered {snapshot.buffered:7,}  uplink {snapshot.uplink.state}"
        )
        if snapshot.uplink.reason and snapshot.uplink.reason != self._reason:
            self._print(f"         uplink: {snapshot.uplink.reason}")
        self._reason = snapshot.uplink.reason

    def _tell_ports(self, snapshot: Snapshot) -> None:
        unplugged, self._unplugged = self._unplugged, snapshot.serial.unplugged
        if unplugged and not self._unplugged:
            self._print(f"         the {unplugged} is plugged in again, under another port behind the same name")
        elif self._unplugged and not unplugged:
            self._print(f"         {narration(snapshot)}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


class LiveView:
    """One picture that is redrawn in place; its height never changes."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._width = min(_WIDTH, console.width)
        self._columns = max(1, self._width - _FRAME_WIDTH)
        self._buffered: list[int] = []  # the most in each column's share of the time
        self._is_cut: list[bool] = []
        self._most_buffered = 0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        column = min(int(snapshot.at_s / snapshot.total_s * self._columns), self._columns - 1)
        is_cut = snapshot.phase == "link cut"
        while len(self._buffered) <= column:
            self._buffered.append(snapshot.buffered)
            self._is_cut.append(is_cut)
        self._buffered[column] = max(self._buffered[column], snapshot.buffered)
        self._is_cut[column] |= is_cut
        self._most_buffered = max(self._most_buffered, snapshot.buffered)
        self._live.update(self._picture(snapshot), refresh=True)

    def _picture(self, snapshot: Snapshot) -> Panel:
        phase = Text.assemble(
            (f" {snapshot.phase} ", _PHASE_STYLES.get(snapshot.phase, "bold")),
            f"  {min(snapshot.at_s, snapshot.total_s):.0f} of {snapshot.total_s:.0f} s",
        )
        parts: list[Text | Table] = [
            phase,
            Text(narration(snapshot)),
            Text(),
            _flow(snapshot),
            Text(),
            _numbers(snapshot),
            Text(),
            Text(f"buffered over time, at most {self._most_buffered:,}", style="bold"),
            Text(sparkline(self._buffered, self._columns, full=int(snapshot.accepted_rate)), style="cyan"),
            Text(cut_marks(self._is_cut), style="red"),
            _uplink(snapshot),
            Text(snapshot.uplink.reason, style="dim"),
        ]
        for part in parts:
            if isinstance(part, Text):
                part.no_wrap, part.overflow = True, "ellipsis"
        return Panel(Group(*parts), title="Fieldgate", width=self._width)


def _flow(snapshot: Snapshot) -> Text:
    link = ("──╳   ", "bold red") if snapshot.phase == "link cut" else ("──►  ", "green")
    devices = f"{snapshot.connected}/{snapshot.devices} devices  "
    return Text.assemble(devices, ("──►", "green"), "  gateway  ", link, "upstream broker")


def _numbers(snapshot: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", min_width=9, no_wrap=True)
    table.add_column(justify="right", min_width=9, no_wrap=True)
    table.add_row("", "", Text("now", style="dim"), Text("so far", style="dim"))
    table.add_row("in", "acknowledged to devices", f"{snapshot.accepted_rate:,.0f}/s", f"{snapshot.accepted:,}")
    table.add_row("buffered", "accepted, not upstream yet", f"{snapshot.buffered:,}", "")
    table.add_row("out", "arrived upstream", f"{snapshot.arrived_rate:,.0f}/s", f"{snapshot.arrived:,}")
    serial = snapshot.serial
    if serial.devices:
        state = f"{serial.unplugged} unplugged" if serial.unplugged else f"{serial.open}/{serial.devices} ports open"
        table.add_row("serial", f"{state}; arrived of sent", "", f"{serial.arrived:,} of {serial.sent:,}")
    if snapshot.modbus.units:
        table.add_row("modbus", "events of what was asked", "", f"{snapshot.modbus.arrived:,}")
    return table


def _uplink(snapshot: Snapshot) -> Text:
    uplink = snapshot.uplink
    journal = f" · journal {uplink.journal_bytes / 1000:,.0f} kB" if uplink.journal_bytes is not None else ""
    return Text.assemble(("uplink  ", "bold"), f"{uplink.state}{journal}")
