"""The tables of faults in tests/README.md name tests that exist, one of each row at least in what needs no root."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
ROWS = re.findall(r"^\| (\d+)\b[^|]*\|(.*)$", (TESTS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def marks_of(file: str, name: str) -> set[str]:
    """The marks of a test and of its file, as written.

    Raises:
        ValueError: there is no such test, or there are several.
    """
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    (test,) = [node for node in found if node.name == name]
    marks = [ast.unparse(mark) for mark in test.decorator_list]
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            listed = node.value.elts if isinstance(node.value, ast.List) else [node.value]
            marks += [ast.unparse(mark) for mark in listed]
    return set(marks)


def test_every_row_is_there() -> None:
    """A row without a test is a promise that nobody keeps."""
    assert sorted(int(row) for row, _ in ROWS) == [*range(33, 50), *range(53, 80)]


@pytest.mark.parametrize(("row", "text"), ROWS, ids=[row for row, _ in ROWS])
def test_the_tests_of_a_row_exist_and_run_every_time(row: str, text: str) -> None:
    """Renamed, marked as long or thrown away: then the table says so here. What needs root comes on top."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)

    marks = [marks_of(file, name) for file, name in named]

    assert not any("pytest.mark.long" in each for each in marks)
    assert any("pytest.mark.root" not in each for each in marks), f"row {row} names no test that runs without root"


@pytest.mark.parametrize(
    ("file", "mark"),
    [("faults/test_packet_loss.py", "pytest.mark.root"), ("faults/test_memory.py", "pytest.mark.root")],
)
def test_a_mark_is_seen_on_the_test_and_on_its_file(file: str, mark: str) -> None:
    """The control: a check that saw only decorators took what is marked by file for a test of every run."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    names = [getattr(node, "name", "") for node in tree.body]

    assert any(mark in marks_of(file, name) for name in names if name.startswith("test_"))
