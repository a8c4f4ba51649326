"""Rules on a virtual clock: fed in order of time, with a tick whenever they ask for one, and never a moment late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from fieldgate_devices.event import Event, Extra
from fieldgate_devices.recording import read_rfc3339
from fieldgate_rules.effects import AlertChange, Decided, Notice
from fieldgate_rules.engine import Engine
from fieldgate_rules.model.tests import ClockSpec, RestartSpec
from fieldgate_rules.rule import GatewayTrigger, RuleSet
from fieldgate_rules.tester.altered import Alterations
from fieldgate_rules.tester.clock import VirtualClock
from fieldgate_rules.tester.engines import Make
from fieldgate_rules.tester.outcome import Outcome, of_derived, of_effect
from fieldgate_rules.tester.saved import Saved
from fieldgate_rules.tester.timeline import Action, Happening, Noticed, Restarted, Spoken, Stepped

__all__ = ["GATEWAY", "Run"]

GATEWAY: Final = "test-gateway"
"""The id of the gateway in tests."""
_MAX_TICKS: Final = 10_000  # at one moment; more means that time would never go on
_NS: Final = 10**9
_REPLAYED: Final = Extra(is_replayed=True)


class Run:
    """One gateway's rules. ``outcomes`` grows; whoever reads it may empty it.

    ``is_killed``: it may be killed, so what is saved by then must be known at any time.
    """

    def __init__(self, rules: RuleSet, start_ns: int | None, make: Make, *, is_killed: bool = False) -> None:
        self.clock = VirtualClock(start_ns)
        self.outcomes: list[Outcome] = []
        self.errors: dict[str, str] = {}
        self._rules = rules
        self._make = make
        self._alterations = Alterations(rules)
        self._saved = Saved()
        self._is_killed = is_killed
        self._active: dict[tuple[str, str, str], tuple[str, str]] = {}
        self.engine = self._new_engine()
        self._note(self.engine.start(self.clock.stamp))

    def _new_engine(self) -> Engine:
        return self._make(self._rules, GATEWAY, self.clock.stamp, self.clock.os_boot)

    # -- time ---------------------------------------------------------------------------------------------------------

    def advance(self, at_ns: int) -> None:
        """Time goes on: everything that is due until then, or right then, is done at its own moment."""
        if self._is_killed:
            while (due_ns := self._saved.due_ns) < at_ns:
                self._tick_until(due_ns)
                self._saved.save(self.engine, due_ns)
        self._tick_until(at_ns)

    def _tick_until(self, at_ns: int) -> None:
        clock, engine = self.clock, self.engine
        ticks = 0
        while (due_s := engine.due_s) is not None and (due_ns := clock.at_of(due_s)) <= at_ns:
            ticks = ticks + 1 if due_ns == clock.at_ns else 0
            if ticks > _MAX_TICKS:
                raise RuntimeError(f"the rules ask for the same moment again and again: {due_s} s after boot")
            clock.at_ns = due_ns
            self._note(engine.tick(clock.stamp))
        clock.at_ns = at_ns

    # -- what happens -------------------------------------------------------------------------------------------------

    def happen(self, happenings: Sequence[Happening]) -> None:
        """Let it happen, all of it at the present moment; nothing of it once the gateway is down."""
        at_ns = self.clock.at_ns
        for kind, some in groupby((one.action for one in happenings), key=type):
            if kind is Spoken:
                self._speak([one for one in some if isinstance(one, Spoken)])
                continue
            for action in some:
                self._do(action)
            if self.clock.at_ns != at_ns:
                return

    def _do(self, action: Action) -> None:
        match action:
            case Noticed():
                self._notice(action.kind, action.device, action.fields)
            case Stepped():
                self._change_clock(action.spec)
            case Restarted():
                self._restart(action.spec)
            case Spoken():
                self._speak([action])

    def _speak(self, spoken: Sequence[Spoken]) -> None:
        stamp = self.clock.stamp
        events: list[Event] = []
        for one in spoken:
            shared = _REPLAYED if one.is_replayed else None
            if is_late := one.late_ns is not None:
                shared = Extra(self.clock.wall_ns - one.late_ns, one.is_replayed)
            for said in one.said:
                extra = shared if said.at_ns is None or is_late else Extra(said.at_ns, one.is_replayed)
                events.append(Event(said.address, stamp, said.data, said.is_json, 0, said.lane, extra=extra))
        decided = self.engine.feed(events, stamp)
        if decided is not None or self._is_killed:
            self._note(decided, events)

    def _notice(self, kind: str, device: str, fields: Mapping[str, object]) -> None:
        for threshold in self._passed(kind, fields.get("percent")):
            self._note(self.engine.notice(Notice(kind, device or GATEWAY, fields, threshold), self.clock.stamp))

    def _passed(self, kind: str, percent: object) -> Sequence[int | None]:
        """The thresholds that the buffer passes when it comes to ``percent``; None: whatever rules want to hear."""
        if kind not in ("buffer_above", "buffer_below") or not isinstance(percent, int | float):
            return (None,)
        triggers = (one for rule in self._rules.rules for one in rule.triggers if isinstance(one, GatewayTrigger))
        wanted = sorted({one.percent for one in triggers if kind in one.kinds})
        return [one for one in wanted if (percent >= one if kind == "buffer_above" else percent < one)]

    def _change_clock(self, spec: ClockSpec) -> None:
        clock = self.clock
        if spec.step is not None:
            clock.step(round(spec.step * _NS))
        elif spec.unset:
            clock.unset()
        else:
            was_known, before_ns = clock.is_known, clock.wall_ns
            clock.set(None if spec.set == "right" else read_rfc3339(spec.set or ""))
            if not was_known:
                self._notice("time_known", "", {"offset_s": (clock.wall_ns - before_ns) / _NS})

    def _restart(self, spec: RestartSpec) -> None:
        clock = self.clock
        if not spec.kill:
            if self.engine.due_s is not None:
                self._note(self.engine.tick(clock.stamp))  # as a gateway that stops: what is saved is of that moment
            self._saved.save(self.engine, clock.at_ns, is_all=True)
        self.errors.update(self.engine.errors)
        clock.at_ns += round(spec.after * _NS)
        known = None if spec.time is None else spec.time == "known"
        clock.restart(is_other_boot=spec.boot == "other", is_known=known)
        self._saved.begin(clock.at_ns)
        self.engine = self._new_engine()
        self.engine.restore(self._saved.rows, was_stopped=not spec.kill)
        self._note(self.engine.start(clock.stamp), is_start=True)

    # -- what came of it ----------------------------------------------------------------------------------------------

    def _note(self, decided: Decided | None, events: Sequence[Event] = (), *, is_start: bool = False) -> None:
        at_ns = self.clock.at_ns
        if self._is_killed:
            self._saved.look(self.engine, at_ns)
        if decided is None:
            return
        for effect in decided.effects:
            if isinstance(effect, AlertChange) and self._is_known_alert(effect, is_start=is_start):
                continue
            self.outcomes.append(of_effect(effect, at_ns))
        self.outcomes += [one for derived in decided.derived if (one := of_derived(derived, at_ns)) is not None]
        if events:
            self.outcomes += self._alterations.of(events, decided, at_ns)

    def _is_known_alert(self, change: AlertChange, *, is_start: bool) -> bool:
        """Whether an alert is only published once more after a start, because the broker had forgotten it."""
        key = (change.rule, change.group, change.key)
        said = (change.severity, change.text)
        if is_start and change.state != "resolved" and self._active.get(key) == said:
            return True
        if change.state == "resolved":
            self._active.pop(key, None)
        else:
            self._active[key] = said
        return False

    def finish(self) -> None:
        """Nothing more happens; `errors` is complete."""
        self.errors.update(self.engine.errors)
