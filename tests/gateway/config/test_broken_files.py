"""Every way to write a configuration wrongly, and exactly what is said about it.

The cases are in ``broken.txt``, where they can be read as a person meets them: the file, then the problems.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldgate.config import load
from fieldgate.config.loader import read
from fieldgate.config.tree import TREE
from fieldgate.errors import ConfigError


def cases() -> list[object]:
    blocks = Path(__file__).with_name("broken.txt").read_text(encoding="utf-8").split("=== ")[1:]
    params = []
    for block in blocks:
        name, _, rest = block.partition("\n")
        text, _, problems = rest.partition("\n>>>\n")
        params.append(pytest.param(text + "\n", problems.strip("\n").splitlines(), id=name))
    return params


@pytest.fixture(autouse=True)
def _outside_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("FIELDGATE_NOT_SET", raising=False)


@pytest.mark.parametrize(("text", "problems"), cases())
def test_a_broken_file_is_told_by_line_column_and_what_was_allowed(
    tmp_path: Path, text: str, problems: list[str]
) -> None:
    """Whoever wrote it must find the place and know what to write instead."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text(text, encoding="utf-8")

    reading = read(file)

    assert [str(error) for error in reading.errors] == [f"{file}:{problem}" for problem in problems]
    assert reading.loaded is None
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.problems == [f"{file}:{problem}" for problem in problems]


def test_there_are_many_cases() -> None:
    """The table is read from a file; an empty one would test nothing."""
    assert len(cases()) >= 100


def test_problems_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """A person goes through the file once, from top to bottom."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text("journal: {hold: x}\ngateway: {id: a/b}\nlisten: [{lane: x, events: y}]\n", encoding="utf-8")

    places = [(error.where.line, error.where.column) for error in read(file).errors]

    assert places == [(1, 17), (2, 15), (3, 17), (3, 28)]


def test_a_file_that_is_not_there_is_a_problem_of_its_own(tmp_path: Path) -> None:
    """``-c`` with a typing error must not fall back to the defaults."""
    file = tmp_path / "nowhere.yaml"

    with pytest.raises(ConfigError) as caught:
        load(file)

    assert str(caught.value) == f"{file}:1:1: the file cannot be read: no such file or directory"


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    """``-c /etc/fieldgate`` is easily written."""
    with pytest.raises(ConfigError, match=r":1:1: the file cannot be read: is a directory"):
        load(tmp_path)


NAMES = st.sampled_from(sorted({key.name for key in TREE.all_keys()} | {"cloud", "x"}))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1s", "2GB"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=4),
    max_leaves=12,
)
UPLINKS = st.dictionaries(NAMES, st.fixed_dictionaries({"mqtt": VALUES}, optional={"format": VALUES, "batch": VALUES}))
FILES = st.fixed_dictionaries(
    {}, optional={"gateway": VALUES, "listen": VALUES, "uplinks": UPLINKS | VALUES, "journal": VALUES, "x": VALUES}
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES)
def test_whatever_is_written_is_loaded_or_told_with_its_place(tmp_path: Path, content: dict[str, object]) -> None:
    """No combination of wrong values may end in a traceback, and none is accepted with an error."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")

    reading = read(file)

    assert (reading.loaded is None) == bool(reading.errors)
    assert all(str(error).startswith(f"{file}:1:") for error in reading.errors)
    assert reading.errors == sorted(set(reading.errors))
