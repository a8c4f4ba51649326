"""Line, column and caret in the file that a person sees, however the condition is written in YAML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from condition_kit import here, scope
from fieldgate_devices.files.document import read_yaml
from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import placed, read_condition, with_caret

STYLES = {
    "plain": "rules:\n  - when: {text}\n",
    "single": "rules:\n  - when: '{text}'\n",
    "double": 'rules:\n  - when: "{text}"\n',
    "flow": "rules: [{{when: {text}}}]\n",
    "folded": "rules:\n  - when: >\n      {text}\n",
    "literal": "rules:\n  - when: |-\n      {text}\n",
    "below": "rules:\n  - when:\n      {text}\n",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "text", ["temperature > 80 and stat > 3", "temperature > 80\n      and (alarm\n      or stat > 3)"]
)
def test_the_place_is_right_in_every_style(style, text):
    content = STYLES[style].format(text=text)
    document = read_yaml(content.encode(), "r.yaml")
    assert document.problems == []
    loc = ("rules", 0, "when")
    written = document.node(loc).content

    (problem,) = read_condition(placed(written, document.where(loc), content), scope("boiler")).problems

    line = content.split("\n")[problem.where.line - 1]
    assert line[problem.where.column - 1 :].startswith("stat > 3")


@pytest.mark.parametrize(
    "content",
    [
        "when: 'state == ''idle'' and stat > 3'",
        'when: "state == \\"idle\\" and stat > 3"',
        'when: "matches(message, r\\"\\\\d\\") and stat > 3"',
        "when: 'matches(message, r\"\\d\") and stat > 3'",
    ],
)
def test_quotes_and_backslashes_do_not_move_the_place(content):
    document = read_yaml(content.encode(), "r.yaml")
    text = placed(document.node(("when",)).content, document.where(("when",)), content)

    (problem,) = read_condition(text, scope("boiler")).problems

    assert content[problem.where.column - 1 :].startswith("stat > 3")


def test_letters_of_several_bytes_count_as_one():
    """Columns are those of an editor."""
    text = 'message == "°°°€😀" and stat > 3'
    (problem,) = read_condition(here(text), scope("boiler")).problems

    assert text[problem.where.column - 1 :].startswith("stat > 3")


def test_the_caret_stands_below_the_place_whatever_is_before_it():
    content = "\twhen: x\n"
    read = read_condition(placed("x", Location("r.yaml", 1, 8), content), scope("boiler"))

    assert with_caret(read.problems[0], content).split("\n")[1:] == ["    \twhen: x", "    \t      ^"]


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.just("\n"), max_size=40),
    st.sampled_from("'\"|>"),
)
def test_every_character_has_a_place_in_the_file(text, style):
    """Laying a value over its file never fails, and a letter lies on itself."""
    shape = {"'": "single", '"': "double", "|": "literal", ">": "folded"}[style]
    lines = [f"  {line}" for line in text.split("\n")]
    content = f"k: {style}\n" + "\n".join(lines) + "\n" if style in "|>" else f"k: {YAML_QUOTE[shape](text)}\n"
    document = read_yaml(content.encode(), "r.yaml")
    node = document.node(("k",))
    if document.problems or node is None or not isinstance(node.content, str):
        return
    laid = placed(node.content, node.at, content)

    assert len(laid.spots) == len(node.content) + 1
    rows = content.split("\n")
    for one, (line, column) in zip(node.content, laid.spots, strict=False):
        assert 1 <= line <= len(rows)
        if one.isalnum() and one.isascii() and style != '"':
            assert rows[line - 1][column - 1] == one


YAML_QUOTE = {
    "single": lambda text: "'" + text.replace("'", "''").replace("\n", " ") + "'",
    "double": lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"',
}


def test_yaml_reads_the_styles_alike():
    """Control: they are the same condition."""
    values = {
        YAML(typ="safe").load(shape.format(text="a > 3"))["rules"][0]["when"].strip() for shape in STYLES.values()
    }

    assert values == {"a > 3"}
