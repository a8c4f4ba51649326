"""What ``fieldgate status`` says of a Modbus source and its units."""

from __future__ import annotations

from typing import Any, Final

from fieldgate.cli.words import STATE, age, count, counts

__all__ = ["modbus_lines"]

_STATE: Final = {"unasked": "not asked yet", "ok": "answers", "silent": "SILENT"}


def modbus_lines(name: str, one: dict[str, Any]) -> list[str]:
    """Return its lines."""
    lines = [f"source   {name}   {STATE[one['state']]}   for {age(one['for_s'])}   from {one['from']}"]
    if reason := one["problem"] or one["reason"]:
        lines.append(f"         {reason}")
    lines.append(
        f"         {count(one['events'], 'message')}"
        + (f"   {one['unsettled']:,} not safe yet" if one["unsettled"] else "")
        + (f"   {count(one['reconnects'], 'reconnect')}" if one["reconnects"] else "")
        + (f"   {one['late_answers']:,} answers too late" if one["late_answers"] else "")
        + ("   not asked for now: too much is not safe yet" if one["is_paused"] else "")
    )
    for unit in one["units"]:
        lines += _unit(unit)
    return lines


def _unit(unit: dict[str, Any]) -> list[str]:
    heard = "never heard" if unit["heard_s_ago"] is None else f"heard {age(unit['heard_s_ago'])} ago"
    lines = [
        f"         unit {unit['unit']}   {unit['device']} ({unit['profile']})   {_STATE[unit['state']]}   {heard}   "
        f"{count(unit['requests'], 'request')}   {count(unit['polls'], 'poll')}"
        + (f"   {count(unit['writes'], 'write')}" if unit["writes"] else "")
    ]
    if unit["problem"]:
        lines.append(f"           NOT READ: {unit['problem']}")
    if unit["reason"]:
        lines.append(f"           {unit['reason']}")
    if odd := counts({key: unit[key] for key in ("timeouts", "bad", "late") if unit[key]}):
        lines.append(f"           {odd}")
    if exceptions := counts(unit["exceptions"]):
        lines.append(f"           answers with exceptions: {exceptions}")
    lines += [f"           left out: {place}: {why}" for place, why in unit["refused"].items()]
    return lines
