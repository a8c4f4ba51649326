"""The schedules of all rules, and the clock that some of them go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fieldgate_rules.engine.memory import Memory
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.part import Part
from fieldgate_rules.engine.schedules import Cron, Every, Schedule
from fieldgate_rules.engine.stages.stage import Move
from fieldgate_rules.rule import CronTrigger, EveryTrigger

__all__ = ["SCHEDULES", "Timetable"]

SCHEDULES: Final = "\x00schedules"
"""In the place of a group, in rows; no device can be called so."""

_STEP_S: Final = 0.5  # the clock drifts by less


class Timetable:
    """Puts what is due into the timers of ``memory``, with the rule as owner and no slot."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._schedules: dict[tuple[str, int], tuple[Part, Schedule]] = {}
        self._scale_s: float | None = None

    def use(self) -> None:
        """From now on those of the rules in ``memory``; one that is the same goes on."""
        before, self._schedules = self._schedules, {}
        for part in self._memory.parts.values():
            for number, trigger in enumerate(part.rule.triggers):
                if isinstance(trigger, EveryTrigger | CronTrigger):
                    key = (part.rule.id, number)
                    known = before.get(key)
                    same = known[1] if known is not None and known[0] is part else None
                    self._schedules[key] = (part, same or _schedule(trigger))

    def rules(self) -> Iterable[str]:
        """Return the ids of rules that have any."""
        return dict.fromkeys(id_ for id_, _ in self._schedules)

    def begin(self, now: Moment) -> None:
        """Work out when each is due."""
        self._scale_s = _scale_s(now)
        for part, schedule in self._schedules.values():
            if schedule.due_s is None:
                self._memory.urgent[part.rule.id, SCHEDULES] = None  # the beat is kept from the first one on
            schedule.begin(now)
            self._memory.timers.begin(schedule, (part, None))

    def missed(self) -> list[Part]:
        """Return the rules of which a time has gone by unnoticed, each time once."""
        missed = []
        for part, schedule in self._schedules.values():
            if schedule.has_missed:
                schedule.has_missed = False
                missed.append(part)
        return missed

    def look_at_clock(self, now: Moment) -> bool:
        """Tell those who go by the wall clock if it was set, or has become known; return whether it was."""
        if not self._schedules:
            return False
        scale_s, before_s = _scale_s(now), self._scale_s
        is_same = scale_s == before_s or (
            scale_s is not None and before_s is not None and abs(scale_s - before_s) < _STEP_S
        )
        if not is_same:
            self._scale_s = scale_s
            for part, schedule in self._schedules.values():
                schedule.clock_changed(now)
                self._memory.timers.begin(schedule, (part, None))
        return not is_same

    def saved(self, rule: str) -> dict[str, Any]:
        """Return the state of a rule's schedules as plain values."""
        return {str(number): one.save() for (id_, number), (_, one) in self._schedules.items() if id_ == rule}

    def restore(self, rule: str, saved: Mapping[str, Any], move: Move, now: Moment) -> None:
        """Take what `saved` returned."""
        for number, one in saved.items():
            known = self._schedules.get((rule, int(number)))
            if known is not None and one is not None:
                known[1].restore(one, move, now)


def _scale_s(now: Moment) -> float | None:
    """What UTC is ahead of boot time; None while nobody knows."""
    return None if now.wall_s is None else now.wall_s - now.boot_s


def _schedule(trigger: EveryTrigger | CronTrigger) -> Schedule:
    return Every(trigger.every_s) if isinstance(trigger, EveryTrigger) else Cron(trigger.text, trigger.zone)
