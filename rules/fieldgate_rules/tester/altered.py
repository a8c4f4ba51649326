"""What became of events that rules let through: dropped, altered, another lane, other ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from fieldgate_devices.event import Event, Lane
from fieldgate_rules.effects import Decided
from fieldgate_rules.rule import EventTrigger, RuleSet
from fieldgate_rules.tester.outcome import Outcome

__all__ = ["Alterations"]

_LANES: Final = tuple(Lane(number).name.lower() for number in range(len(Lane)))
_ACTIONS: Final = {
    "drop": ("drop", "sample"),
    "set": ("set", "enrich"),
    "lane": ("lane",),
    "route": ("route",),
}


class Alterations:
    """``rules`` are those that may have done it; the engine does not say which of several it was."""

    def __init__(self, rules: RuleSet) -> None:
        self._altering = {
            kind: [
                (rule.id, [one for one in rule.triggers if isinstance(one, EventTrigger)])
                for rule in rules.rules
                if any(action.kind in kinds for action in rule.actions)
            ]
            for kind, kinds in _ACTIONS.items()
        }
        self.are_possible = any(self._altering.values())

    def of(self, given: Sequence[Event], decided: Decided, at_ns: int) -> Iterator[Outcome]:
        """Yield what was done to the events that were given."""
        after = dict(zip(decided.causes, decided.events, strict=True))
        for place, before in enumerate(given):
            event = after.get(place)
            if event is None:
                yield self._outcome("drop", {"drop": ""}, before, at_ns)
            elif event is not before:
                yield from self._compared(before, event, at_ns)

    def _compared(self, before: Event, after: Event, at_ns: int) -> Iterator[Outcome]:
        if after.data != before.data:
            old, new = _fields(before.data), _fields(after.data)
            fields = {name: one for name, one in new.items() if name not in old or old[name] != one}
            yield self._outcome("set", {"fields": fields}, before, at_ns)
        if after.lane != before.lane:
            yield self._outcome("lane", {"lane": _LANES[after.lane]}, before, at_ns)
        uplinks = None if after.extra is None else after.extra.uplinks
        if uplinks is not None:
            yield self._outcome("route", {"route": ", ".join(sorted(uplinks))}, before, at_ns)

    def _outcome(self, kind: str, facts: Mapping[str, object], event: Event, at_ns: int) -> Outcome:
        address = event.address
        rules = tuple(
            rule
            for rule, triggers in self._altering[kind]
            if any(one.takes(address.type, address.device, event.lane) for one in triggers)
        )
        return Outcome(at_ns, rules, address.device, kind, facts)


def _fields(data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {"value": value}
