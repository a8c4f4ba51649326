"""Where in a message the readings stand: JSON, CBOR and MessagePack messages have the same shapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import Field, model_validator

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value
from fieldgate_devices.decoders.limits import MAX_VALUES_OF_MESSAGE, check_record_count
from fieldgate_devices.decoders.options import DecoderOptions
from fieldgate_devices.decoders.place import Place, PlaceText
from fieldgate_devices.paths import Absent

__all__ = ["Readings", "ReadingsOptions"]

_ALONE: Final = "value"  # the name of a reading that is no object


class ReadingsOptions(DecoderOptions):
    """Options of decoders whose messages are made of lists and objects."""

    each: PlaceText | None = Field(
        default=None,
        description="path of a list (or an object) that holds one reading per element; '.' is the whole message",
        examples=["sensors"],
    )
    shared: bool = Field(
        default=True,
        description="with `each`: every reading also bears the members around the list; its own come first",
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="with `each`: the name under which a reading bears its key in the object, or its place in the list",
        examples=["sensor"],
    )

    @model_validator(mode="after")
    def _check_each(self) -> ReadingsOptions:
        if self.each is None and (self.key is not None or not self.shared):
            raise ValueError(f"{'key' if self.key is not None else 'shared'} needs each")
        return self


class Readings:
    """Finds the readings in a message."""

    def __init__(self, options: ReadingsOptions) -> None:
        self._each = Place(options.each) if options.each is not None else None
        self._is_shared = options.shared
        self._key = options.key

    def find(self, message: Value) -> list[Record]:
        """Return the readings: those at ``each``, or the elements of a list of objects, or the message itself.

        Raises:
            Undecodable: there is no list or object at ``each``, or there are too many readings.
        """
        if self._each is not None:
            return self._readings_at(self._each, message)
        if isinstance(message, list) and message and all(isinstance(one, dict) for one in message):
            check_record_count(len(message))
            return [_record(one) for one in message]
        return [_record(message)]

    def _readings_at(self, each: Place, message: Value) -> list[Record]:
        found = each.find(message)
        readings: Iterable[tuple[str | int, Value]]
        if isinstance(found, Absent):
            raise Undecodable(f"there is nothing at {each}")
        if isinstance(found, dict):
            readings = found.items()
        elif isinstance(found, list):
            readings = enumerate(found)
        else:
            raise Undecodable(f"what is at {each} is neither a list nor an object")
        if not found:
            raise Undecodable(f"the list at {each} is empty")
        check_record_count(len(found))
        around = each.without(message) if self._is_shared else {}
        shared: Record = around if isinstance(around, dict) else {}
        if len(found) * len(shared) > MAX_VALUES_OF_MESSAGE:
            raise Undecodable(f"the readings with what they share are more than {MAX_VALUES_OF_MESSAGE} values")
        if self._key is None:
            return [{**shared, **_record(one)} for _, one in readings]
        return [{**shared, **_record(one), self._key: name} for name, one in readings]


def _record(reading: Value) -> Record:
    return reading if isinstance(reading, dict) else {_ALONE: reading}
