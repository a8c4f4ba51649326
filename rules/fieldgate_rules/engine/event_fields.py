"""The fields of an event as rules see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate_devices.event import GENERIC, Event
from fieldgate_devices.generic import flatten

__all__ = ["NOTHING", "fields_of"]

NOTHING: Final[Mapping[str, object]] = {}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def fields_of(event: Event) -> Mapping[str, object]:
    """Return the fields; none where it is no JSON mapping. JSON has no numbers that are not finite."""
    if not event.is_json:
        return NOTHING
    text = flatten(event.data) if event.address.type == GENERIC else event.data
    if text is None:
        return NOTHING
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NOTHING
