"""From decisions to an explanation: the one that is asked for, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from fieldgate_rules.condition import Facts
from fieldgate_rules.explain.clauses import because, culprits
from fieldgate_rules.explain.parts import stop_of, the_did, the_parts
from fieldgate_rules.explain.report import Part, Place, Report, Row, Stop, clause_facts
from fieldgate_rules.explain.seen import Seen
from fieldgate_rules.explain.triggers import Heard, TriggerAnswer, place_of, trigger_answers
from fieldgate_rules.rule import CronTrigger, EventTrigger, Rule

__all__ = ["build_report"]

_NEVER: Final = "never_asked"
_ROWS: Final = 50  # there is one of each device, too, however many there are


def build_report(
    rule: Rule,
    decisions: Sequence[Seen],
    *,
    device: str | None,
    event: str | None,
    heard: Sequence[Heard] | None,
    now_s: float,
    now_wall_s: float | None,
    states: tuple[Part, ...] = (),
    notes: tuple[str, ...] = (),
) -> Report:
    """Explain what ``rule`` decided about ``event`` (None: the last), of ``device`` (None: whichever it was).

    ``decisions`` are those that are kept, the newest last; ``heard`` are all devices. ``now_s`` is boot time.
    """
    about = [one for one in decisions if device in (None, one.device, one.group)]
    rows = tuple(_row(rule, one, now_s) for one in about[-_ROWS:])
    found = [one for one in about if event in (None, one.event)]
    if found:  # of a window it is asked what came of it, not that one more event is in the next one
        seen = next((one for one in reversed(found) if one.outcome != "gathered"), found[-1])
        return Report(
            rule=rule.id,
            where=Place.of(rule.where),
            device=seen.device or None,
            group=seen.group,
            event=seen.event,
            at=_utc(seen.wall_s),
            ago_s=max(0.0, now_s - seen.boot_s),
            outcome=seen.outcome,
            parts=the_parts(rule, seen),
            did=the_did(rule, seen),
            stopped=stop_of(rule, seen),
            now=states,
            notes=notes,
            decisions=rows,
        )
    if event is not None:
        notes = (f"no decision about event {event} is known: the rule was not asked, or it was long ago", *notes)
    return _never(rule, device, event, heard, now_s, now_wall_s, states, notes, rows)


def _never(
    rule: Rule,
    device: str | None,
    event: str | None,
    heard: Sequence[Heard] | None,
    now_s: float,
    now_wall_s: float | None,
    states: tuple[Part, ...],
    notes: tuple[str, ...],
    rows: tuple[Row, ...],
) -> Report:
    """Why there is no decision, as far as the rule itself can tell."""
    of_device = None if heard is None else [one for one in heard if one.device == device]
    answers = list(_of_all(rule, heard or ())) if device is None else trigger_answers(rule, device, of_device)
    if now_wall_s is None:
        answers = [_without_time(rule, number, answer) for number, answer in enumerate(answers)]
    parts = [_trigger_part(number, answer) for number, answer in enumerate(answers)]
    stopped: Stop | None = None
    if not rule.spec.enabled:
        where = Place.of(place_of(rule, "enabled"))
        parts.insert(0, Part("enabled", where, "stopped", "the rule is disabled"))
        stopped = Stop(where, "enabled", "the rule is disabled")
    elif answers and not any(answer.takes for answer in answers):
        stopped = Stop(Place.of(answers[0].where), "on", answers[0].text)
    if of_device and rule.when is not None and any(answer.takes for answer in answers):
        notes = ("it is taken, but nothing has come of it since the rule is in force", *notes)
    parts += list(_would_say(rule, of_device or (), now_s, now_wall_s))
    return Report(
        rule=rule.id,
        where=Place.of(rule.where),
        device=device,
        group=None,
        event=event or "",
        at=None,
        ago_s=None,
        outcome=_NEVER,
        parts=tuple(parts),
        stopped=stopped,
        now=states,
        notes=notes,
        decisions=rows,
    )


def _without_time(rule: Rule, number: int, answer: TriggerAnswer) -> TriggerAnswer:
    if not isinstance(rule.triggers[number], CronTrigger):
        return answer
    where = place_of(rule, f"on[{number}].cron", f"on[{number}]", "on")
    return TriggerAnswer(False, f"{answer.text}; nobody knows the time yet", where)


def _trigger_part(number: int, answer: TriggerAnswer) -> Part:
    return Part(f"on[{number}]", Place.of(answer.where), "passed" if answer.takes else "stopped", answer.text)


def _of_all(rule: Rule, heard: Sequence[Heard]) -> Iterator[TriggerAnswer]:
    """What each trigger takes of all devices that were heard."""
    count = len({one.device for one in heard})
    for number, trigger in enumerate(rule.triggers):
        if not isinstance(trigger, EventTrigger):
            yield trigger_answers(rule, "", ())[number]
            continue
        taken = len({one.device for one in heard if trigger.takes(one.type, one.device, one.lane or 0)})
        said = f"takes {taken} of {count} devices that were heard" if count else "nothing that it takes has come"
        yield TriggerAnswer(taken > 0, said, place_of(rule, f"on[{number}]", "on"))


def _would_say(rule: Rule, heard: Sequence[Heard], now_s: float, now_wall_s: float | None) -> Iterator[Part]:
    """The condition, about what the device said last."""
    if rule.when is None or not heard:
        return
    newest = min(heard, key=lambda one: float("inf") if one.age_s is None else one.age_s)
    clause = rule.when.explain(Facts(newest.fields, newest.device, now_s, now_wall_s))
    said = "; ".join(because(one) for one in culprits(clause))
    where = Place.of(place_of(rule, "when"))
    yield Part("when", where, "skipped", f"of what it said last, {said}", (clause_facts(clause),))


def _row(rule: Rule, seen: Seen, now_s: float) -> Row:
    stopped = stop_of(rule, seen)
    text = "" if stopped is None else f"{stopped.where.short} {stopped.key}: {stopped.text}"
    return Row(
        _utc(seen.wall_s), max(0.0, now_s - seen.boot_s), seen.group, seen.device, seen.event, seen.outcome, text
    )


def _utc(wall_s: float | None) -> str | None:
    if wall_s is None:
        return None
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
