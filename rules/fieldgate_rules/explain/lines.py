"""An explanation for a person: plain lines, aligned, without colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fieldgate_rules.condition.explain import shown
from fieldgate_rules.explain.report import ClauseFacts, Part, Place, Report

__all__ = ["report_lines"]

_NOT_ASKED: Final = "not asked any more"


def report_lines(report: Report, *, has_decisions: bool = True) -> Iterator[str]:
    """Return the lines. Places within the rule's own file are written without its name."""
    yield f"rule {report.rule} ({report.where})"
    yield f"  {_headline(report)}"
    if report.parts:
        yield ""
        yield from _parts(report.parts, report.where)
    if report.did:
        yield ""
        rows = [
            (f"do[{one.number}]", _place(one.where, report.where), one.action, _did(one.state, one.text, one.id))
            for one in report.did
        ]
        yield from _table(rows)
    if report.stopped is not None:
        yield ""
        yield str(report.stopped)
    if report.now:
        yield ""
        yield "now"
        yield from _table([(one.key, _place(one.where, report.where), one.text) for one in report.now])
    for note in report.notes:
        yield f"note: {note}"
    if has_decisions and report.decisions:
        yield ""
        count = len(report.decisions)
        yield "the last decision" if count == 1 else f"the last {count} decisions, the newest last"
        yield from _table(
            [("time", "device", "event", "outcome", "")]
            + [
                (one.at or ago(one.ago_s), one.device, one.event, one.outcome.replace("_", " "), one.text)
                for one in report.decisions
            ]
        )


def ago(seconds: float | None) -> str:
    """How long ago something was, for a person."""
    return "" if seconds is None else f"{seconds:.1f} s ago" if seconds < 100 else f"{seconds / 60:.0f} min ago"


def _headline(report: Report) -> str:
    about = [f"device {report.device}"] if report.device else []
    if report.group is not None and report.group != report.device:
        about.append(f"group {report.group!r}" if report.group else "one group for all")
    if report.event:
        about.append(f"event {report.event}")
    if when := report.at or ago(report.ago_s):
        about.append(when)
    said = report.outcome.replace("_", " ")
    return f"{', '.join(about)}: {said}" if about else said


def _did(state: str, text: str, effect: str) -> str:
    said = state.replace("_", " ")
    return f"{said}: {text}{f' (id {effect})' if effect else ''}" if text else said


def _parts(parts: Sequence[Part], home: Place) -> Iterator[str]:
    lines = _table(
        [
            (one.key, _place(one.where, home), one.state, one.text or (_NOT_ASKED if one.state == "skipped" else ""))
            for one in parts
        ]
    )
    for part, line in zip(parts, lines, strict=True):
        yield line
        for clause in part.clauses:
            yield from _clause(clause, 3)


def _clause(clause: ClauseFacts, indent: int) -> Iterator[str]:
    why = f" ({clause.why})" if clause.why else ""
    yield f"{'  ' * indent}{clause.where.short}  {clause.text}  is {shown(clause.value)}{why}"
    for part in clause.parts:
        yield from _clause(part, indent + 1)


def _place(where: Place, home: Place) -> str:
    return where.short if where.file == home.file else str(where)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
