"""What a Modbus source says of itself and of its units."""

from __future__ import annotations

from dataclasses import dataclass

from fieldgate.net.broker_connection import ConnectionState

__all__ = ["ModbusStatus", "UnitStatus"]


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """One unit and its counters since the start.

    ``state``: not asked yet, answers, or silent (asked now and then only); ``reason`` is what went wrong last while
    nothing has gone right since. ``polls`` are complete readings, ``late`` turns that were missed because the bus was
    busy, ``bad`` answers that were damaged or none to what was asked. ``exceptions`` are the unit's own refusals by
    name, ``refused`` the registers that it does not have, and what it says of them; these are left out.
    """

    unit: int
    device: str
    profile: str
    state: str
    reason: str
    heard_s_ago: float | None
    requests: int
    answers: int
    polls: int
    late: int
    timeouts: int
    bad: int
    writes: int
    exceptions: dict[str, int]
    refused: dict[str, str]
    problem: str


@dataclass(frozen=True, slots=True)
class ModbusStatus:
    """Where a Modbus source is, why, since when (boot time); ``late_answers`` came when nobody waited any more."""

    state: ConnectionState
    reason: str
    since_s: float
    events: int
    unsettled: int
    reconnects: int
    is_paused: bool
    late_answers: int
    units: list[UnitStatus]
