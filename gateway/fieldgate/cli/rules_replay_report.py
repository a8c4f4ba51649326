"""What ``fieldgate rules replay`` prints: how often each rule did something, what is different, what is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fieldgate.cli.rules_history import KeptEvents
from fieldgate.cli.rules_replaced import Replaced
from fieldgate.cli.words import count
from fieldgate_devices.recording import rfc3339
from fieldgate_rules.rule import GatewayTrigger, Rule, RuleSet
from fieldgate_rules.tester import Change, Outcome, Replay, RuleCounts

__all__ = ["ReplayReport"]

_REMEMBERED: Final = ("silent", "back", "started")  # of what the gateway itself does, the journal has these


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """``notes`` is what the source of the events does not tell."""

    file: Path
    rules: Replaced
    replay: Replay
    kept: KeptEvents
    notes: Sequence[str]

    def text(self) -> str:
        """For a person."""
        return "\n".join(self._lines())

    def facts(self) -> dict[str, Any]:
        """For programs."""
        comparison = self.replay.comparison
        return {
            "file": str(self.file),
            "events": self.kept.events,
            "devices": len(self.kept.devices),
            "from": None if self.kept.first_ns is None else rfc3339(self.kept.first_ns),
            "to": None if self.kept.first_ns is None else rfc3339(self.kept.last_ns),
            "same": comparison.is_same,
            "rules": {
                name: {
                    "in_force": one.before, "with_file": one.after, "same": one.same, "added": one.added,
                    "gone": one.gone, "changed": one.changed,
                }
                for name, one in self._counts()
            },
            "differences": [
                {
                    "kind": change.kind,
                    "before": None if change.before is None else self._json(change.before),
                    "after": None if change.after is None else self._json(change.after),
                }
                for change in comparison.changes
            ],
            "left_out": comparison.left_out,
            "unknown": list(self._unknown()),
        }  # fmt: skip

    def _counts(self) -> list[tuple[str, RuleCounts]]:
        """Rules of the file, and others that do something else than before, in the order of the rules."""
        counts = self.replay.comparison.counts
        order = [rule.id for rule in (*self.rules.before.rules, *self.rules.after.rules)]
        names = dict.fromkeys([*(one for one in order if one in counts or one in self.rules.own), *counts])
        found = [(name, counts.get(name, RuleCounts())) for name in names]
        return [(name, one) for name, one in found if name in self.rules.own or one.added or one.gone or one.changed]

    def _lines(self) -> Iterator[str]:
        kept, comparison = self.kept, self.replay.comparison
        if kept.first_ns is None:
            yield "there is no event to replay"
        else:
            yield (
                f"{self.file} against the rules in force: {count(kept.events, 'event')} of "
                f"{count(len(kept.devices), 'device')}, {_time(kept.first_ns)} to {_time(kept.last_ns)}"
            )
            yield ""
            yield from self._table()
            yield ""
            if comparison.is_same:
                yield "no difference"
            for change in comparison.changes:
                yield from self._change(change)
            if comparison.left_out:
                yield f"… {comparison.left_out:,} more (--all shows them)"
        yield ""
        yield "what this cannot know:"
        yield from (f"- {one}" for one in self._unknown())

    def _table(self) -> Iterator[str]:
        rows: list[tuple[str, ...]] = [("rule", "in force", "with FILE", "same", "added", "gone", "changed")]
        for name, one in self._counts():
            numbers = (one.before, one.after, one.same, one.added, one.gone, one.changed)
            rows.append((name, *(f"{number:,}" for number in numbers)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for name, *cells in rows:
            right = [f"{text:>{width}}" for text, width in zip(cells, widths[1:], strict=True)]
            yield "  ".join((f"{name:<{widths[0]}}", *right))

    def _change(self, change: Change) -> Iterator[str]:
        if change.before is None or change.after is None:
            yield f"{change.kind:<8} {self._line(change.one)}"
        else:
            yield f"changed  {self._line(change.before)}"
            yield f"     now {self._line(change.after)}"

    def _line(self, one: Outcome) -> str:
        return "  ".join((_time(self._at(one)), " or ".join(one.rules), one.device or "–", one.text))

    def _at(self, one: Outcome) -> int:
        return (self.replay.first_ns or 0) + one.at_ns

    def _json(self, one: Outcome) -> dict[str, object]:
        facts = one.to_json()
        del facts["at_s"]
        return {"at": rfc3339(self._at(one)), **facts}

    def _unknown(self) -> Iterator[str]:
        yield from self.notes
        before, after = self.rules.before, self.rules.after
        if self.kept.first_ns is not None:
            yield f"timers, windows and earlier values begin empty at {_time(self.kept.first_ns)}"
        if dropping := _doing(before, ("drop", "sample")):
            yield f"events that rules in force have dropped are not stored: {', '.join(dropping)}"
        if altering := _doing(before, ("set", "enrich", "lane")):
            yield f"stored events are as rules in force have altered them: {', '.join(altering)}"
        if asked := [rule.id for rule in after.rules if _of_gateway(rule)]:
            yield f"uplinks and the buffer are as if nothing had ever happened to them: {', '.join(asked)}"
        if late := [one.id for one in after.rules if one.spec.window is not None and one.spec.window.time == "device"]:
            yield f"stored events do not have the device's own time, so windows by it are empty: {', '.join(late)}"
        if shadow := [rule.id for rule in after.rules if rule.is_shadow and rule.id in self.rules.own]:
            yield f"rules in shadow mode are shown as if they acted: {', '.join(shadow)}"
        for problem in self.rules.left_out:
            yield f"this rule of the folder is not in force: {problem}"


def _doing(rules: RuleSet, kinds: Sequence[str]) -> list[str]:
    return [rule.id for rule in rules.rules if any(action.kind in kinds for action in rule.actions)]


def _of_gateway(rule: Rule) -> bool:
    triggers = [one for one in rule.triggers if isinstance(one, GatewayTrigger)]
    return any(not one.kinds.issubset(_REMEMBERED) for one in triggers)


def _time(at_ns: int) -> str:
    return f"{rfc3339(at_ns)[:19]}Z"
