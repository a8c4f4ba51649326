"""Paths into a message."""

from __future__ import annotations

import pytest

from fieldgate_devices.decoders.path import MISSING, Path

MESSAGE = {"a": {"b.c": [10, {"d": None}]}, "0": "zero", "sensors": {"t:0": 1}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".", MESSAGE),
        ("0", "zero"),
        (r"a.b\.c.0", 10),
        (r"a.b\.c.1.d", None),
        ("sensors.t:0", 1),
        ("a.x", MISSING),
        (r"a.b\.c.2", MISSING),
        (r"a.b\.c.x", MISSING),
        (r"a.b\.c.-1", MISSING),
        ("0.x", MISSING),
        (r"a.b\.c.99999999999999999999", MISSING),
        (r"a.b\.c.²", MISSING),
    ],
)
def test_a_path_leads_to_a_value_or_to_nothing(path: str, found: object) -> None:
    assert Path.parse(path).find(MESSAGE) == found  # type: ignore[arg-type]  # a plain value
    assert str(Path.parse(path)) == path


@pytest.mark.parametrize("text", ["", "a.", ".a", "a..b", "a\\", "a" * 300])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        Path.parse(text)


def test_what_is_left_out_leaves_the_message_as_it_was() -> None:
    message = {"a": {"b": 1, "c": 2}, "d": 3}

    rest = Path.parse("a.b").without(message)  # type: ignore[arg-type]  # a plain value

    assert rest == {"a": {"c": 2}, "d": 3}
    assert message == {"a": {"b": 1, "c": 2}, "d": 3}
