"""SECURITY.md says what is so: every test that it names exists, every item of the baseline is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
ITEMS = re.findall(r"^\| (5\.\d+|6) ([^|]*)\|([^|]*)\|([^|]*)\|$", PAGE, re.MULTILINE)


def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("item", ITEMS, ids=[one[0] for one in ITEMS])
def test_every_item_has_a_control_and_tests_that_exist(item: tuple[str, str, str, str]) -> None:
    """A table that names what is not there is worse than none."""
    _, _, control, tests = item

    named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)

    assert control.strip()
    assert named
    assert [name for file, name in named if name not in names_in(file)] == []


def test_no_item_is_left_out() -> None:
    """What does not apply has a line that says so."""
    assert [one[0] for one in ITEMS] == [*(f"5.{number}" for number in range(1, 14)), "6"]


def test_a_test_that_is_gone_would_be_noticed() -> None:
    """The control: names are looked up, not files."""
    file, name = NAMED[0]

    assert name in names_in(file)
    assert f"{name}_" not in names_in(file)


def test_there_is_a_private_channel_and_a_file_that_points_to_it() -> None:
    """A reporter who finds none writes a public issue."""
    text = (ROOT / "deploy" / "security.txt").read_text(encoding="utf-8")

    assert "Report a vulnerability" in PAGE
    assert "## Supported versions" in PAGE
    assert re.findall(r"^(Contact|Expires): ", text, re.MULTILINE) == ["Contact", "Expires"]
    assert "compliant" not in PAGE.lower()
