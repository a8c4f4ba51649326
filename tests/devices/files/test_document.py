"""Reading YAML: only plain values come out, each with its place, and nothing that is read can hurt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fieldgate_devices.files.document import MAX_FILE_BYTES, read_yaml


def problems(content: bytes) -> list[str]:
    return [str(problem) for problem in read_yaml(content, "f.yaml").problems]


def test_a_bomb_of_aliases_is_refused_where_it_goes_off() -> None:
    """Nine lines can stand for a thousand million values (FAULTS 77)."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]

    document = read_yaml("\n".join(lines).encode(), "f.yaml")

    assert document.root is None
    assert [str(problem) for problem in document.problems] == [
        "f.yaml:5:8: the file holds too many values, aliases written out; allowed: 20000"
    ]


@pytest.mark.parametrize("opener", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_before_it_exhausts_the_stack(opener: str) -> None:
    """100,000 brackets fit into a small file."""
    document = read_yaml((opener * 100_000).encode(), "f.yaml")

    assert document.root is None
    assert "are nested too deep; allowed: 24 levels" in str(document.problems[0])


def test_a_file_above_one_mebibyte_is_refused_unread() -> None:
    """Ten megabytes of YAML would keep the gateway from starting for minutes."""
    assert problems(b"#" * (MAX_FILE_BYTES + 1)) == ["f.yaml:1:1: the file has 1048577 bytes; allowed: 1048576 (1MiB)"]
    assert problems(b"#" * MAX_FILE_BYTES) == []


def test_what_is_not_utf_8_is_told_by_its_place() -> None:
    """A file saved by an old editor."""
    assert problems("gateway:\n  id: größe\n".encode("latin-1")) == [
        "f.yaml:2:9: the byte 0xf6 is not UTF-8; save the file as UTF-8"
    ]


def test_a_control_character_is_told_by_its_place() -> None:
    """It cannot be seen in an editor."""
    assert problems(b"gateway:\n  id: a\x07b\n") == ["f.yaml:2:8: the character '\\x07' is not allowed in YAML"]


def test_half_a_character_and_nul_cannot_be_written_by_an_escape_either() -> None:
    """Both end in a traceback later: where a file is opened or a text becomes bytes."""
    assert problems(b'a: "\\0"\n"\\ud800": x\n') == [
        "f.yaml:1:4: the character '\\x00' is not allowed",
        "f.yaml:2:1: the character '\\ud800' is not allowed",
    ]


def test_a_byte_order_mark_does_no_harm() -> None:
    """Windows editors write one."""
    document = read_yaml("\ufeffa: 1\n".encode(), "f.yaml")

    assert document.root is not None
    assert document.root.value() == {"a": 1}
    assert document.problems == []


def test_words_stay_words_as_yaml_1_2_has_it() -> None:
    """`on`, `no` and `12:30` are device names and topics here; YAML 1.1 made them true, false and 750."""
    text = "{on: no, yes: off, t: 12:30, d: 2024-01-01, o: 010, n: 0o10, x: 0x1F, f: 1e3, u: 1_000, z: ~, b: True}"

    document = read_yaml(text.encode(), "f.yaml")

    assert document.root is not None
    assert document.root.value() == {
        "on": "no",
        "yes": "off",
        "t": "12:30",
        "d": "2024-01-01",
        "o": 10,
        "n": 8,
        "x": 31,
        "f": 1000.0,
        "u": "1_000",
        "z": None,
        "b": True,
    }


def test_what_stands_under_a_private_key_is_not_shown_in_any_problem() -> None:
    """A password that begins with * or ! is a YAML error, and the error must not tell it."""
    lines = ["a: {password: *hunter2}", "b: {password: !hunter2 x}", "c: {password: {hunter2: 1, hunter2: 2}}"]

    document = read_yaml("\n".join(lines).encode(), "f.yaml", private_keys=frozenset({"password"}))

    assert len(document.problems) == 3
    assert not any("hunter2" in str(problem) for problem in document.problems)


def test_every_value_and_key_knows_its_place() -> None:
    """All messages rest on it."""
    document = read_yaml(b"listen:\n  - mqtt: a\n    events: [x,\n      y]\n", "f.yaml")

    assert str(document.where(("listen", 0, "mqtt"))) == "f.yaml:2:11"
    assert str(document.where(("listen", 0, "events", 1))) == "f.yaml:4:7"
    assert str(document.where_key(("listen", 0, "events"))) == "f.yaml:3:5"
    assert str(document.where(("listen", 0, "lane"))) == "f.yaml:2:5"  # absent: the mapping that could hold it


@settings(deadline=None)
@given(st.text(alphabet="ab:- \n\t{}[],&*!'\"#|>?%@`\\x0<~.", max_size=60))
def test_any_text_gives_a_document_or_problems_and_agrees_with_ruamel(text: str) -> None:
    """What somebody typed by accident must never end in a traceback; what we accept means what YAML says."""
    document = read_yaml(text.encode(), "f.yaml")

    if document.root is not None and not document.problems and "&" not in text:
        assert document.root.value() == _by_ruamel(text)


def _by_ruamel(text: str) -> object:
    """The same document by ruamel's own constructor, where keys are texts too."""
    value = YAML(typ="base", pure=True).load(text)
    document = read_yaml(text.encode(), "f.yaml").root
    assert document is not None
    return _same_shape(document.value(), value)


def _same_shape(ours: object, theirs: object) -> object:
    """``theirs`` holds every scalar as text; check keys and lengths, and take our scalars."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict)
        assert list(ours) == list(theirs)
        return {key: _same_shape(ours[key], value) for key, value in theirs.items()}
    if isinstance(theirs, list):
        assert isinstance(ours, list)
        return [_same_shape(our, their) for our, their in zip(ours, theirs, strict=True)]
    return ours


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_document_or_problems(content: bytes) -> None:
    """A half-written or foreign file is a problem with a place, not a crash."""
    document = read_yaml(content, "f.yaml")

    assert document.root is not None or document.problems
