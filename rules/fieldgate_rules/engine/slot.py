"""What a rule remembers of one group: its stages, whether it holds, what it has raised.

    signal of the condition ─► stages, in order ─► holds? ─► fires?

A stage that waits has a timer; when it ends the signal goes on from there, with the facts of the last event for which
the condition was true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from fieldgate_rules.condition import Facts, Reading
from fieldgate_rules.engine.alerts import Alerts
from fieldgate_rules.engine.decisions import Kept
from fieldgate_rules.engine.gate import Gate
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.sampling import Sampling
from fieldgate_rules.engine.stages.absence import Absent
from fieldgate_rules.engine.stages.changed import Changed
from fieldgate_rules.engine.stages.count import Count
from fieldgate_rules.engine.stages.hold_for import HoldFor
from fieldgate_rules.engine.stages.rate import Rate
from fieldgate_rules.engine.stages.sequence import Sequence
from fieldgate_rules.engine.stages.stage import Move, Signal, Stage
from fieldgate_rules.engine.windows.window import Ended, Window
from fieldgate_rules.rule import Rule, RuleTrigger

__all__ = ["Slot", "Turn", "fires_each", "remembers_only_truth"]

Turn = Literal["fire", "resolve", "held", "none"]
"""What a signal comes to: it fires; it holds no more; it holds already; nothing."""

_OCCURRENCES: Final = ("changed", "count", "sequence")


def remembers_only_truth(rule: Rule) -> bool:
    """Whether nothing is remembered of it while its condition is not true: no stage but `for`, and no window."""
    spec = rule.spec
    stages = (spec.changed, spec.rate, spec.count, spec.sequence, spec.absent, spec.window)
    return not any(one is not None and one != () for one in stages)


def fires_each(rule: Rule) -> bool:
    """Whether it fires at each event for which it holds."""
    spec = rule.spec
    if spec.fires is not None:
        return spec.fires == "each"
    if spec.for_ is not None or spec.until is not None or spec.absent is not None or spec.rate is not None:
        return False
    is_told = all(isinstance(one, RuleTrigger) for one in rule.triggers)
    return rule.when is None or is_told or any(getattr(spec, key) for key in _OCCURRENCES)


class Slot:
    """``facts`` are those of the last event for which the condition was true; ``mark`` names what began it.

    ``age_s`` is how old that event was when it came, and ``is_replayed`` whether it was a dead letter before.
    ``ended`` is the window that ended last; ``note`` is what a restart did to its times. ``given`` stands
    for what was given to be written last, None for nothing.
    """

    __slots__ = (
        "age_s",
        "alerts",
        "ended",
        "facts",
        "gate",
        "given",
        "group",
        "is_each",
        "is_holding",
        "is_replayed",
        "key",
        "last",
        "mark",
        "note",
        "rule",
        "sampling",
        "stages",
        "window",
    )

    def __init__(self, rule: Rule, group: str) -> None:
        spec = rule.spec
        self.rule = rule
        self.group = group
        self.key = (rule.id, group)
        self.is_each = fires_each(rule)
        self.is_holding = False
        self.facts: Facts | None = None
        self.age_s = 0.0
        self.is_replayed = False
        self.mark = ""
        self.last: Kept | None = None
        self.alerts = Alerts(rule.id, group)
        self.gate = Gate(spec.throttle, spec.once_per, rule.zone) if spec.throttle or spec.once_per else None
        self.sampling: dict[int, Sampling] = {}
        self.window: Window | None = None
        self.ended: Ended | None = None
        self.note = ""
        self.given: int | None = None
        self.stages = _stages(rule, is_each=self.is_each)

    def feed(self, signal: Signal, facts: Facts) -> tuple[Turn, Signal, str]:
        """Take the signal of an event; return what it comes to, the signal in the end, and the key that stopped it."""
        stopped = ""
        for stage in self.stages:
            before, signal = signal, stage.feed(signal, facts)
            if signal is None and before is not None and not stopped:
                stopped = stage.key
        return self._turn(signal, facts, stopped)

    def tick(self, stage: Stage, now_s: float) -> tuple[Turn, Signal, str]:
        """A timer has ended; the signal goes on behind ``stage``."""
        signal = stage.tick(now_s)
        for later in self.stages[self.stages.index(stage) + 1 :]:
            if isinstance(later, HoldFor):
                signal = later.hear(signal, now_s)
        return self._turn(signal, None, "")

    def _turn(self, signal: Signal, facts: Facts | None, stopped: str) -> tuple[Turn, Signal, str]:
        until = self.rule.until
        if self.is_holding and until is not None:
            if facts is not None and until.evaluate(facts) is True:
                self._ends()
                return "resolve", signal, "until"
            if not (self.is_each and signal):
                return "held", signal, "until"
        if signal:
            if self.is_holding and not self.is_each:
                return "held", signal, "fires"
            self.is_holding = True
            return "fire", signal, ""
        if signal is False and self.is_holding:
            self._ends()
            return "resolve", signal, stopped
        return "none", signal, stopped

    def _ends(self) -> None:
        self.is_holding = False
        if self.rule.until is not None:  # what has gone on meanwhile is of the time before
            for stage in self.stages:
                if isinstance(stage, HoldFor):
                    stage.hear(False, 0.0)

    def due(self) -> list[Stage]:
        """Return the stages that wait for a time."""
        return [stage for stage in self.stages if stage.due_s is not None]

    def applies(self, signal: Signal) -> bool:
        """Whether what is said of events themselves is said of this one, whose signal is ``signal`` in the end."""
        if signal is True:
            return True
        return self.is_holding and (self.rule.until is not None or (signal is None and bool(self.stages)))

    def signature(self) -> tuple[object, ...]:
        """Return what, if it changes, is to be written soon."""
        alerts = self.alerts
        return (self.is_holding, alerts.version, alerts.due_s, *[stage.news for stage in self.stages])

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it changes nothing."""
        return (
            not self.is_holding
            and not self.alerts.lasting
            and (self.gate is None or self.gate.save() is None)
            and self.window is None
            and not self.sampling
            and all(stage.save() is None for stage in self.stages)
        )

    def shown(self, now: Moment) -> dict[str, Any]:
        """Return what each stage has, as plain values."""
        shown = {stage.key: stage.shown() for stage in self.stages}
        if self.window is not None:
            shown["window"] = self.window.shown()
        return shown if self.gate is None else shown | self.gate.shown(now)

    # -- over a restart -----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Return it as plain values."""
        facts = self.facts
        alerts, updates = ([], []) if self.rule.is_shadow else self.alerts.save()  # nobody was told of those
        return {
            "holds": self.is_holding,
            "mark": self.mark,
            "stages": {stage.key: saved for stage in self.stages if (saved := stage.save()) is not None},
            "gate": None if self.gate is None else self.gate.save(),
            "sampling": {str(number): one.save() for number, one in self.sampling.items()},
            "window": None if self.window is None else self.window.save(),
            "facts": None if facts is None else [facts.device, facts.boot_s, _plain(facts.fields), self._prev(facts)],
            "alerts": alerts,
            "updates": updates,
            "age": self.age_s,
            "replayed": self.is_replayed,
        }

    def _prev(self, facts: Facts) -> dict[str, Any]:
        """The earlier values that the rule reads, as plain values."""
        wanted = self.rule.reads.prev
        return {name: [one.value, one.boot_s] for name, one in facts.prev.items() if name in wanted}

    def restore(self, saved: Mapping[str, Any], move: Move, *, is_reset: bool) -> None:
        """Take what `save` returned, but for the window; ``is_reset``: only the alerts, which people know of."""
        self.alerts.restore(saved["alerts"], saved.get("updates", ()), move, mark=saved["mark"])
        if is_reset:
            self.is_holding = bool(self.alerts.lasting)
            return
        self.is_holding, self.mark = saved["holds"], saved["mark"]
        for stage in self.stages:
            if stage.key in saved["stages"]:
                stage.restore(saved["stages"][stage.key], move)
        if self.gate is not None and saved["gate"] is not None:
            self.gate.restore(saved["gate"], move)
        for number, one in saved["sampling"].items():
            self.sampling[int(number)] = Sampling.restored(one, move)
        if saved["facts"] is not None:
            device, boot_s, fields, *prev = saved["facts"]
            earlier = {name: Reading(value, move(at_s)) for name, (value, at_s) in prev[0].items()} if prev else {}
            self.facts = Facts(fields, device, move(boot_s), prev=earlier)
        self.age_s, self.is_replayed = saved.get("age", 0.0), saved.get("replayed", False)


def _plain(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if isinstance(value, bool | int | float | str)}


def _stages(rule: Rule, *, is_each: bool) -> tuple[Stage, ...]:
    spec = rule.spec
    stages: list[Stage] = []
    if spec.changed:
        stages.append(Changed(spec.changed, spec.by))
    if spec.rate is not None:
        stages.append(Rate(spec.rate, spec.rate.of))
    if spec.count is not None:
        stages.append(Count(spec.count.at_least, spec.count.within, begins_anew=is_each))
    if spec.sequence is not None:
        stages.append(Sequence(rule.steps, spec.sequence.within))
    if spec.absent is not None:
        stages.append(Absent(spec.absent))
    if spec.for_ is not None:
        stages.append(HoldFor(spec.for_))
    return tuple(stages)
