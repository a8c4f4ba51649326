"""A rule key by key, as an event goes through it: what each came to, and the place of what stopped it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import Clause, Expression
from fieldgate_rules.explain.clauses import because, culprits
from fieldgate_rules.explain.report import Did, Part, Place, Stop, clause_facts
from fieldgate_rules.explain.seen import Seen
from fieldgate_rules.explain.triggers import place_of
from fieldgate_rules.rule import Rule

__all__ = ["WAITING", "clauses_of", "keys_of", "stop_of", "the_did", "the_parts"]

WAITING: Final = frozenset({"waiting", "held", "kept", "gathered"})
"""Outcomes after which time or a later event may still make the rule fire or end."""
_REASONS: Final = {
    "window": "it is part of a window that has not ended",
    "window.late": "its window had ended by then",
    "group_by": "the field that it groups by is missing",
    "mode": "in shadow mode it only records what it would do",
    "fires": "it has fired and holds since; it fires again once it has not",
    "on_replay": "a replayed event: commands and local messages are not repeated",
}
_SOURCES: Final = ("rate", "count", "sequence", "absent", "window")
_STAGES: Final = ("changed", *_SOURCES, "window.having", "for", "fires", "until", "throttle", "once_per")


def keys_of(rule: Rule) -> Iterator[str]:
    """The keys that decide, in the order in which they are asked; only those that the rule has."""
    spec = rule.spec
    yield "enabled"
    yield "on"
    if spec.group_by != "device":
        yield "group_by"
    if rule.when is not None:
        yield "when"
    has = {
        "changed": bool(spec.changed),
        "rate": spec.rate is not None,
        "count": spec.count is not None,
        "sequence": spec.sequence is not None,
        "absent": spec.absent is not None,
        "window": spec.window is not None,
        "window.having": rule.having is not None,
        "for": spec.for_ is not None,
        "fires": True,
        "until": rule.until is not None,
        "throttle": spec.throttle is not None,
        "once_per": spec.once_per is not None,
    }
    yield from (key for key in _STAGES if has[key])


def clauses_of(rule: Rule, key: str, seen: Seen) -> tuple[Clause, ...]:
    """The clauses of a key's conditions, with the values that they had."""
    facts = seen.facts
    if facts is None:
        return ()
    conditions: dict[str, tuple[Expression | None, ...]] = {
        "when": (rule.when,),
        "until": (rule.until,),
        "window.having": (rule.having,),
        "sequence": tuple(step.when for step in rule.steps),
    }
    if key.startswith("sequence.steps["):
        conditions[key] = tuple(step.when for number, step in enumerate(rule.steps) if key.endswith(f"[{number}]"))
    if key.startswith("do["):
        conditions[key] = tuple(one.condition for one in rule.actions if key == f"do[{one.number}].if")
    return tuple(one.explain(facts) for one in conditions.get(key, ()) if one is not None)


def the_parts(rule: Rule, seen: Seen) -> tuple[Part, ...]:
    """Every key of the rule, in order, up to what stopped it and beyond."""
    stopped = _head(rule, seen.stopped_by)
    keys = [key for key in keys_of(rule) if key not in ("enabled", "fires") or key == stopped]
    is_over = False
    parts = []
    for key in keys:
        state: Literal["passed", "stopped", "waits", "skipped"] = "skipped" if is_over else "passed"
        if key == stopped:
            state = "waits" if seen.outcome in WAITING else "stopped"
            is_over = True
        parts.append(_part(rule, key, seen, state))
    return tuple(parts)


def _head(rule: Rule, key: str) -> str:
    """The key of `keys_of` that ``key`` belongs to: ``count.at_least`` to ``count``."""
    keys = tuple(keys_of(rule))
    while key and key not in keys:
        key = (
            key.rpartition(".")[0]
            if "." in key
            else "on"
            if key.startswith("on[")
            else "changed"
            if key == "by"
            else ""
        )
    return key


def _part(rule: Rule, key: str, seen: Seen, state: Literal["passed", "stopped", "waits", "skipped"]) -> Part:
    where = Place.of(place_of(rule, key, key.partition(".")[0]))
    if state == "skipped":
        return Part(key, where, state, seen.said.get(key, "") if seen.outcome == "broken" else "")
    clauses = clauses_of(rule, key, seen)
    text = seen.said.get(key, "")
    if state != "passed":
        text = seen.why or text
    if not text and clauses and key != "sequence":
        text = _because(clauses[0])
    return Part(key, where, state, text, tuple(map(clause_facts, clauses)))


def _because(clause: Clause) -> str:
    return "; ".join(because(one) for one in culprits(clause))


def stop_of(rule: Rule, seen: Seen) -> Stop | None:
    """What stopped it, with its place: that of the smallest clause where it was a condition.

    Of a rule that fired it is what kept the first of its actions from being done, if any was.
    """
    key, why, keys = seen.stopped_by, seen.why, ["when"] if seen.stopped_by == "fires" else []
    if not key:
        for one in seen.acted:
            if one.stopped_by:
                key, why, keys = one.stopped_by, one.text, [f"do[{one.number}]"]
                break
    if not key:
        return None
    where: Location = place_of(rule, *_outer(key), *keys)
    for clause in clauses_of(rule, key, seen):
        where, why = culprits(clause)[0].where, why or _because(clause)
    return Stop(Place.of(where), key, why or _REASONS.get(key, ""))


def _outer(key: str) -> Iterator[str]:
    """The key, and those that it is part of."""
    yield key
    while "." in key or "[" in key:
        key = key.rpartition("." if key.rfind(".") > key.rfind("[") else "[")[0]
        yield key


def the_did(rule: Rule, seen: Seen) -> tuple[Did, ...]:
    """What its actions did, would have done, or did not do and why."""
    done: Literal["done", "would_do"] = "would_do" if seen.stopped_by == "mode" else "done"
    by_number = {action.number: action for action in rule.actions}
    return tuple(
        Did(
            by_number[one.number].kind,
            one.number,
            Place.of(place_of(rule, *filter(None, (one.stopped_by, f"do[{one.number}]", "do")))),
            "not_done" if one.stopped_by else done,
            one.text or (f"{one.stopped_by}: {_REASONS.get(one.stopped_by, 'not true')}" if one.stopped_by else ""),
            one.id,
        )
        for one in seen.acted
        if one.number in by_number
    )
