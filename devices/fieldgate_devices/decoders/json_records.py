"""JSON: a message is one reading, or holds a list of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from fieldgate_devices.decoders import json_text
from fieldgate_devices.decoders.decoder import Record, Undecodable, Value
from fieldgate_devices.decoders.limits import (
    MAX_VALUES_OF_MESSAGE,
    check_payload,
    check_record_count,
    checked,
    measure,
)
from fieldgate_devices.decoders.place import Place, PlaceText
from fieldgate_devices.decoders.readings import Readings, ReadingsOptions
from fieldgate_devices.decoders.texts import json_or_text

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
    unwrap: list[PlaceText] | None = Field(
        default=None,
        max_length=8,
        description="paths of objects whose members count as members of the message itself, before its own",
        examples=[["params"]],
    )
    texts: list[PlaceText] | None = Field(
        default=None,
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
        self._unwrapped = [Place(text) for text in options.unwrap or ()]
        self._texts = [Place(text) for text in options.texts or ()]

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record for each reading.

        Raises:
            Undecodable: not JSON, not of that shape, or past a limit.
        """
        if not self._has_lines:
            return checked(self._readings.find(self._message(payload)))
        check_payload(payload)
        if sum(payload.count(sign) for sign in (b",", b"[", b"{")) > 2 * MAX_VALUES_OF_MESSAGE:
            raise Undecodable(f"the messages hold more than {MAX_VALUES_OF_MESSAGE} values")
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
        message = json_or_text(payload) if self._or_text else json_text.parse(payload)
        for place in self._texts:
            text = place.find(message)
            if isinstance(text, str) and text:
                message = place.replaced(message, _read_in_place(text))
        if self._texts:
            measure(message)
        for place in self._unwrapped:
            inside, around = place.find(message), place.without(message)
            if isinstance(inside, dict) and isinstance(around, dict):
                message = {**inside, **{key: one for key, one in around.items() if key not in inside}}
        return {_ALONE: message} if self._is_whole and isinstance(message, list) else message


def _read_in_place(text: str) -> Value:
    """What a text in a message says; one that is no JSON stays a text."""
    try:
        return json_text.parse(text.encode())
    except (Undecodable, UnicodeEncodeError):
        return text
