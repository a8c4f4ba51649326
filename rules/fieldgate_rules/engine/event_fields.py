"""The fields of an event as rules see them, and the event as rules want it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate_devices.event import GENERIC, Event, Extra
from fieldgate_devices.generic import flatten
from fieldgate_rules.engine.acting import Altered

__all__ = ["NOTHING", "altered_event", "fields_of"]

NOTHING: Final[Mapping[str, object]] = {}

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


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


def altered_event(event: Event, fields: Mapping[str, object], altered: Altered) -> Event | None:
    """Return the event as rules want it; None: it goes nowhere."""
    if altered.is_dropped:
        return None
    changes: dict[str, Any] = {}
    if (altered.fields or altered.added) and fields is not NOTHING:  # bytes stay as they are
        changes["data"] = _encode({**altered.added, **fields, **altered.fields})
        changes["is_json"] = True
    if altered.lane is not None:
        changes["lane"] = altered.lane
    if altered.is_routed:
        changes["extra"] = msgspec.structs.replace(event.extra or Extra(), uplinks=tuple(altered.routes))
    return msgspec.structs.replace(event, **changes) if changes else event
