"""What ``fieldgate status`` says of a serial source."""

from __future__ import annotations

from typing import Any

from fieldgate.cli.words import STATE, age, count, counts, size

__all__ = ["serial_lines"]


def serial_lines(name: str, one: dict[str, Any]) -> list[str]:
    """Return its lines."""
    device = f" ({one['device']})" if one["device"] not in ("", one["from"]) else ""
    lines = [f"source   {name}   {STATE[one['state']]}   for {age(one['for_s'])}   from {one['from']}{device}"]
    if reason := one["problem"] or one["reason"]:
        lines.append(f"         {reason}")
    lines.append(
        f"         {count(one['frames'], 'frame')}   {size(one['bytes'])}"
        + (f"   {one['unsettled']:,} not safe yet" if one["unsettled"] else "")
        + (f"   {count(one['reconnects'], 'reconnect')}" if one["reconnects"] else "")
        + (f"   {size(one['written_bytes'])} written" if one["written_bytes"] else "")
        + ("   not read for now: too much is not safe yet" if one["is_paused"] else "")
    )
    if bad := counts(one["bad_frames"]):
        lines.append(f"         bad frames: {bad}   (see: fieldgate dead-letters list)")
    if odd := counts({key: one[key] for key in ("skipped_bytes", "dropped_frames", "dropped_bytes") if one[key]}):
        lines.append(f"         no frames: {odd}")
    if lost := counts({key: one[key] for key in ("unsaved", "unsent") if one[key]}):
        lines.append(f"         LOST: {lost}")
    if errors := counts({key: number for key, number in (one["line_errors"] or {}).items() if number}):
        lines.append(f"         the port's driver counts: {errors}")
    return lines
