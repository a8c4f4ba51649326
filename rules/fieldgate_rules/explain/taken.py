"""From the engine's decisions to what an explanation needs of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fieldgate_rules.engine import decisions as engine
from fieldgate_rules.engine.decisions import Decision
from fieldgate_rules.explain.seen import Acted, Seen
from fieldgate_rules.explain.states import lasting, state_words
from fieldgate_rules.rule import Rule

__all__ = ["seen_of"]

_SOURCES: Final = ("rate", "count", "sequence", "absent", "window")


def seen_of(rule: Rule, decisions: Sequence[Decision]) -> list[Seen]:
    """Return all of them, the newest last."""
    before: dict[str, Decision] = {}
    found = []
    for one in decisions:
        found.append(_seen(rule, one, before.get(one.group)))
        before[one.group] = one
    return found


def _seen(rule: Rule, one: Decision, before: Decision | None) -> Seen:
    said = _said(rule, one)
    outcome, stopped_by = _normal(rule, one)
    if outcome == "false" and stopped_by == "when" and (held := _broken(rule, one, before)):
        outcome = "broken"
        said["for"] = held
    head = stopped_by.partition(".")[0]
    has_words = head not in ("when", "until") and not stopped_by.startswith("window.")
    why = one.why or (said.get("changed" if head == "by" else head, "") if has_words else "")
    return Seen(
        outcome,
        stopped_by,
        why,
        one.group or (one.device if rule.spec.group_by == "device" else ""),
        one.device,
        _event_id(one),
        one.boot_s,
        one.wall_s,
        one.facts,
        said,
        tuple(_acted(rule, one, acted) for acted in one.acted),
    )


def _said(rule: Rule, one: Decision) -> dict[str, str]:
    said: dict[str, str] = {}
    if one.event is not None:
        said["on"] = f"takes {one.device}, profile {one.event.address.type}"
    for key, shown in one.stages.items():
        if text := state_words(rule, key, shown, one.boot_s, one.facts):
            said[key] = text
    return said


def _normal(rule: Rule, one: Decision) -> tuple[str, str]:
    """The outcome, and the key that stopped it, as exactly as the file has one."""
    outcome, key = one.outcome, one.stopped_by
    source = next((key for key in _SOURCES if getattr(rule.spec, key) is not None), "")
    if not key and outcome in ("false", "unknown"):
        key = "when" if rule.when is not None else source
    if not key and outcome == "waiting":
        outcome, key = "false", source
    match key:
        case "changed" if rule.spec.by is not None:
            key = "by"
        case "count":
            key = "count.at_least"
        case "rate" if rule.spec.rate is not None and (rule.spec.rate.above is None) != (rule.spec.rate.below is None):
            key = "rate.below" if rule.spec.rate.above is None else "rate.above"
        case "sequence" if "sequence" in one.stages:
            key = f"sequence.steps[{one.stages['sequence']['next']}]"
        case _:
            pass
    return outcome, key


def _broken(rule: Rule, one: Decision, before: Decision | None) -> str:
    """How long it had held, where a timer of ``for`` was running."""
    shown = {} if before is None else before.stages.get("for", {})
    since_s, due_s = shown.get("since_s"), shown.get("due_s")
    if since_s is None or due_s is None or due_s <= one.boot_s:
        return ""
    return f"it had held for {lasting(one.boot_s - since_s)} of {lasting(rule.spec.for_ or 0.0)}"


def _event_id(one: Decision) -> str:
    event = one.event
    return "" if event is None or not event.seq else f"{event.stamp.run:016x}-{event.seq}"


def _acted(rule: Rule, one: Decision, acted: engine.Acted) -> Acted:
    text = acted.text
    if acted.stopped_by == "max_age":
        age = lasting(acted.age_s)
        said = f"it comes {age} late" if one.event is None else f"the event is {age} old"
        text = f"{said}; allowed: {lasting(rule.spec.max_age)}"
    return Acted(acted.number, acted.id, acted.stopped_by, text)
