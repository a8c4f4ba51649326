"""Explain what an engine has decided: for the running gateway, and for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fieldgate_devices.event import Stamp
from fieldgate_rules.engine import Engine
from fieldgate_rules.engine.moment import Moment, moment_of
from fieldgate_rules.explain.build import build_report
from fieldgate_rules.explain.lines import report_lines
from fieldgate_rules.explain.report import Part, Place, Report
from fieldgate_rules.explain.states import state_words
from fieldgate_rules.explain.taken import seen_of
from fieldgate_rules.explain.triggers import Heard, place_of
from fieldgate_rules.rule import Rule, RuleSet

__all__ = ["explain", "why_not"]


def explain(
    engine: Engine,
    rule: Rule,
    *,
    device: str | None,
    event: str | None,
    heard: Sequence[Heard] | None,
    stamp: Stamp,
) -> Report:
    """Return why ``rule`` did what it did about an event (``RUN-SEQ``; None: the last one), of ``device`` or any.

    ``heard`` are the devices that are known, with what the one that is asked about said last; None: nobody knows them.
    """
    now = moment_of(stamp)
    decisions = seen_of(rule, engine.decisions(rule.id))
    about = [one for one in decisions if device in (None, one.device, one.group) and event in (None, one.event)]
    group = about[-1].group if about else device
    return build_report(
        rule,
        decisions,
        device=device,
        event=event,
        heard=heard,
        now_s=now.boot_s,
        now_wall_s=now.wall_s,
        states=tuple(_states(engine, rule, group, now)),
        notes=tuple(slot.note for slot in engine.slots(rule.id) if slot.group == group and slot.note),
    )


def why_not(rules: RuleSet) -> Callable[[object, str, str | None, Stamp], list[str]]:
    """Return what says in lines why a rule did nothing up to a moment; for tests (`fieldgate_rules.tester`)."""
    known = {rule.id: rule for rule in rules.rules}

    def why(engine: object, rule_id: str, device: str | None, stamp: Stamp) -> list[str]:
        rule = known.get(rule_id)
        if rule is None or not isinstance(engine, Engine):
            return []
        report = explain(engine, rule, device=device, event=None, heard=None, stamp=stamp)
        return list(report_lines(report, has_decisions=False))

    return why


def _states(engine: Engine, rule: Rule, group: str | None, now: Moment) -> Iterator[Part]:
    """How the stages of one group stand now."""
    for slot in engine.slots(rule.id):
        if slot.group != group:
            continue
        for key, values in slot.shown(now).items():
            if text := state_words(rule, key, values, now.boot_s, None):
                yield Part(key, Place.of(place_of(rule, key)), "waits", text)
        for alert in slot.alerts.lasting.values():
            yield Part("alert", Place.of(place_of(rule, "do")), "waits", f"{alert.severity}, {alert.key}: {alert.text}")
