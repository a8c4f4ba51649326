"""The end of the demo: what arrived of what, and whether that is good. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from fieldgate_simulators.counting import Verdict
from fieldgate_simulators.demo_serial import is_serial_good
from fieldgate_simulators.demo_state import ModbusView

__all__ = ["Outcome", "outcome_text"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on what MQTT devices were told is safe, on what serial devices sent, and what a Modbus unit said.

    The last two are None where there was no such device; ``unplugs`` is how often a serial device was unplugged.
    """

    verdict: Verdict
    serial: Verdict | None = None
    modbus: ModbusView | None = None
    unplugs: int = 0

    @property
    def is_good(self) -> bool:
        """Nothing is lost, invented or out of order, and everybody was heard."""
        return (
            self.verdict.is_good
            and (self.serial is None or is_serial_good(self.serial))
            and (self.modbus is None or self.modbus.arrived > 0)
        )


def outcome_text(outcome: Outcome) -> Text:
    """Write the verdict, counted at the upstream side."""
    verdict, serial = outcome.verdict, outcome.serial
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
        rows += _serial_rows(serial, outcome.unplugs)
    if outcome.modbus is not None:
        told = f"events of a unit that answered {outcome.modbus.requests:,} requests"
        rows.append(("modbus", outcome.modbus.arrived, "", told))
    text = Text()
    for name, count, style, meaning in rows:
        text.append(f"{name:<12}  ").append(f"{count:>7,}", style).append(f"   {meaning}\n", "dim")
    return text.append(_last_line(outcome), right if outcome.is_good else wrong)


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


def _last_line(outcome: Outcome) -> str:
    verdict, serial = outcome.verdict, outcome.serial
    if not verdict.accepted:
        return "FAIL  nothing was accepted"
    if not verdict.is_good:
        return f"FAIL  {verdict.lost:,} lost, {verdict.out_of_order:,} out of order"
    if serial is not None and not serial.accepted:
        return "FAIL  no serial device sent anything"
    if serial is not None and not is_serial_good(serial):
        faults = f"{serial.lost:,} lost, {serial.unaccepted:,} invented, {serial.out_of_order:,} out of order"
        return f"FAIL  serial frames: {faults}"
    if outcome.modbus is not None and not outcome.modbus.arrived:
        return "FAIL  nothing of the Modbus unit arrived"
    if serial is None:
        return "PASS  nothing that was accepted is lost or out of order"
    return "PASS  nothing that was accepted, and no whole serial frame, is lost or out of order"


def _lost_text(verdict: Verdict) -> str:
    first = f": {', '.join(verdict.first_lost)}" if verdict.first_lost else ""
    return f"accepted and never arrived{first}"


def _duplicates_text(verdict: Verdict) -> str:
    if verdict.same_reading:
        return f"{verdict.same_id:,} under the same id, {verdict.same_reading:,} sent again by their device"
    return "copies under the same id"
