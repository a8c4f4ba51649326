"""``rules/README.md``, the author's guide: its tables are those of the code, and every YAML block in it is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldgate_rules.model import RULES_TREE, TemplateSpec
from fieldgate_rules.model.rule import Body
from guide_blocks import blocks
from rule_files_kit import failures_in, read_files
from rules_tables import EXAMPLES, LIBRARY, MARK, MODELS, PAGE, RULES, filled, plain, templates

TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = blocks()
_CASES = re.search(r"<!-- cases -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)[1]
_CASES_FILE = Path(__file__).with_name("cases.yaml")
_WITHOUT_CASES = {"description", "do", "zone", "max_age", "on_replay", "on_restart"}
"""Keys for which that makes no difference, or that are about it."""


def test_the_tables_are_those_of_the_code():
    """`python tests/rules_tables.py` writes them."""
    assert filled(TEXT) == TEXT
    assert {match["name"] for match in MARK.finditer(TEXT) if match["kind"] == "keys"} == set(MODELS)
    kinds = {match["kind"] for match in MARK.finditer(TEXT)}
    assert kinds == {"keys", "library", "examples", "gateway", "limits"}


def test_every_key_of_a_file_is_documented():
    """A key that nobody can look up is found by reading the source, or never."""
    assert {key.owner for key in RULES_TREE.all_keys()} == set(MODELS.values())
    assert [key.path for key in RULES_TREE.all_keys() if not (key.field.description or "").endswith((".", "…"))] == []


def test_every_key_says_what_it_means_when_events_are_missing_repeated_late_or_replayed():
    """Devices lose messages, repeat them, and send them when it is too late; a rule has to be clear about each."""
    keys = {field.alias or name for name, field in Body.model_fields.items()}
    first_cells = "".join(line.split("|")[1] for line in _CASES.splitlines())
    said = set(re.findall(r"`(\w+)", first_cells))

    assert keys - said == _WITHOUT_CASES
    assert {name for name in MODELS["do"].model_fields if name not in ("if_", "log")} <= said


def test_each_row_of_that_table_is_true():
    """A test in ``cases.yaml`` for each, whose name begins with the row's first key."""
    first_keys = [re.search(r"`(?:on: \{)?(\w+)", line)[1] for line in _CASES.splitlines() if line.startswith("| `")]
    shown = {re.match(r"\w+", test["name"])[0] for test in plain(_CASES_FILE)["tests"]}

    assert set(first_keys) - shown == {"drop"}  # sample is of its row
    assert failures_in(_CASES_FILE.read_text(encoding="utf-8"), "cases.yaml") == ""


def test_a_table_that_is_out_of_date_is_noticed():
    """The control: a key that is renamed, and one that is new, change the page."""
    assert filled(TEXT.replace("| `throttle` |", "| `throtle` |")) == TEXT
    assert filled(TEXT.replace("| `absent` | duration |", "")) == TEXT


def test_every_template_of_the_library_and_every_example_is_listed():
    for path, name, _ in templates():
        assert name == path.stem
        assert f"[{name}]({path.relative_to(RULES)})" in TEXT
    for path in EXAMPLES.glob("*.yaml"):
        assert f"[{path.stem}]({path.relative_to(RULES)})" in TEXT
    assert len(list(LIBRARY.glob("*.yaml"))) >= 16
    assert len(list(EXAMPLES.glob("*.yaml"))) >= 10


@pytest.mark.parametrize("line", TEXT.splitlines()[:1] + re.findall(r"^.*\]\([^)]+\).*$", TEXT, re.MULTILINE))
def test_links_lead_somewhere(line):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", line):
        if not target.startswith("http"):
            assert (PAGE.parent / target).exists(), target
    for anchor in re.findall(r"\]\(#([^)]+)\)", line):
        headings = {
            re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in re.findall(r"^#+ (.*)$", TEXT, re.M)
        }
        assert anchor in headings, anchor


def test_a_template_is_documented_as_what_it_adds_to_a_rule():
    assert set(TemplateSpec.model_fields) - set(Body.model_fields) == {"parameters"}


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.problems is None], ids=lambda one: one.name)
def test_a_block_of_the_guide_is_right(block):
    """It is what a reader copies; one with tests does what they say."""
    read = read_files({**block.others, "block.yaml": block.text})

    assert [str(problem) for problem in read.problems] == []
    if block.has_tests:
        assert failures_in(block.text, "block.yaml", block.others) == ""


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.problems is not None], ids=lambda one: one.name)
def test_a_broken_block_has_the_mistakes_that_the_guide_shows(block):
    read = read_files({"boiler.yaml": block.text})

    assert tuple(str(problem) for problem in read.problems) == block.problems


def test_the_guide_has_blocks_of_every_kind():
    """None is overlooked by how it is looked for."""
    assert len(BLOCKS) == TEXT.count("```yaml\n")
    assert sum(one.has_tests for one in BLOCKS) >= 7
    assert sum(one.problems is not None for one in BLOCKS) >= 1
