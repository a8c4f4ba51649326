"""Hold a decoder of another package to the promise that ours keep: records within the limits, or `Undecodable`."""

from __future__ import annotations

from collections.abc import Mapping

from fieldgate_devices.decoders.decoder import Decoder, Record, Undecodable, Value, one_line
from fieldgate_devices.decoders.limits import check_payload, checked, measure

__all__ = ["ForeignDecoder"]


class ForeignDecoder:
    """Translates whatever ``decoder`` does wrong into the reason of a dead letter."""

    def __init__(self, decoder: Decoder, *, name: str) -> None:
        self._decoder = decoder
        self._name = name

    @property
    def is_text(self) -> bool:
        """As the decoder says."""
        return self._decoder.is_text

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Let the decoder read, and check what it returns.

        Raises:
            Undecodable: it says so, or does anything that a decoder may not do.
        """
        check_payload(payload)
        try:
            records = self._decoder.decode(payload, captures)
        except Undecodable:
            raise
        except Exception as error:  # not our code: its mistake costs one message, not the listener
            raise Undecodable(f"decoder {self._name!r} failed: {type(error).__name__}: {one_line(error)}") from error
        if not isinstance(records, list) or not all(_is_record(record) for record in records):
            raise Undecodable(f"decoder {self._name!r} returned something that is no list of records")
        for record in records:
            measure(record)
        return checked(records)


def _is_record(record: object) -> bool:
    return isinstance(record, dict) and _is_value(record, depth=0)


def _is_value(value: Value | object, *, depth: int) -> bool:
    """Exact types only: a subclass may do anything when looked at. What is too deep is for `measure` to refuse."""
    if depth > 40:
        return True
    if type(value) is dict:
        return all(type(key) is str and _is_value(one, depth=depth + 1) for key, one in value.items())
    if type(value) is list:
        return all(_is_value(one, depth=depth + 1) for one in value)
    return value is None or type(value) in {bool, int, float, str, bytes}
