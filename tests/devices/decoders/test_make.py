"""Decoders by name: ours, and those of other packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from decoder_kit import decoded, refused
from fieldgate_devices.decoders import DecoderOptions, UnknownDecoder, decoder_names, make_decoder, options_class
from fieldgate_devices.decoders.make import BUILT_IN

MORSE = '''
from fieldgate_devices.decoders import DecoderOptions, Undecodable


class MorseOptions(DecoderOptions):
    """Options of the decoder."""

    dot: str = "."

    def make(self):
        return Morse(self.dot)


class Morse:
    is_text = True

    def __init__(self, dot):
        self._dot = dot

    def decode(self, payload, captures):
        match payload:
            case b"...":
                return [{"letter": "s", "dots": str(payload.decode().count(self._dot))}]
            case b"no":
                raise Undecodable("no Morse")
            case b"value":
                raise ValueError("a mistake of its author")
            case b"none":
                return None
            case b"empty":
                return []
            case b"key":
                return [{1: 2}]
            case b"object":
                return [{"a": {1, 2}}]
            case b"nan":
                return [{"a": float("nan")}]
            case b"many":
                return [{}] * 1001
            case b"wide":
                return [{"a": [0] * 5000}]
            case b"self":
                a = []
                a.append(a)
                return [{"a": a}]


class Other:
    pass
'''


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip leaves it."""
    (tmp_path / "morse_decoder.py").write_text(MORSE)
    about = tmp_path / "morse_decoder-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: morse-decoder\nVersion: 1.0\n")
    (about / "RECORD").write_text("morse_decoder.py,,\n")
    (about / "entry_points.txt").write_text(
        "[fieldgate.decoders]\nmorse = morse_decoder:MorseOptions\njson = morse_decoder:MorseOptions\n"
        "gone = morse_nowhere:Options\nwrong = morse_decoder:Other\nless = morse_decoder:Nothing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_an_installed_decoder_is_found_by_its_entry_point() -> None:
    assert "morse" in decoder_names()
    assert decoded("morse", b"...") == [{"letter": "s", "dots": "3"}]
    assert decoded("morse", b"2e2e2e", {"text": "hex", "dot": "-"}) == [{"letter": "s", "dots": "0"}]
    assert make_decoder("morse").is_text


def test_an_installed_decoder_never_takes_the_place_of_ours() -> None:
    assert decoded("json", b'{"a":1}') == [{"a": 1}]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"no", "no Morse"),
        (b"value", "decoder 'morse' failed: ValueError: a mistake of its author"),
        (b"none", "decoder 'morse' returned something that is no list of records"),
        (b"key", "decoder 'morse' returned something that is no list of records"),
        (b"object", "decoder 'morse' returned something that is no list of records"),
        (b"empty", "the message holds no reading"),
        (b"nan", "a number is not a number (NaN)"),
        (b"many", "the message holds more than 1000 readings"),
        (b"wide", "a reading holds more than 4096 values"),
        (b"self", "lists and mappings are nested deeper than 32 levels"),
        (b"", "the payload is empty"),
    ],
)
def test_what_an_installed_decoder_does_wrong_costs_one_message(payload: bytes, reason: str) -> None:
    assert refused("morse", payload) == reason


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("jsno", "unknown decoder 'jsno'; did you mean 'json'?"),
        ("key=value", "unknown decoder 'key=value'; did you mean 'key_value'?"),
        ("protobuf9", "unknown decoder 'protobuf9'; there are binary, cbor, csv, dsmr, form, "),
        ("gone", "decoder 'gone' (morse_nowhere:Options) cannot be loaded: No module named 'morse_nowhere'"),
        ("less", "decoder 'less' (morse_decoder:Nothing) cannot be loaded: "),
        ("wrong", "decoder 'wrong' (morse_decoder:Other) is no subclass of DecoderOptions"),
    ],
)
def test_a_name_that_is_no_decoder_is_refused_with_what_is_like_it(name: str, problem: str) -> None:
    with pytest.raises(UnknownDecoder) as caught:
        make_decoder(name)

    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_option_is_described_and_unknown_ones_are_refused(name: str) -> None:
    options = options_class(name)

    assert issubclass(options, DecoderOptions)
    assert [key for key, field in options.model_fields.items() if not field.description] == []
    with pytest.raises(ValidationError):
        make_decoder(name, {"no_such_option": 1})


def test_options_may_be_given_as_they_are_checked() -> None:
    options = options_class("csv").model_validate({"columns": ["a"]})

    assert make_decoder("csv", options).decode(b"1", {}) == [{"a": "1"}]


HEAVY = ("re2", "cbor2", "bitstruct", "dsmr_parser", "cryptography")
LOOK = "; import sys; print([one for one in sys.argv[1:] if one in sys.modules])"


def loaded(code: str) -> str:
    command = [sys.executable, "-c", code + LOOK, *HEAVY]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_a_decoder_that_is_not_used_costs_no_memory() -> None:
    """The gateway's idle memory is bounded; each of these libraries is megabytes."""
    make = "from fieldgate_devices.decoders import make_decoder as make; "

    assert (
        loaded(make + "[make(one) for one in ('json', 'csv', 'form', 'influx', 'msgpack', 'nmea', 'value', 'senml')]")
        == "[]"
    )
    assert loaded(make + "make('regex', {'pattern': '(?P<a>.)'})") == "['re2']"
    assert loaded(make + "make('cbor')") == "['cbor2']"


def test_a_meters_tables_come_with_its_first_telegram() -> None:
    """A profile for meters is built in, and few have one: 11 MB."""
    code = "from fieldgate_devices.decoders import make_decoder as make; d = make('dsmr', {'checksum': 'optional'})"

    assert loaded(code) == "[]"
    assert "dsmr_parser" in loaded(code + "; d.decode(b'/x\\n!', {})")
