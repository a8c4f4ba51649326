"""JSON: a message is one reading, or holds a list of them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from fieldgate_devices.decoders import json_text
from fieldgate_devices.decoders.decoder import Record, Undecodable
from fieldgate_devices.decoders.limits import MAX_VALUES_OF_MESSAGE, check_payload, check_record_count, checked
from fieldgate_devices.decoders.readings import Readings, ReadingsOptions

__all__ = ["JsonDecoder", "JsonOptions"]


class JsonOptions(ReadingsOptions):
    """How readings stand in a JSON message."""

    lines: bool = Field(default=False, description="each line of the payload is a message of its own (JSON lines)")

    def make(self) -> JsonDecoder:
        """Return the decoder."""
        return JsonDecoder(self)


class JsonDecoder:
    """Reads JSON texts."""

    is_text = False

    def __init__(self, options: JsonOptions) -> None:
        self._readings = Readings(options)
        self._has_lines = options.lines

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record for each reading.

        Raises:
            Undecodable: not JSON, not of that shape, or past a limit.
        """
        if not self._has_lines:
            return checked(self._readings.find(json_text.parse(payload)))
        check_payload(payload)
        if sum(payload.count(sign) for sign in (b",", b"[", b"{")) > 2 * MAX_VALUES_OF_MESSAGE:
            raise Undecodable(f"the messages hold more than {MAX_VALUES_OF_MESSAGE} values")
        lines = [line for line in payload.split(b"\n") if line.strip()]
        check_record_count(len(lines))
        records: list[Record] = []
        for number, line in enumerate(lines, start=1):
            try:
                records += self._readings.find(json_text.parse(line))
            except Undecodable as error:
                raise Undecodable(f"message {number}: {error.reason}") from None
            check_record_count(len(records))
        return checked(records)
