"""The rules at work: the engine with what comes in, and where its answers go.

Laws of this file:

- What no rule takes goes on as it is; that costs one call per read (`RuleHost.decide`).
- Without rules there is no engine, nor what it consists of in memory; it comes with the first of them, and stays.
- Effects are carried out after the events of the same answer were taken (`Take`), never before: their causes have
  numbers then.
- What comes of time, of the gateway or of a change of rules has no cause, and nobody waits for it to be safe.

No I/O, no clock; `fieldgate.rule_desk` has the loop, the files and the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from fieldgate.decide.actuator import Actuator
from fieldgate_devices.event import Event, Stamp
from fieldgate_devices.fast_json import Known
from fieldgate_rules.effects import AlertChange, Decided, Derived, Notice
from fieldgate_rules.rule import RuleSet

if TYPE_CHECKING:  # see the laws
    from fieldgate_rules.engine import Engine
    from fieldgate_rules.engine.rows import RowKey

__all__ = ["MakeEngine", "RuleHost", "Take"]

_NEVER: Final = float("inf")

MakeEngine = Callable[[RuleSet, Stamp], "Engine"]
"""Makes an engine with these rules, which remembers nothing."""

Take = Callable[[Sequence[Derived], Stamp], None]
"""Takes events that rules have made and that nobody waits for."""


class RuleHost:
    """``rules`` are those that the engine has; where it is None there are none, and ``make_engine`` makes the first.

    It is what the engine remembers, too (`fieldgate.journal.rule_keeper.RuleRecords`).

    ``changed`` is called when something is to be done earlier than at ``wakes_s``, or to be written soon; ``wakes_s``
    (boot time) is when `tick` will be called, as its caller says. Both are the caller's to set. ``is_over``: `end`.
    """

    def __init__(
        self, engine: Engine | None, actuator: Actuator, *, rules: RuleSet, take: Take, make_engine: MakeEngine
    ) -> None:
        self.engine = engine
        self.actuator = actuator
        self.rules = rules
        self.wakes_s = _NEVER
        self.changed: Callable[[], None] = _nobody
        self._take = take
        self.is_over = False
        self._make_engine = make_engine
        self._is_idle = not rules.rules
        self._failures: dict[str, str] = {}

    # -- the flow -------------------------------------------------------------------------------------------------

    def decide(self, events: Sequence[Event], stamp: Stamp, known: Sequence[Known] | None = None) -> Decided | None:
        """Return what becomes of one read, ``known`` as in `Engine.feed`; None: all of it goes on as it is."""
        if self._is_idle:
            return None
        assert self.engine is not None
        decided = self.engine.feed(events, stamp, known)
        self._look()
        return decided

    def done(self, decided: Decided, stamp: Stamp) -> None:
        """The events of an answer of `decide` were taken, and have numbers: decisions are about those they began as."""
        for event, copy in decided.altered:
            event.seq = copy.seq
        if decided.effects:
            self.actuator.carry_out(decided.effects, stamp)

    # -- what else happens ----------------------------------------------------------------------------------------

    def begin(self, stamp: Stamp) -> None:
        """Start, once everybody is there who carries out effects; what was stored is in the engine."""
        commanding = [rule.id for rule in self.rules.rules if any(action.kind == "command" for action in rule.actions)]
        decided = None if self.engine is None else self.engine.start(stamp)
        self.actuator.begin(commanding, self.alerts())
        self._apply(decided, stamp)

    def end(self, stamp: Stamp) -> None:
        """Do what is due, and nothing any more: what is in memory now is what the next process goes on with."""
        self.tick(stamp)
        if self.engine is not None:
            self.engine.stop(stamp)
        self.is_over = self._is_idle = True

    def use(self, rules: RuleSet, stamp: Stamp) -> None:
        """From now on by these rules; those that mean the same go on where they are."""
        if self.is_over:
            return
        engine = self.engine
        if engine is None:
            if not rules.rules:
                return
            engine = self.engine = self._make_engine(RuleSet(), stamp)
            engine.start(stamp)  # without rules, so that they come as those that come to others do
        self.rules = rules
        self._is_idle = not rules.rules
        self._apply(engine.use(rules, stamp), stamp)

    def tick(self, stamp: Stamp) -> None:
        """Do what is due."""
        if self.is_over or self.engine is None:
            return
        self._apply(self.engine.tick(stamp), stamp)

    def notice(self, notices: Iterable[Notice], stamp: Stamp) -> None:
        """Tell rules what has happened to the gateway."""
        if self._is_idle:
            return
        assert self.engine is not None
        for notice in notices:
            self._apply(self.engine.notice(notice, stamp), stamp)

    def resolve(self, rule: str, key: str | None, stamp: Stamp) -> int:
        """End alerts of a rule by hand, of one key or all; return how many there were."""
        if self.is_over or self.engine is None:
            return 0
        decided = self.engine.resolve(rule, key, stamp)
        self._apply(decided, stamp)
        return len(decided.effects)

    def new_failures(self) -> dict[str, str]:
        """Return by rule how it failed, where that was not returned before: nothing else stops for it."""
        errors = {} if self.engine is None else self.engine.errors
        news = {rule: text for rule, text in errors.items() if self._failures.get(rule) != text}
        self._failures |= news
        return news

    def _apply(self, decided: Decided | None, stamp: Stamp) -> None:
        if decided is not None:
            if decided.derived:
                self._take(decided.derived, stamp)
            self.done(decided, stamp)
        self._look()

    def _look(self) -> None:
        due_s = self.due_s
        if self.urgent or (due_s is not None and due_s < self.wakes_s):
            self.changed()

    # -- what the engine remembers --------------------------------------------------------------------------------

    @property
    def due_s(self) -> float | None:
        """When `tick` is to be called, in boot time."""
        return None if self.engine is None else self.engine.due_s

    def alerts(self) -> list[AlertChange]:
        """Return the alerts that last, as they were said."""
        return [] if self.engine is None else list(self.engine.alerts())

    @property
    def urgent(self) -> int:
        """See `RuleRecords`."""
        return 0 if self.engine is None else self.engine.urgent

    def changes(self, limit: int, *, is_all: bool) -> dict[RowKey, bytes | None]:
        """See `RuleRecords`."""
        return {} if self.engine is None else self.engine.changes(limit, is_all=is_all)

    def everything(self) -> dict[RowKey, bytes | None]:
        """See `RuleRecords`."""
        return {} if self.engine is None else self.engine.everything()


def _nobody() -> None:
    pass
