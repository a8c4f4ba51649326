"""``framing:`` in a file: what is right makes a framer, what is wrong is said with its place."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from fieldgate_devices.files.document import read_yaml
from fieldgate_devices.framing import (
    Frame,
    FramingSpec,
    UnknownFraming,
    framer_of,
    framing_names,
    make_framer,
    options_class,
    read_framing,
)

SPEC: TypeAdapter[dict[str, object]] = TypeAdapter(FramingSpec)


def problems_of(text: str) -> list[str]:
    document = read_yaml(textwrap.dedent(text).encode(), "f.yaml")
    assert document.root is not None
    content = document.root.value()
    assert isinstance(content, dict)
    _, problems = read_framing(SPEC.validate_python(content["framing"]), ("framing",), document)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    "text", ["framing: lines", "framing: {lines: }", "framing: {lines: {end: cr, max_length: 2KiB}}"]
)
def test_a_framing_is_a_name_or_a_name_with_options(text: str) -> None:
    assert problems_of(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("framing: line", "f.yaml:1:10: unknown framing 'line'; did you mean 'lines'?"),
        ("framing:\n  linse: {}", "f.yaml:2:3: unknown framing 'linse'; did you mean 'lines'?"),
        (
            "framing:\n  lines:\n    max_lenght: 12",
            "f.yaml:3:5: unknown key 'max_lenght'; did you mean 'max_length'?",
        ),
        (
            "framing:\n  lines:\n    end: lfcr",
            "f.yaml:3:10: end: 'lfcr' is not known; allowed: any, lf, cr, crlf; did you mean 'lf'?",
        ),
        (
            "framing: {lines: {give_up_after: 5}}",
            "f.yaml:1:34: give_up_after: 5 has no unit; "
            "write a number and its unit without a space, such as 200ms, 5s, 10m, 24h, 7d",
        ),
        (
            "framing: {lines: {check: {crc: CRC-16/MODBUSS}}}",
            "f.yaml:1:32: name: 'CRC-16/MODBUSS' is no CRC of the catalogue; did you mean 'CRC-16/MODBUS'?",
        ),
        (
            "framing: {lines: {check: {order: little}}}",
            "f.yaml:1:26: check: a check is either a crc or a sum",
        ),
        (
            "framing: {lines: {check: CRC-99}}",
            "f.yaml:1:26: name: 'CRC-99' is no CRC of the catalogue; did you mean 'CRC-B'?",
        ),
        (
            "framing: {lines: {check: {crc: {width: 16}}}}",
            "f.yaml:1:32: crc: a CRC has a name, or width and poly; an example: CRC-16/MODBUS",
        ),
        (
            "framing: {lines: {check: {crc: {name: CRC-16/MODBUS, init: 1}}}}",
            "f.yaml:1:32: crc: init belongs to a CRC without a name: the catalogue says it of CRC-16/MODBUS",
        ),
        (
            "framing: {lines: {check: {crc: {width: 16, poly: 0x18005}}}}",
            "f.yaml:1:32: crc: poly has more than 16 bits (width)",
        ),
    ],
)
def test_a_mistake_is_named_at_its_place(text: str, said: str) -> None:
    assert problems_of(text) == [said]


def test_all_mistakes_come_at_once() -> None:
    assert len(problems_of("framing: {lines: {end: x, strip: 3, max_length: 1TB}}")) == 3


@pytest.mark.parametrize("written", [{}, {"lines": None, "cobs": None}, 3, ["lines"]])
def test_there_is_one_framing(written: object) -> None:
    with pytest.raises(ValidationError):
        SPEC.validate_python(written)


def test_a_framer_is_made_of_what_is_written() -> None:
    framer = framer_of(SPEC.validate_python({"lines": {"end": "cr"}}))

    assert framer.feed_bytes(b"a\r", 0.0) == [Frame(b"a")]
    assert framer_of(SPEC.validate_python("lines")).feed_bytes(b"a\n", 0.0) == [Frame(b"a")]


def test_an_unknown_framing_is_refused_by_name() -> None:
    with pytest.raises(UnknownFraming, match=r"unknown framing 'x25'; there are .*lines"):
        make_framer("x25")


HEAVY = ("anycrc", "cobs", "sliplib")
LOOK = "; import sys; print([one for one in sys.argv[1:] if one in sys.modules])"


def loaded(code: str) -> str:
    command = [sys.executable, "-c", code + LOOK, *HEAVY]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_a_library_is_loaded_by_the_framing_that_needs_it() -> None:
    """A gateway without serial ports must not carry what they need."""
    make = "from fieldgate_devices.framing import make_framer as make; "

    assert loaded(make + "[make(one) for one in ('lines', 'nmea', 'ubx', 'dsmr', 'mbus', 'idle_gap')]") == "[]"
    assert loaded(make + "make('cobs')") == "['cobs']"
    assert loaded(make + "make('slip')") == "['sliplib']"
    assert loaded(make + "make('lines', {'check': 'CRC-16/MODBUS'})") == "['anycrc']"


@pytest.mark.parametrize("name", framing_names())
def test_every_option_is_described(name: str) -> None:
    """The documentation, the editor's schema and the messages come from there."""
    assert all(field.description for field in options_class(name).model_fields.values())


@pytest.mark.parametrize(
    ("written", "is_right"),
    [
        ("lines", True),
        ("line", False),
        ({"lines": None}, True),
        ({"lines": {"end": "cr", "max_length": "2KiB", "check": "nmea"}}, True),
        ({"lines": {"check": {"crc": "CRC-16/MODBUS", "order": "little"}}}, True),
        ({"lines": {"ends": "cr"}}, False),
        ({"lines": {"give_up_after": 5}}, False),
        ({"fixed": {"sync": "aa"}}, False),
        ({"lines": None, "cobs": None}, False),
        ({"line": None}, False),
    ],
)
def test_an_editor_is_told_what_may_be_written(written: object, is_right: bool) -> None:
    validator = Draft202012Validator(SPEC.json_schema())

    assert validator.is_valid(written) == is_right
