"""What two sets of rules did with the same events: what is the same, added, gone or changed.

Something is changed where the same rule does the same kind of thing for the same device, but says something else, or
does it at another time, up to an hour apart. Memory is bounded: what is told in full is the first of each kind.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from fieldgate_rules.tester.outcome import Outcome

__all__ = ["Change", "Comparison", "RuleCounts"]

_APART_NS: Final = 3600 * 10**9
_MAX_WAITING: Final = 100_000
_encode = msgspec.json.Encoder().encode

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A difference: ``before`` is what the rules in force did, ``after`` what the others do."""

    before: Outcome | None
    after: Outcome | None

    @property
    def kind(self) -> Literal["added", "gone", "changed"]:
        """Which of the three it is."""
        return "added" if self.before is None else "gone" if self.after is None else "changed"

    @property
    def one(self) -> Outcome:
        """What is there; of two the one that was."""
        found = self.before or self.after
        assert found is not None
        return found


@dataclass(slots=True)
class RuleCounts:
    """How often, of one rule."""

    before: int = 0
    after: int = 0
    same: int = 0
    added: int = 0
    gone: int = 0
    changed: int = 0


@dataclass(slots=True)
class _Slot:
    """An outcome that has no partner yet."""

    outcome: Outcome
    is_taken: bool = False


class _Waiting:
    """Outcomes of one side without a partner, oldest first."""

    def __init__(self) -> None:
        self._by_key: dict[Key, deque[_Slot]] = {}
        self._in_order: deque[_Slot] = deque()

    def add(self, outcome: Outcome) -> None:
        """Let it wait."""
        slot = _Slot(outcome)
        self._in_order.append(slot)
        self._by_key.setdefault(_kind(outcome), deque()).append(slot)

    def take(self, like: Outcome) -> Outcome | None:
        """Return the oldest that is the same thing and waits no longer, if there is one."""
        key = _kind(like)
        slots = self._by_key.get(key)
        if not slots:
            return None
        slot = slots.popleft()
        if not slots:
            del self._by_key[key]
        slot.is_taken = True
        return slot.outcome

    def let_go(self, before_ns: int | None) -> Iterator[Outcome]:
        """Yield those that have waited for too long, or (None) all."""
        waiting = self._in_order
        while waiting:
            oldest = waiting[0]
            is_over = before_ns is None or oldest.outcome.at_ns < before_ns or len(waiting) > _MAX_WAITING
            if not is_over and not oldest.is_taken:
                return
            waiting.popleft()
            if not oldest.is_taken:
                self.take(oldest.outcome)
                yield oldest.outcome


class Comparison:
    """Fed with what both have done since the last time. ``examples`` is how many of a rule and kind are kept."""

    def __init__(self, *, examples: int = 3) -> None:
        self.counts: dict[str, RuleCounts] = {}
        self._kept: list[Change] = []
        self._examples = examples
        self._number_of: Counter[tuple[str, str]] = Counter()
        self._gone = _Waiting()
        self._added = _Waiting()

    @property
    def changes(self) -> list[Change]:
        """Those that are told in full, the earliest first."""
        return sorted(self._kept, key=lambda one: (one.one.at_ns, one.one.rules))

    @property
    def is_same(self) -> bool:
        """Whether there is no difference at all."""
        return not any(one.added or one.gone or one.changed for one in self.counts.values())

    @property
    def left_out(self) -> int:
        """How many differences are not told in full."""
        return sum(one.added + one.gone + one.changed for one in self.counts.values()) - len(self._kept)

    def feed(self, before: Sequence[Outcome], after: Sequence[Outcome]) -> None:
        """Take what was done since the last call, each in order of time."""
        if not before and not after:
            return
        for one in before:
            self._of(one).before += 1
        for one in after:
            self._of(one).after += 1
        self._let_go(min(one.at_ns for one in (*before, *after)) - _APART_NS)
        gone, added = self._unlike(before, after)
        for one in gone:
            self._pair(one, self._added, self._gone, is_before=True)
        for one in added:
            self._pair(one, self._gone, self._added, is_before=False)

    def end(self) -> None:
        """Nothing more comes: what has no partner will get none."""
        self._let_go(None)

    def _unlike(self, before: Sequence[Outcome], after: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
        """What is not exactly the same on both sides."""
        left = Counter(map(_identity, after))
        gone = []
        for one in before:
            identity = _identity(one)
            if left[identity]:
                left[identity] -= 1
                self._of(one).same += 1
            else:
                gone.append(one)
        added = []
        for one in reversed(after):
            identity = _identity(one)
            if left[identity]:
                left[identity] -= 1
                added.append(one)
        return gone, added[::-1]

    def _pair(self, one: Outcome, others: _Waiting, own: _Waiting, *, is_before: bool) -> None:
        """Find the first on the other side that is the same but for its words or its time; else let it wait."""
        partner = others.take(one)
        if partner is None:
            own.add(one)
        else:
            self._tell(Change(one, partner) if is_before else Change(partner, one))

    def _let_go(self, before_ns: int | None) -> None:
        for one in self._gone.let_go(before_ns):
            self._tell(Change(one, None))
        for one in self._added.let_go(before_ns):
            self._tell(Change(None, one))

    def _tell(self, change: Change) -> None:
        counts = self._of(change.one)
        match change.kind:
            case "added":
                counts.added += 1
            case "gone":
                counts.gone += 1
            case "changed":
                counts.changed += 1
        key = (_rule(change.one), change.kind)
        self._number_of[key] += 1
        if self._number_of[key] <= self._examples:
            self._kept.append(change)

    def _of(self, one: Outcome) -> RuleCounts:
        return self.counts.setdefault(_rule(one), RuleCounts())


def _rule(one: Outcome) -> str:
    return " or ".join(one.rules)


def _identity(one: Outcome) -> tuple[object, ...]:
    return one.at_ns, one.rules, one.device, one.kind, _encode(dict(one.facts))


def _kind(one: Outcome) -> Key:
    """What two outcomes share that are the same thing, said or done otherwise."""
    facts = (str(one.facts.get(name, "")) for name in ("state", "key", "name", "type", "topic", "to"))
    return (*one.rules, one.device, one.kind, *facts)
