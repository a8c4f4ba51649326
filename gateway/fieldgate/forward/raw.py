"""The id of an event beside its untouched bytes: MQTT 5 user properties of format ``raw``.

Properties: content type (JSON or octet stream), then ``fieldgate-time``, ``-id``, ``-contentid`` and, as in
``encode`` and only where they say something, ``-lane``, ``-timequality``, ``-osboot``, ``-uptimems``, ``-drained``,
``-receivedat``, ``-replayed``, ``-cause``. ``traceparent`` and ``tracestate`` have no prefix: they are W3C's.
Gateway, device and type are in the topic; a property costs the broker more than it costs us.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

from fieldgate.forward.encode import (
    BINARY_TYPE,
    JSON_TYPE,
    OsBootOf,
    TimeText,
    doubts,
    extra_texts,
    id_suffix,
)
from fieldgate.forward.property_blocks import LENGTHS, block_length, properties_body
from fieldgate.mqtt.packets import Properties
from fieldgate_devices.event import Address, Event, Extra, Lane, Stamp
from fieldgate_devices.trace_context import TRACEPARENT, TRACESTATE

__all__ = ["RawProperties"]

_MAX_CACHED: Final = 10_000
_OF_TRACES: Final = frozenset({TRACEPARENT, TRACESTATE})
_ID: Final = b"\x26\x00\x0cfieldgate-id\x00"
_TIME: Final = b"\x26\x00\x0efieldgate-time\x00\x1b"
_CONTENT_ID: Final = b"\x26\x00\x13fieldgate-contentid\x00\x10"
_CONTENT_ID_SIZE: Final = len(_CONTENT_ID) + 16


class RawProperties:
    """Makes the MQTT 5 property blocks of raw messages, a run at a time."""

    def __init__(self, *, os_boot_of: OsBootOf) -> None:
        self._os_boot_of = os_boot_of
        self._suffixes: dict[Address, bytes] = {}
        self._time_text = TimeText().of

    def payloads(self, events: Sequence[Event]) -> list[bytes]:
        """Return what each device sent."""
        return [event.payload for event in events]

    def blocks(self, events: Sequence[Event], *, is_stored: bool, firsts: Iterable[bytes] = repeat(b"")) -> list[bytes]:
        """Return the property block of each event, with its length; ``firsts`` are properties to stand first."""
        # One formatting call per event; everything that does not differ from event to event is bytes already.
        blocks: list[bytes] = []
        append = blocks.append
        known, length = self._suffixes.get, LENGTHS.get
        stamp = lane = is_json = extra = None
        head = run = b""
        head_size = 0
        for event, first in zip(events, firsts, strict=False):
            if (
                event.stamp is not stamp
                or event.is_json is not is_json
                or event.lane != lane
                or event.extra is not extra
            ):
                stamp, lane, is_json, extra = event.stamp, event.lane, event.is_json, event.extra
                head = self._stamp_part(stamp, lane, is_json=is_json, is_stored=is_stored, extra=extra) + _ID
                head_size = len(head) + 1 + 17  # of the id's own length one byte is in the head
                run = b"%016x-" % stamp.run
            suffix = known(event.address)
            seq = b"%d%b" % (event.seq, self._suffix(event.address) if suffix is None else suffix)
            content_id = event.content_id
            seq_size = len(seq)
            size = len(first) + head_size + seq_size + (_CONTENT_ID_SIZE if content_id else 0)
            begin = length(size) or block_length(size)
            if content_id:
                append(b"%b%b%b%c%b%b%b%016x" % (begin, first, head, 17 + seq_size, run, seq, _CONTENT_ID, content_id))
            else:
                append(b"%b%b%b%c%b%b" % (begin, first, head, 17 + seq_size, run, seq))
        return blocks

    def _stamp_part(self, stamp: Stamp, lane: int, *, is_json: bool, is_stored: bool, extra: Extra | None) -> bytes:
        at, said = extra_texts(extra, stamp, self._time_text)
        part = (_JSON if is_json else _BINARY) + _TIME + at.encode()
        user = [] if lane == Lane.NORMAL else [("fieldgate-lane", Lane(lane).name.lower())]
        user += [(f"fieldgate-{name}", value) for name, value in doubts(stamp, self._os_boot_of).items()]
        if is_stored:
            user.append(("fieldgate-drained", "true"))
        user += [(name if name in _OF_TRACES else f"fieldgate-{name}", value) for name, value in said.items()]
        return part + properties_body(Properties(user=tuple(user))) if user else part

    def _suffix(self, address: Address) -> bytes:
        suffix = id_suffix(address).encode()
        if len(self._suffixes) >= _MAX_CACHED:
            self._suffixes.clear()
        self._suffixes[address] = suffix
        return suffix


_JSON: Final = properties_body(Properties(content_type=JSON_TYPE))
_BINARY: Final = properties_body(Properties(content_type=BINARY_TYPE))
