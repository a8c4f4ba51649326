"""What the running gateway answers about its rules: how they stand, reading them again, ending alerts by hand."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from fieldgate.control import Answer, ControlError, Handler
from fieldgate.pipeline import Pipeline
from fieldgate.rule_files import RulesClosed

if TYPE_CHECKING:
    from fieldgate_rules.rule import Rule

__all__ = ["rule_handlers", "rules_facts"]

_MAX_ALERTS: Final = 1_000  # of one rule, in an answer
_AT_ONCE: Final = 20  # rules, until the loop does other things


class _List(msgspec.Struct, forbid_unknown_fields=True):
    """``alerts``: so many of each rule at the most."""

    rule: str | None = None
    alerts: Annotated[int, msgspec.Meta(ge=0, le=_MAX_ALERTS)] = 20


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Resolve(msgspec.Struct, forbid_unknown_fields=True):
    """``key`` None: all alerts of the rule."""

    rule: str
    key: str | None = None


def rule_handlers(pipeline: Pipeline) -> dict[str, Handler]:
    """Return the answer to each request by its name."""
    return {
        "rules.list": partial(_list, pipeline),
        "rules.reload": partial(_reload, pipeline),
        "rules.resolve": partial(_resolve, pipeline),
    }


def rules_facts(pipeline: Pipeline) -> dict[str, Any]:
    """The rules in force, as ``status`` has them; counts are since the start.

    ``problems`` is why what is in the folder is not, or not all, in force.
    """
    desk = pipeline.rules
    rules, engine, actuator = desk.host.rules.rules, desk.host.engine, desk.host.actuator
    enabled = [rule for rule in rules if rule.spec.enabled]
    tallies = [] if engine is None else [engine.tally(rule.id) for rule in rules]
    keeper = desk.keeper
    return {
        "count": len(rules),
        "enabled": len(enabled),
        "shadow": sum(rule.is_shadow for rule in enabled),
        "fired": sum(one.fired for one in tallies),
        "suppressed": sum(one.suppressed for one in tallies),
        "errors": sum(one.errors for one in tallies),
        "alerts": 0 if engine is None else engine.alert_count(),
        "done": dict(actuator.counts),
        "folder": str(pipeline.config.rules.path),
        "problems": list(desk.files.problems),
        "warnings": list(desk.files.loaded.warnings),
        "stored": {
            "is_behind": keeper.is_behind,
            "commits": keeper.commits,
            "bytes": keeper.written_bytes,
            "problem": keeper.problem,
        },
    }


async def _list(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Each rule in force, or one, with its counts and the first of the alerts that last.

    What is made of one rule is bounded, and after some of them the loop does other things: it holds up nobody.
    """
    asked = msgspec.convert(request, _List)
    engine = pipeline.rules.host.engine
    for number, rule in enumerate(_chosen(pipeline, asked.rule), 1):
        assert engine is not None  # there is a rule
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        tally = engine.tally(rule.id)
        first = islice(engine.alerts(rule.id), asked.alerts)
        yield {
            "rule": rule.id,
            "where": str(rule.where),
            "description": rule.spec.description,
            "enabled": rule.spec.enabled,
            "mode": rule.spec.mode,
            "fired": tally.fired,
            "suppressed": tally.suppressed,
            "stopped": tally.stopped,
            "errors": tally.errors,
            "last_error": tally.last_error,
            "not_done": pipeline.rules.host.actuator.refused[rule.id],
            "alert_count": engine.alert_count(rule.id),
            "alerts": [
                {"key": one.key, "group": one.group, "severity": one.severity, "text": one.text} for one in first
            ],
        }


async def _reload(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Read the folder now, without waiting for it to be quiet."""
    msgspec.convert(request, _Nothing)
    try:
        problems = await pipeline.rules.files.reload()
    except RulesClosed as error:
        raise ControlError(str(error)) from error
    yield {"rules": len(pipeline.rules.host.rules.rules), "problems": list(problems)}


async def _resolve(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    asked = msgspec.convert(request, _Resolve)
    _chosen(pipeline, asked.rule)
    yield {"rule": asked.rule, "resolved": pipeline.rules.resolve(asked.rule, asked.key)}


def _chosen(pipeline: Pipeline, rule_id: str | None) -> list[Rule]:
    rules = pipeline.rules.host.rules.rules
    chosen = [rule for rule in rules if rule_id in (None, rule.id)]
    if rule_id is not None and not chosen:
        raise ControlError(f"there is no rule {rule_id!r}")
    return chosen
