"""CONFORMANCE.md is complete and true: every statement of MQTT 5.0 and 3.1.1 has a test that claims it or a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from conformance_table import BY_HAND, PREFIXES, STATUSES, TABLE, Row, claims, filled, read_table, summary, written

# How many statements each section has; numbers begin with 1, but for the one that the standard passes over.
MQTT_5 = {
    "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": 6, "2.2.2": 1, "3.1.0": 2, "3.1.2": 30,
    "3.1.3": 12, "3.1.4": 6, "3.2.0": 2, "3.2.2": 22, "3.3.1": 13, "3.3.2": 20, "3.3.4": 10, "3.4.2": 3,
    "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3, "3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2,
    "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.11.2": 2, "3.11.3": 2, "3.12.4": 1, "3.14.0": 1,
    "3.14.1": 1, "3.14.2": 4, "3.14.4": 3, "3.15.1": 1, "3.15.2": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1,
    "4.3.2": 5, "4.3.3": 13, "4.4.0": 2, "4.5.0": 2, "4.6.0": 6, "4.7.0": 1, "4.7.1": 2, "4.7.2": 1,
    "4.7.3": 4, "4.8.2": 6, "4.9.0": 3, "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1, "6.0.0": 4,
}  # fmt: skip
MQTT_311 = {
    "1.5.3": 3, "2.2.2": 2, "2.3.1": 7, "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5, "3.2.0": 1,
    "3.2.2": 6, "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1, "3.8.1": 1, "3.8.3": 4,
    "3.8.4": 6, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.12.4": 1, "3.14.1": 1, "3.14.4": 3,
    "4.1.0": 2, "4.3.1": 1, "4.3.2": 2, "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6, "4.7.1": 3,
    "4.7.2": 1, "4.7.3": 4, "4.8.0": 2, "6.0.0": 4, "7.0.0": 2, "7.1.1": 1, "7.1.2": 1,
}  # fmt: skip
PASSED_OVER = {"MQTT5-2.2.1-1"}


def _expected() -> list[str]:
    numbered = [("MQTT5", MQTT_5), ("MQTT311", MQTT_311)]
    names = [
        f"{prefix}-{section}-{number}"
        for prefix, sections in numbered
        for section, last in sections.items()
        for number in range(1, last + 1)
    ]
    return [name for name in names if name not in PASSED_OVER]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_table(TABLE.read_text(encoding="utf-8"))


@cache
def _claims() -> dict[str, dict[str, bool]]:
    return claims()


def faults(rows: list[Row], claimed: dict[str, dict[str, bool]]) -> list[str]:
    """What is wrong with the table, in words."""
    found = []
    names = [row.clause for row in rows]
    found += [f"{name} is missing" for name in _expected() if name not in names]
    found += [f"{name} is no statement of the standard" for name in names if name not in _expected()]
    found += [f"{name} stands twice" for name in sorted({name for name in names if names.count(name) > 1})]
    found += [
        f"{name} is claimed by {sorted(tests)} and is no statement"
        for name, tests in claimed.items()
        if name not in names
    ]
    for row in rows:
        if row.who not in ("server", "client", "both") or row.status not in STATUSES or not row.statement:
            found.append(f"{row.clause} has no valid side, status or wording")
        if row.status in BY_HAND and not row.note:
            found.append(f"{row.clause} is {row.status} and does not say why")
        if row.status == "missing" and not row.note:
            found.append(f"{row.clause} is neither tested nor says why not")
        if filled(row, claimed.get(row.clause, {})) != row:
            found.append(f"{row.clause} is not what the tests say; run tests/conformance_table.py")
    return found


def test_every_statement_is_there_and_has_a_test_or_a_reason(rows: list[Row], figure: Callable[[str], None]) -> None:
    """392 promises; whoever reads one of them can run its test."""
    assert faults(rows, _claims()) == []
    assert written(TABLE.read_text(encoding="utf-8"), rows) == TABLE.read_text(encoding="utf-8")
    for name, prefix in PREFIXES.items():
        figure(f"{name}: {summary(rows, prefix)}")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[:7] + rows[8:], "is missing"),
        (lambda rows: [*rows, rows[3]], "stands twice"),
        (lambda rows: [replace(rows[0], clause="MQTT5-1.5.4-4"), *rows[1:]], "is no statement"),
        (lambda rows: [replace(row, note="") for row in rows], "does not say why"),
        (lambda rows: [replace(rows[0], tests=("tests/none.py::test_none",)), *rows[1:]], "not what the tests say"),
        (lambda rows: [replace(rows[0], tests=(), status="missing", note=""), *rows[1:]], "neither tested"),
        (lambda rows: [replace(rows[0], who="nobody"), *rows[1:]], "no valid side"),
    ],
)
def test_a_mutant_of_the_table_is_noticed(rows: list[Row], spoil: Callable[[list[Row]], list[Row]], words: str) -> None:
    """A check that lets everything pass checks nothing."""
    assert any(words in fault for fault in faults(spoil(rows), _claims()))


def test_a_test_that_claims_what_is_expected_to_fail_does_not_show_it() -> None:
    """Nor does a test of one side show a statement that binds both."""
    row = Row("MQTT5-9.9.9-1", "both", "words", "tested", "", ())
    server, client = "tests/conformance/test_x.py::test_x", "tests/conformance/test_client_x.py::test_x"

    assert filled(row, {server: False, client: False}).status == "tested"
    assert filled(row, {server: False, client: True}).status == "missing"
    assert filled(row, {server: False}).status == "missing"
    assert filled(replace(row, note="client: sends none"), {server: False}).status == "tested"
    assert filled(replace(row, note="client: sends none"), {}).status == "missing"
