"""The interoperability table: who did what, from the reports of the tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interop_kit.lacks import LACKS

__all__ = ["PROPERTY", "table_lines"]

PROPERTY = "interop"  # of a test's report: (table, row, column)
_WORDS = {"passed": "ok", "failed": "FAILED", "error": "FAILED", "skipped": "skipped", "xfailed": "not yet"}


def table_lines(stats: dict[str, list[Any]]) -> list[str]:
    """The tables of all tests that said where they belong, one below the other, and why a cell is empty."""
    tables: dict[str, dict[tuple[str, str], str]] = {}
    for outcome, word in _WORDS.items():
        for report in stats.get(outcome, ()):
            for table, row, column in _places(report):
                tables.setdefault(table, {})[row, column] = word
    lines = [line for name, cells in sorted(tables.items()) for line in (name, *_lines(cells))]
    rows = {row for cells in tables.values() for row, _ in cells}
    return lines + [
        f"– {library}, {row}: {why}" for library, lacks in LACKS.items() for row, why in lacks.items() if row in rows
    ]


def _places(report: Any) -> Iterable[tuple[str, str, str]]:
    return [tuple(value) for name, value in getattr(report, "user_properties", ()) if name == PROPERTY]


def _lines(cells: dict[tuple[str, str], str]) -> list[str]:
    rows = list(dict.fromkeys(row for row, _ in cells))
    columns = sorted({column for _, column in cells})
    widths = [max(len(column), 7) for column in columns]
    first = max(len(row) for row in rows)
    lines = ["  ".join(["".ljust(first), *(name.ljust(width) for name, width in zip(columns, widths, strict=True))])]
    for row in rows:
        words = [cells.get((row, name), "–").ljust(width) for name, width in zip(columns, widths, strict=True)]
        lines.append("  ".join([row.ljust(first), *words]))
    return [line.rstrip() for line in lines]
