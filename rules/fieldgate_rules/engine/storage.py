"""What rules remember as rows, and back: over a restart, another OS boot, another set of rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from fieldgate_rules.condition import Reading
from fieldgate_rules.engine.alerts import Alerts
from fieldgate_rules.engine.memory import Memory
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.part import Part
from fieldgate_rules.engine.quick import window_of
from fieldgate_rules.engine.rows import ALIVE, STATE, VALUES, Row, RowKey, Rows, decode_row, encode_body, encode_row
from fieldgate_rules.engine.stages.absence import Absent
from fieldgate_rules.engine.timetable import SCHEDULES, Timetable
from fieldgate_rules.restart import Restart, Saved, restart_of
from fieldgate_rules.rule import EventTrigger

__all__ = ["Storage"]

_ALL: Final = 1 << 30
_ALIVE_EVERY_S: Final = 60.0
_OTHER_ID: Final = "the gateway has another id"
_DAMAGED: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)


class Storage:
    """Makes rows of ``memory`` and ``timetable``; ``os_boot`` is the kernel's boot id now.

    ``lost`` are alerts of rules that are not the same any more, or of a gateway that has another id now: rule, alerts,
    device, and why where it is not the rule. Somebody is to end them.
    """

    def __init__(self, memory: Memory, timetable: Timetable, *, os_boot: str) -> None:
        self._memory = memory
        self._timetable = timetable
        self._os_boot = os_boot
        self._alive_s = float("-inf")
        self.lost: list[tuple[str, Alerts, str, str]] = []

    def changes(self, now: Moment, *, limit: int = _ALL, is_all: bool) -> dict[RowKey, bytes | None]:
        """Return up to ``limit`` rows that have changed, which count as written from then on; the urgent ones first.

        ``is_all``: windows, values and what else is not urgent too.
        """
        memory = self._memory
        rows: dict[RowKey, bytes | None] = {}
        while memory.urgent and len(rows) < limit:
            key = next(iter(memory.urgent))
            del memory.urgent[key]
            rows[key[0], key[1], STATE] = self._row(key, now)
        while is_all and memory.slow and len(rows) < limit:
            key = next(iter(memory.slow))
            del memory.slow[key]
            slot = memory.slots.get(key)
            before = None if slot is None else slot.given
            row = self._row(key, now)
            if slot is None or slot.given != before:  # asked about, and the same as before: no write
                rows[key[0], key[1], STATE] = row
        latest = memory.latest
        while is_all and latest.changed and len(rows) < limit:
            device = next(iter(latest.changed))
            del latest.changed[device]
            rows["", device, VALUES] = self._values(device, now)
        if is_all and self._is_to_say_alive(now, has_rows=bool(rows)):
            self._alive_s = now.boot_s
            rows["", "", ALIVE] = encode_row("", now, self._os_boot, {})
        return rows

    def _is_to_say_alive(self, now: Moment, *, has_rows: bool) -> bool:
        """Whether it is to be written that time has been counted until now: with other rows, or while timers run."""
        if now.boot_s == self._alive_s:
            return False
        return has_rows or (self._memory.timers.due_s is not None and now.boot_s - self._alive_s >= _ALIVE_EVERY_S)

    def everything(self, now: Moment) -> dict[RowKey, bytes | None]:
        """Return all rows, for an empty file."""
        memory = self._memory
        memory.urgent = dict.fromkeys(memory.slots) | dict.fromkeys((id_, SCHEDULES) for id_ in self._timetable.rules())
        memory.slow.clear()
        memory.latest.changed = dict.fromkeys(memory.latest.devices)
        return self.changes(now, is_all=True)

    def _row(self, key: tuple[str, str], now: Moment) -> bytes | None:
        part = self._memory.parts.get(key[0])
        if part is None:
            return None
        if key[1] == SCHEDULES:
            return encode_row(part.rule.fingerprint, now, self._os_boot, self._timetable.saved(key[0]))
        slot = part.slots.get(key[1])
        if slot is None:
            return None
        body = slot.save()
        slot.given = hash(encode_body(body))
        return encode_row(part.rule.fingerprint, now, self._os_boot, body)

    def _values(self, device: str, now: Moment) -> bytes | None:
        values = self._memory.latest.devices.get(device)
        if values is None:
            return None
        body = {name: [reading.value, reading.boot_s] for name, reading in values.items()}
        return encode_row("", now, self._os_boot, body)

    def restore(self, rows: Rows, now: Moment, *, was_stopped: bool, formerly: Collection[str] = ()) -> None:
        """Go on where an earlier process ended; ``was_stopped``: it had time to write everything.

        ``formerly`` are ids that the gateway has had: what rules remember of it under one of these is over.
        """
        decoded = {key: row for key, data in sorted(rows.items()) if data is not None and (row := decode_row(data))}
        last = _last_saved(decoded.values())
        for key, row in decoded.items():
            saved = last[row.saved.os_boot]
            restart = restart_of(saved, boot_s=now.boot_s, wall_s=now.wall_s, os_boot=self._os_boot)
            try:
                self._restore_row(key, row, restart, now, was_stopped=was_stopped, formerly=formerly)
            except _DAMAGED as error:  # by another version, or damaged: that group begins anew
                id_, group, _ = key
                self._memory.urgent[id_, group] = None
                part = self._memory.parts.get(id_)
                if part is not None:
                    self._memory.forget(part, group)
                    what = "its schedules" if group == SCHEDULES else repr(group)
                    part.tally.last_error = f"what was saved of {what} is not readable: {error!r}"

    def _restore_row(
        self, key: RowKey, row: Row, restart: Restart, now: Moment, *, was_stopped: bool, formerly: Collection[str]
    ) -> None:
        id_, group, kind = key
        if kind == ALIVE:
            return
        if kind == VALUES:
            self._memory.latest.restore(
                group, {name: Reading(value, restart.move(at_s)) for name, (value, at_s) in row.body.items()}
            )
            return
        part = self._memory.parts.get(id_)
        if part is None or part.rule.fingerprint != row.fingerprint:
            self._memory.urgent[id_, group] = None  # nobody will want it again
            self._lose(id_, group, row.body, restart)
        elif group == SCHEDULES:
            self._timetable.restore(id_, row.body, restart.move, now)
        elif formerly and _is_of_gateway(part, group, row.body, formerly):
            self._memory.urgent[id_, group] = None
            self._lose(id_, group, row.body, restart, reason=_OTHER_ID)
        else:
            self._restore_slot(part, group, row.body, restart, now, was_stopped=was_stopped)

    def _lose(self, rule: str, group: str, body: Mapping[str, Any], restart: Restart, *, reason: str = "") -> None:
        """Keep in `lost` what nobody would end any more: alerts of a rule that is another one now."""
        if not body.get("alerts"):
            return
        alerts = Alerts(rule, group)
        try:
            alerts.restore(body["alerts"], body.get("updates", ()), restart.move, mark="")
            self.lost.append((rule, alerts, _device_of(group, body), reason))
        except _DAMAGED:
            return

    def _restore_slot(
        self, part: Part, group: str, body: Mapping[str, Any], restart: Restart, now: Moment, *, was_stopped: bool
    ) -> None:
        memory = self._memory
        slot = memory.slot(part, group)
        is_reset = part.rule.spec.on_restart == "reset"
        slot.restore(body, restart.move, is_reset=is_reset)
        slot.note, slot.given = restart.note, 0
        if body.get("window") is not None and not is_reset:
            if part.rule.spec.window is None:
                raise ValueError("it has a window, and the rule has none")
            window = window_of(part, slot)
            window.restore(body["window"], restart.move, is_partial=not (was_stopped and restart.is_same_boot))
        for stage in slot.stages:
            if isinstance(stage, Absent) and not was_stopped:
                stage.wait_anew(now.boot_s)
        memory.wait(part, slot)


def _device_of(group: str, body: Mapping[str, Any]) -> str:
    facts = body.get("facts")
    return str(facts[0]) if facts else group


def _is_of_gateway(part: Part, group: str, body: Mapping[str, Any], ids: Collection[str]) -> bool:
    """Whether what a rule remembers is of the gateway itself, under one of these ids: no device has told it."""
    if any(isinstance(one, EventTrigger) for one in part.rule.triggers):
        return False
    return _device_of(group, body) in ids or (part.rule.spec.group_by == "device" and group in ids)


def _last_saved(rows: Iterable[Row]) -> dict[str, Saved]:
    """When each OS boot last wrote anything: until then time was counted, whenever a row of it was written."""
    last: dict[str, Saved] = {}
    for row in rows:
        known = last.get(row.saved.os_boot)
        if known is None or row.saved.boot_s > known.boot_s:
            last[row.saved.os_boot] = row.saved
    return last
