"""Show the demo: a live picture on a terminal, plain lines elsewhere, and the verdict."""

from __future__ import annotations

from typing import Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fieldgate_simulators.counting import Verdict
from fieldgate_simulators.demo_serial import is_serial_good
from fieldgate_simulators.demo_state import Snapshot, cut_marks, narration, sparkline

__all__ = ["LiveView", "PlainView", "View", "verdict_text"]

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
        table.add_row("serial", f"{state}; sent, arrived", f"{serial.sent:,}", f"{serial.arrived:,}")
    return table


def _uplink(snapshot: Snapshot) -> Text:
    uplink = snapshot.uplink
    journal = f" · journal {uplink.journal_bytes / 1000:,.0f} kB" if uplink.journal_bytes is not None else ""
    return Text.assemble(("uplink  ", "bold"), f"{uplink.state}{journal}")


def verdict_text(verdict: Verdict, serial: Verdict | None = None, *, unplugs: int = 0) -> Text:
    """Write the verdict, counted at the upstream side; ``serial`` is that on what came over serial ports."""
    wrong, right = "bold red", "bold green"
    copies = verdict.same_id + verdict.same_reading
    rows = [
        ("accepted", verdict.accepted, "", "acknowledged to a device"),
        ("arrived", verdict.arrived, "", "different events, counted at the upstream broker"),
        ("lost", verdict.lost, wrong if verdict.lost else right, _lost_text(verdict)),
        ("duplicates", copies, "", _duplicates_text(verdict)),
        ("out of order", verdict.out_of_order, wrong if verdict.out_of_order else right, "per device"),
    ]
    if verdict.unaccepted:
        rows.append(("not accepted", verdict.unaccepted, "", "arrived though the device was never told"))
    if serial is not None:
        rows += _serial_rows(serial, unplugs)
    text = Text()
    for name, count, style, meaning in rows:
        text.append(f"{name:<12}  ").append(f"{count:>7,}", style).append(f"   {meaning}\n", "dim")
    is_good = verdict.is_good and (serial is None or is_serial_good(serial))
    return text.append(_outcome(verdict, serial), right if is_good else wrong)


def _serial_rows(serial: Verdict, unplugs: int) -> list[tuple[str, int, str, str]]:
    """A serial device is never told that its frame is safe: what it sent whole is what can be counted."""
    wrong, right = "bold red", "bold green"
    first = f": {', '.join(serial.first_lost)}" if serial.first_lost else ""
    rows = [
        ("serial sent", serial.accepted, "", "whole frames; a serial line has no acknowledgement"),
        ("  arrived", serial.arrived, "", "different events of them"),
        ("  lost", serial.lost, wrong if serial.lost else right, f"sent and never arrived{first}"),
    ]
    if unplugs:
        rows.append(("  cut", unplugs, "", "by unplugging in mid-frame; nothing of it may arrive"))
    if serial.unaccepted:
        rows.append(("  invented", serial.unaccepted, wrong, "arrived though no such frame was sent whole"))
    if serial.out_of_order:
        rows.append(("  out of order", serial.out_of_order, wrong, "per device"))
    return rows


def _outcome(verdict: Verdict, serial: Verdict | None) -> str:
    if not verdict.accepted:
        return "FAIL  nothing was accepted"
    if not verdict.is_good:
        return f"FAIL  {verdict.lost:,} lost, {verdict.out_of_order:,} out of order"
    if serial is None:
        return "PASS  nothing that was accepted is lost or out of order"
    if not serial.accepted:
        return "FAIL  no serial device sent anything"
    if not is_serial_good(serial):
        faults = f"{serial.lost:,} lost, {serial.unaccepted:,} invented, {serial.out_of_order:,} out of order"
        return f"FAIL  serial frames: {faults}"
    return "PASS  nothing that was accepted, and no whole serial frame, is lost or out of order"


def _lost_text(verdict: Verdict) -> str:
    first = f": {', '.join(verdict.first_lost)}" if verdict.first_lost else ""
    return f"accepted and never arrived{first}"


def _duplicates_text(verdict: Verdict) -> str:
    if verdict.same_reading:
        return f"{verdict.same_id:,} under the same id, {verdict.same_reading:,} sent again by their device"
    return "copies under the same id"
