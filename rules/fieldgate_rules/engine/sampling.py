"""``sample``: let few events of a group through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.stages.changed import Changed
from fieldgate_rules.engine.stages.stage import Move

if TYPE_CHECKING:
    from fieldgate_rules.model.actions import SampleSpec

__all__ = ["Sampling"]


class Sampling:
    """Of one action, rule and group. The first event goes through."""

    __slots__ = ("count", "passed_s", "values")

    def __init__(self) -> None:
        self.count = 0
        self.passed_s: float | None = None
        self.values: Any = None

    def passes(self, spec: SampleSpec, facts: Facts) -> bool:
        """Whether this event goes on."""
        if spec.one_in is not None:
            self.count = (self.count + 1) % spec.one_in
            return self.count == 1 % spec.one_in
        is_due = spec.per is not None and (self.passed_s is None or facts.boot_s >= self.passed_s + spec.per)
        if spec.changed:
            changed = Changed(spec.changed, spec.by)
            if self.values is not None:
                changed.restore(self.values, lambda at_s: at_s)
            if is_due and self.passed_s is not None:
                changed = Changed(spec.changed, spec.by)
            is_due = changed.feed(True, facts) is True or is_due
            if is_due and (saved := changed.save()) is not None:
                self.values = saved
        if is_due:
            self.passed_s = facts.boot_s
        return is_due

    def save(self) -> Any:
        """Return it as plain values."""
        return [self.count, self.passed_s, self.values]

    @classmethod
    def restored(cls, saved: Any, move: Move) -> Sampling:
        """Take what `save` returned."""
        one = cls()
        one.count, passed_s, one.values = saved
        one.passed_s = None if passed_s is None else move(passed_s)
        return one
