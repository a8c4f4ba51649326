"""JSON: a message is one reading, or holds a list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing import Final

from pydantic import Field

from fieldgate_devices.decoders import json_text
from fieldgate_devices.decoders.decoder import Record, Undecodable, Value
from fieldgate_devices.decoders.limits import check_payload, check_record_count, checked, measure
from fieldgate_devices.decoders.options import PathText
from fieldgate_devices.decoders.path import Path
from fieldgate_devices.decoders.readings import Readings, ReadingsOptions
from fieldgate_devices.decoders.texts import read_text

__all__ = ["JsonDecoder", "JsonOptions"]


_ALONE: Final = "value"  # the name of a message that is no object


class JsonOptions(ReadingsOptions):
    """How readings stand in a JSON message."""

    lines: bool = Field(default=False, description="each line of the payload is a message of its own (JSON lines)")

    or_text: bool = Field(
        default=False,
        description="a payload that is no JSON at all is one value, a text without the blanks around it: `value`",
    )
    whole: bool = Field(
        default=False, description="the message is one reading even where it is a list of objects: `value`"
    )
    unwrap: list[PathText] = Field(
        default_factory=list,
        max_length=8,
        description="paths of objects whose members count as members of the message itself, before its own",
        examples=[["params"]],
    )
    texts: list[PathText] = Field(
        default_factory=list,
        max_length=8,
        description="paths of texts in the message that are JSON themselves; they are read in their place",
        examples=[["objectJSON"]],
    )

    def make(self) -> JsonDecoder:
        """Return the decoder."""
        return JsonDecoder(self)


class JsonDecoder:
    """Reads JSON texts."""

    is_text = False

    def __init__(self, options: JsonOptions) -> None:
        self._readings = Readings(options)
        self._has_lines = options.lines
        self._or_text = options.or_text
        self._is_whole = options.whole
        self._unwrapped = [Path.parse(text) for text in options.unwrap]
        self._texts = [Path.parse(text) for text in options.texts]

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record for each reading.

        Raises:
            Undecodable: not JSON, not of that shape, or past a limit.
        """
        if not self._has_lines:
            return checked(self._readings.find(self._message(payload)))
        check_payload(payload)
        lines = [line for line in payload.split(b"\n") if line.strip()]
        check_record_count(len(lines))
        records: list[Record] = []
        for number, line in enumerate(lines, start=1):
            try:
                records += self._readings.find(self._message(line))
            except Undecodable as error:
                raise Undecodable(f"message {number}: {error.reason}") from None
            check_record_count(len(records))
        return checked(records)

    def _message(self, payload: bytes) -> Value:
        try:
            message = json_text.parse(payload)
        except Undecodable:
            if not self._or_text or payload.lstrip()[:1] in (b"{", b"["):
                raise
            return _text(payload)
        for path in self._texts:
            message = _with_json_at(path.steps, message)
        if self._texts:
            measure(message)
        for path in self._unwrapped:
            inside = path.find(message)
            if isinstance(inside, dict) and isinstance(message, dict):
                around = path.without(message)
                message = {**inside, **{key: one for key, one in around.items() if key not in inside}}
        return {_ALONE: message} if self._is_whole and isinstance(message, list) else message


def _text(payload: bytes) -> Value:
    text = read_text(payload, encoding="utf-8").strip(" \t\r\n\x00")
    if not text:
        raise Undecodable("the payload holds blanks only")
    return text


def _with_json_at(steps: Sequence[str], value: Value) -> Value:
    """``value`` with what the text at ``steps`` says in its place; a text that is no JSON stays a text."""
    if not steps:
        if not isinstance(value, str) or not value:
            return value
        try:
            return json_text.parse(value.encode())
        except (Undecodable, UnicodeEncodeError):
            return value
    if isinstance(value, dict) and steps[0] in value:
        return {**value, steps[0]: _with_json_at(steps[1:], value[steps[0]])}
    return value
