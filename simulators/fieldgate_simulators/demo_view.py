"""Show the demo: a live picture on a terminal, plain lines elsewhere, and the verdict."""

from __future__ import annotations

from typing import Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fieldgate_simulators.counting import Verdict
from fieldgate_simulators.demo_state import Snapshot, sparkline

__all__ = ["LiveView", "PlainView", "View", "verdict_table"]

_PLAIN_EVERY_S: Final = 2.0
_WIDTH: Final = 76
_SPARK_WIDTH: Final = _WIDTH - 4
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
    """A line every two seconds and at each change of phase."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._next_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        """Write a line if one is due."""
        if snapshot.phase == self._phase and snapshot.at_s < self._next_s:
            return
        self._phase = snapshot.phase
        self._next_s = snapshot.at_s + _PLAIN_EVERY_S
        self._console.print(
            f"{snapshot.at_s:5.1f} s  {snapshot.phase:<16} devices {snapshot.connected}/{snapshot.devices}"
            f"  in {snapshot.accepted_rate:6.0f}/s  out {snapshot.arrived_rate:6.0f}/s"
            f"  buffered {snapshot.buffered:>7,}  uplink {_uplink_text(snapshot)}",
            markup=False,
            soft_wrap=True,
        )


class LiveView:
    """One picture that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._buffered: list[int] = []  # the most in each column's share of the time

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        column = int(snapshot.at_s / snapshot.total_s * _SPARK_WIDTH)
        while len(self._buffered) <= column:
            self._buffered.append(snapshot.buffered)
        self._buffered[column] = max(self._buffered[column], snapshot.buffered)
        self._live.update(self._picture(snapshot), refresh=True)

    def _picture(self, snapshot: Snapshot) -> Panel:
        phase = Text.assemble(
            (f" {snapshot.phase} ", _PHASE_STYLES.get(snapshot.phase, "bold")),
            f"   {min(snapshot.at_s, snapshot.total_s):4.0f} of {snapshot.total_s:.0f} s",
        )
        flow = Text(f"{snapshot.connected}/{snapshot.devices} devices ──► gateway ──► upstream broker", style="dim")
        table = Table.grid(padding=(0, 3))
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_column(justify="right")
        table.add_row("in   (acknowledged to devices)", f"{snapshot.accepted_rate:,.0f}/s", f"{snapshot.accepted:,}")
        table.add_row("out  (arrived upstream)", f"{snapshot.arrived_rate:,.0f}/s", f"{snapshot.arrived:,}")
        table.add_row("buffered", "", f"{snapshot.buffered:,}")
        uplink = Text.assemble(("uplink  ", "bold"), _uplink_text(snapshot))
        spark = Text(sparkline(self._buffered, _SPARK_WIDTH).ljust(_SPARK_WIDTH), style="cyan")
        return Panel(Group(phase, flow, Text(), table, spark, uplink), title="Fieldgate", width=_WIDTH)


def _uplink_text(snapshot: Snapshot) -> str:
    uplink = snapshot.uplink
    reason = f" ({uplink.reason})" if uplink.reason else ""
    journal = f" · journal {uplink.journal_bytes / 1000:,.0f} kB" if uplink.journal_bytes is not None else ""
    return f"{uplink.state}{reason}{journal}"


def verdict_table(verdict: Verdict) -> Group:
    """Draw the verdict, counted at the upstream side."""
    table = Table.grid(padding=(0, 3))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("accepted", f"{verdict.accepted:,}", "acknowledged to a device")
    table.add_row("arrived", f"{verdict.arrived:,}", "different events, counted at the upstream broker")
    table.add_row("lost", _alarming(verdict.lost), ", ".join(verdict.first_lost) or "accepted and never arrived")
    table.add_row("duplicates", f"{verdict.same_id + verdict.same_reading:,}", _duplicates_text(verdict))
    table.add_row("out of order", _alarming(verdict.out_of_order), "per device")
    if verdict.unaccepted:
        table.add_row("not accepted", f"{verdict.unaccepted:,}", "arrived though the device was never told")
    outcome = ("PASS  nothing was lost", "bold green") if verdict.is_good else ("FAIL", "bold red")
    return Group(Text(*outcome), table)


def _alarming(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "bold green")


def _duplicates_text(verdict: Verdict) -> str:
    if verdict.same_reading:
        return f"{verdict.same_id:,} under the same id, {verdict.same_reading:,} sent again by their device"
    return "same id: a consumer recognises them" if verdict.same_id else ""
