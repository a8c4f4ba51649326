"""What rules remember as rows, and back: over a restart, another OS boot, another set of rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fieldgate_rules.condition import Reading
from fieldgate_rules.engine.asker import Asker
from fieldgate_rules.engine.memory import Memory
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.part import Part
from fieldgate_rules.engine.rows import STATE, VALUES, RowKey, Rows, decode_row, encode_body, encode_row
from fieldgate_rules.engine.timetable import SCHEDULES, Timetable
from fieldgate_rules.restart import Restart, restart_of

__all__ = ["Storage"]

_ALL: Final = 1 << 30


class Storage:
    """Makes rows of ``memory`` and ``timetable``; ``os_boot`` is the kernel's boot id now."""

    def __init__(self, memory: Memory, timetable: Timetable, asker: Asker, *, os_boot: str) -> None:
        self._memory = memory
        self._timetable = timetable
        self._asker = asker
        self._os_boot = os_boot

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
        return rows

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

    def restore(self, rows: Rows, now: Moment, *, was_stopped: bool) -> None:
        """Go on where an earlier process ended; ``was_stopped``: it had time to write everything."""
        for (id_, group, kind), data in sorted(rows.items()):
            row = None if data is None else decode_row(data)
            if row is None:
                continue
            restart = restart_of(row.saved, boot_s=now.boot_s, wall_s=now.wall_s, os_boot=self._os_boot)
            if kind == VALUES:
                self._memory.latest.restore(
                    group, {name: Reading(value, restart.move(at_s)) for name, (value, at_s) in row.body.items()}
                )
                continue
            part = self._memory.parts.get(id_)
            if part is None or part.rule.fingerprint != row.fingerprint:
                self._memory.urgent[id_, group] = None  # nobody will want it again
            elif group == SCHEDULES:
                self._timetable.restore(id_, row.body, restart.move, now)
            else:
                self._restore_slot(part, group, row.body, restart, is_whole=was_stopped and restart.is_same_boot)

    def _restore_slot(
        self, part: Part, group: str, body: Mapping[str, Any], restart: Restart, *, is_whole: bool
    ) -> None:
        memory = self._memory
        slot = memory.slot(part, group)
        is_reset = part.rule.spec.on_restart == "reset"
        slot.restore(body, restart.move, is_reset=is_reset)
        slot.note, slot.given = restart.note, 0
        if body.get("window") is not None and not is_reset:
            window = self._asker.window(part, slot)
            window.restore(body["window"], restart.move, is_partial=not is_whole)
            memory.timers.begin(window, (part, slot))
        for stage in slot.due():
            memory.timers.begin(stage, (part, slot))
