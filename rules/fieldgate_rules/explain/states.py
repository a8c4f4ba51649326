"""What the stages of a rule had counted and waited for, in words. The values are those that each stage shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fieldgate_devices.files.quantities import format_duration
from fieldgate_rules.condition import Facts
from fieldgate_rules.condition.explain import shown as shown_value
from fieldgate_rules.rule import Rule

__all__ = ["lasting", "state_words"]

_PERIODS = {"hour": "hour", "day": "day", "week": "week", "month": "month", "start": "start of the gateway"}


def lasting(seconds: float) -> str:
    """A duration for a person: ``0.5 s``, ``12 s``, ``8 min``, ``3.5 h``."""
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{round(seconds / unit_s, 1):g} {unit}"
    return f"{round(seconds, 1):g} s"


def state_words(rule: Rule, key: str, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    """Say what the stage of ``key`` had at ``at_s`` (boot time); empty where it had nothing."""
    words = _WORDS.get(key)
    return "" if words is None else words(rule, shown, at_s, facts)


def _for(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    hold_s, since_s = rule.spec.for_ or 0.0, shown.get("since_s")
    if since_s is None:
        return ""
    return f"it has held for {lasting(min(at_s - since_s, hold_s))} of {lasting(hold_s)}"


def _count(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    spec = rule.spec.count
    return "" if spec is None else f"{shown['count']} of {spec.at_least} within {lasting(spec.within)}"


def _sequence(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    spec, done = rule.spec.sequence, shown["next"]
    if spec is None:
        return ""
    since = f", {lasting(at_s - shown['since_s'])} of {lasting(spec.within)} ago" if done else ""
    return f"{done} of {len(spec.steps)} steps have come{since}; the next one is {spec.steps[done].when}"


def _absent(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    after_s, since_s = rule.spec.absent or 0.0, shown.get("since_s")
    return "" if since_s is None else f"{lasting(at_s - since_s)} of {lasting(after_s)} without such an event"


def _rate(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    spec, rate = rule.spec.rate, shown.get("rate")
    if spec is None:
        return ""
    if rate is None:
        return f"it is not known before {lasting(spec.within / 2)}"
    limits = [
        f"{word} {limit:g}" for word, limit in (("above", spec.above), ("below", spec.below)) if limit is not None
    ]
    return f"{spec.of} changes by {rate:.6g} in {lasting(spec.per)}; wanted: {' or '.join(limits)}"


def _changed(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    last = shown.get("last")
    if facts is None or last is None:
        return ""
    by = rule.spec.by
    told = []
    for name, old in zip(rule.spec.changed, last, strict=True):
        new = facts.fields.get(name)
        if new is None:
            told.append(f"{name} is missing")
        elif by is not None and isinstance(new, int | float) and isinstance(old, int | float):
            told.append(
                f"{name} is {shown_value(new)}, by {abs(new - old):.6g} from {shown_value(old)}, less than {by:g}"
            )
        else:
            told.append(f"{name} is {shown_value(new)}, as in the last event that counted")
    return "; ".join(told)


def _throttle(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    spec, until_s = rule.spec.throttle, shown.get("until_s")
    if spec is None:
        return ""
    limit = f"{spec.times} in {format_duration(spec.per)}"
    return f"{limit}; open" if until_s is None else f"{limit}; it may fire again in {lasting(max(0.0, until_s - at_s))}"


def _once_per(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    period = rule.spec.once_per
    if period is None or not shown.get("period"):
        return ""
    return f"it has fired in this {_PERIODS[period]} already"


def _window(rule: Rule, shown: Mapping[str, Any], at_s: float, facts: Facts | None) -> str:
    due_s = shown.get("due_s")
    ends = "" if due_s is None else f"; it ends in {lasting(max(0.0, due_s - at_s))}"
    late = f"; {shown['late']} came too late" if shown.get("late") else ""
    return f"{shown.get('events', 0)} events so far{ends}{late}"


_WORDS = {
    "for": _for,
    "count": _count,
    "sequence": _sequence,
    "absent": _absent,
    "rate": _rate,
    "changed": _changed,
    "throttle": _throttle,
    "once_per": _once_per,
    "window": _window,
}
