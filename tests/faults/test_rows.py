"""The table of faults in tests/README.md names tests that exist, none of them left out of `make test`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
ROWS = re.findall(r"^\| (\d+) \|(.*)$", (TESTS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_row_of_an_uplinks_faults_is_there() -> None:
    """A row without a test is a promise that nobody keeps."""
    assert [int(row) for row, _ in ROWS] == [*range(33, 50)]


@pytest.mark.parametrize(("row", "text"), ROWS, ids=[row for row, _ in ROWS])
def test_the_tests_of_a_row_exist_and_run_every_time(row: str, text: str) -> None:
    """Renamed, marked as long or thrown away: then the table says so here."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)

    assert named, f"row {row} names no test"
    for file, name in named:
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        (test,) = [node for node in found if node.name == name]
        marks = {ast.unparse(mark) for mark in test.decorator_list}
        assert not marks & {"pytest.mark.long", "pytest.mark.root"}
