"""``gateway/CONFIG.md`` has every key of the configuration, with what it means and what it takes to change it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, get_origin

import pytest
from pydantic import Field

import fieldgate
from config_tables import MARK, PAGE, filled, tables_wanted
from fieldgate.config import Config
from fieldgate.config.changes import compare
from fieldgate.config.tree import TREE
from fieldgate_devices.files.model_tree import Key, ModelTree, section_of
from fieldgate_devices.files.section import Section

TEXT: Final = PAGE.read_text(encoding="utf-8")
KEYS: Final = list(TREE.all_keys())
SOURCES: Final = Path(fieldgate.__file__).parent
CELL: Final = r" ((?:[^|\\]|\\.)*) \|"
ROWS: Final = {row[1]: row for row in re.finditer(rf"^\| `([a-z][^`]+)` \|{CELL * 4}$", TEXT, re.MULTILINE)}
VARIABLE: Final = re.compile(r"\benv(?:iron)?(?:\.get\(|\[)\"([A-Z_]+)\"|\"([A-Z_]+)\" in env\b")


def undocumented(keys: Iterable[Key]) -> Iterator[str]:
    """What nobody can look up: a key without a row, or with one that says nothing."""
    for key in keys:
        row = ROWS.get(key.path)
        if row is None or not (key.field.description or "").endswith(".") or len(row[5]) < 10 or not all(row.groups()):
            yield key.path


def without_example(keys: Iterable[Key]) -> Iterator[str]:
    """Of which a reader cannot see how a value looks."""
    for key in keys:
        row = ROWS[key.path]
        is_shown = "Such as `" in row[5] or row[3].startswith("`") or row[2].startswith("`")
        if not is_shown and section_of(key.field.annotation) is None:
            yield key.path


def test_the_tables_are_those_of_the_models() -> None:
    """`python tests/config_tables.py` writes them."""
    assert filled(TEXT) == TEXT
    assert [match["name"] for match in MARK.finditer(TEXT)] == list(tables_wanted())


def test_every_key_is_there_and_says_what_it_means() -> None:
    """Somebody has a file of a colleague before him, and a key in it that he does not know."""
    assert len(KEYS) > 200
    assert list(undocumented(KEYS)) == []
    assert list(without_example(KEYS)) == []


class _Renamed(Section):
    """Two keys that nobody has written down."""

    id: str = Field("", description="Name of this gateway: part of every event's id.")
    speed: int = Field(1, description="How fast it goes.")


class _Mutant(Config):
    """A new section, and a known key that lost its description."""

    renamed: _Renamed = Field(default_factory=_Renamed, description="A section.")
    vitals: _Renamed = Field(default_factory=_Renamed)


def test_a_key_that_is_not_written_down_or_says_nothing_is_noticed() -> None:
    """The mutant: new keys in a new section, and one without a description."""
    found = list(undocumented(ModelTree(_Mutant, name="mutant").all_keys()))

    assert found == ["vitals", "vitals.id", "vitals.speed", "renamed", "renamed.id", "renamed.speed"]


def test_a_table_that_is_out_of_date_is_noticed() -> None:
    """The control: a default that somebody changed on the page, and a row that is gone."""
    stale = TEXT.replace("| `200ms` |", "| `300ms` |").replace(ROWS["journal.path"][0] + "\n", "")

    assert stale != TEXT
    assert filled(stale) == TEXT


def whole(section: type[Section]) -> Section:
    """A section in which every key has a value and no list is empty, whatever its values are."""
    return section.model_construct(**{name: _full(field.annotation) for name, field in section.model_fields.items()})


def _full(annotation: Any) -> object:
    section = section_of(annotation)
    if section is None:
        return "old"
    if "tuple" in str(annotation):
        return (whole(section),)
    return {"NAME": whole(section)} if get_origin(annotation) is dict else whole(section)


def with_new(old: Any, path: list[str]) -> Any:
    """`old` with something else at `path`; of an optional section, without it."""
    if isinstance(old, tuple):
        return (with_new(old[0], path), *old[1:]) if path else (*old, "new")
    if isinstance(old, dict):
        return {"NAME": with_new(old["NAME"], path[1:])} if path else {**old, "new": "new"}
    if not path:
        return None if isinstance(old, Section) else "new"
    return old.model_copy(update={path[0]: with_new(getattr(old, path[0]), path[1:])})


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_what_it_takes_to_change_a_key_is_what_a_reload_says(key: Key) -> None:
    """An operator plans a restart, or is spared one."""
    running = whole(Config)
    written = with_new(running, key.path.replace("[]", "").split("."))
    assert isinstance(running, Config)

    changes = compare(running, written)

    assert len(changes.counts) + len(changes.needs_restart) == 1
    mark = "reload" if changes.counts else "restart"
    is_always_there = isinstance(key.field.annotation, type) and issubclass(key.field.annotation, Section)
    assert ROWS[key.path][4] == ("–" if is_always_there else mark)


def test_both_kinds_of_keys_are_there() -> None:
    """The control of the test above: it would not notice a page, and a comparison, that knew one kind only."""
    assert ROWS["uplinks.NAME.rate"][4] == ROWS["listen[].tls.key"][4] == "reload"
    assert ROWS["journal.max_size"][4] == ROWS["listen[].auth"][4] == "restart"


def variables_of(text: str) -> set[str]:
    """Names of the environment variables that a source file looks at."""
    return {match[1] or match[2] for match in VARIABLE.finditer(text)}


def test_every_environment_variable_is_there() -> None:
    """What changes a gateway must not be found by accident."""
    used = set().union(*(variables_of(path.read_text(encoding="utf-8")) for path in SOURCES.rglob("*.py")))
    chapter = TEXT.partition("## Environment variables")[2]
    told = set(
        re.findall(r"`([A-Z_]{5,})`", "".join(line.split("|")[1] for line in chapter.splitlines() if "|" in line))
    )

    assert len(used) > 8
    assert used == told


def test_a_new_environment_variable_is_noticed() -> None:
    """The mutant of the test above, in each form."""
    text = 'os.environ.get("NEW_ONE")\nos.environ["NEW_TWO"]\nenv.get("NEW_THREE", "")\nif "NEW_FOUR" in env:\n'

    assert variables_of(text) == {"NEW_ONE", "NEW_TWO", "NEW_THREE", "NEW_FOUR"}
