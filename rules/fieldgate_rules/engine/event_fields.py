"""The fields of an event as rules see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate_devices.event import GENERIC, Event
from fieldgate_devices.generic import Flattener, flatten

__all__ = ["NOTHING", "FieldsReader", "fields_of"]

NOTHING: Final[Mapping[str, object]] = {}

_MAX_FLATTENERS: Final = 10_000
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_NO_MAPPING: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def fields_of(event: Event) -> Mapping[str, object]:
    """Return the fields; none where it is no JSON mapping. JSON has no numbers that are not finite."""
    if not event.is_json:
        return NOTHING
    return _fields(flatten(event.data) if event.address.type == GENERIC else event.data)


def _fields(text: bytes | None) -> Mapping[str, object]:
    if text is None:
        return NOTHING
    try:
        return _decode(text)
    except _NO_MAPPING:
        return NOTHING


class FieldsReader:
    """`fields_of`, in a third of the time for devices without a profile: most messages of one have the same members."""

    def __init__(self) -> None:
        self._flatteners: dict[str, Flattener] = {}

    def __call__(self, event: Event) -> Mapping[str, object]:
        """See `fields_of`."""
        if not event.is_json:
            return NOTHING
        if event.address.type != GENERIC:
            try:
                return _decode(event.data)
            except _NO_MAPPING:
                return NOTHING
        known, device = self._flatteners, event.address.device
        flattener = known.get(device)
        if flattener is None:
            if len(known) >= _MAX_FLATTENERS:
                del known[next(iter(known))]
            flattener = known[device] = Flattener()
        return _fields(flattener(event.data))
