"""CloudEvents in binary mode over MQTT 5 (format ``cloudevents-binary``; CloudEvents MQTT binding 1.0.2, section 3.1).

The payload is the data, the content type its ``datacontenttype``, and every other attribute a user property of its
own name, without a prefix and in its canonical string form: ``specversion``, ``id``, ``source``, ``type``,
``subject``, ``time``, and the extensions as in ``encode``. MQTT 3.1.1 has no place for them; with this format an
uplink speaks MQTT 5 only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

from fieldgate.forward.encode import (
    BINARY_TYPE,
    JSON_TYPE,
    OsBootOf,
    PlainData,
    TimeText,
    address_texts,
    doubts,
    extra_texts,
    id_suffix,
    schema_of,
)
from fieldgate.forward.property_blocks import LENGTHS, block_length, properties_body
from fieldgate.mqtt.packets import Properties
from fieldgate_devices.event import GENERIC, Address, Event, Extra, Lane, Stamp

__all__ = ["BinaryProperties"]

_MAX_CACHED: Final = 10_000
_MAX_TEXT_BYTES: Final = 65_535
_ID: Final = b"\x26\x00\x02id"
_CONTENT_ID: Final = b"\x26\x00\x09contentid\x00\x10"


class BinaryProperties:
    """Makes the property blocks of events, a run at a time."""

    def __init__(self, *, gateway: str, os_boot_of: OsBootOf) -> None:
        self._gateway = gateway
        self._os_boot_of = os_boot_of
        self._addresses: dict[Address, tuple[bytes, bytes]] = {}
        self._plain_data = PlainData().of
        self._time_text = TimeText().of

    def payloads(self, events: Sequence[Event]) -> list[bytes]:
        """Return the data of each event."""
        return [self._plain_data(event)[0] if event.address.type == GENERIC else event.data for event in events]

    def blocks(self, events: Sequence[Event], *, is_stored: bool, firsts: Iterable[bytes] = repeat(b"")) -> list[bytes]:
        """Return the property block of each event, with its length; ``firsts`` are properties to stand first."""
        # As in `raw`: one formatting call per event over parts that are bytes already.
        blocks: list[bytes] = []
        append = blocks.append
        known, length = self._addresses.get, LENGTHS.get
        stamp = lane = is_json = extra = None
        shared = run = b""
        for event, first in zip(events, firsts, strict=False):
            if (
                event.stamp is not stamp
                or event.is_json is not is_json
                or event.lane != lane
                or event.extra is not extra
            ):
                stamp, lane, is_json, extra = event.stamp, event.lane, event.is_json, event.extra
                shared = self._stamp_part(stamp, lane, is_json=is_json, is_stored=is_stored, extra=extra)
                run = b"%016x-" % stamp.run
            suffix, named = known(event.address) or self._address_part(event.address)
            seq = b"%d%b" % (event.seq, suffix)
            content_id = event.content_id
            id_size = 17 + len(seq)
            size = (
                len(first)
                + len(shared)
                + len(named)
                + len(_ID)
                + 2
                + id_size
                + (len(_CONTENT_ID) + 16 if content_id else 0)
            )
            begin = length(size) or block_length(size)
            tail = b"%b%016x" % (_CONTENT_ID, content_id) if content_id else b""
            append(b"%b%b%b%b\x00%c%b%b%b%b" % (begin, first, shared, _ID, id_size, run, seq, named, tail))
        return blocks

    def _stamp_part(self, stamp: Stamp, lane: int, *, is_json: bool, is_stored: bool, extra: Extra | None) -> bytes:
        at, said = extra_texts(extra, stamp, self._time_text)
        user = [("specversion", "1.0"), ("time", at)]
        if lane != Lane.NORMAL:
            user.append(("lane", Lane(lane).name.lower()))
        user += doubts(stamp, self._os_boot_of).items()
        if is_stored:
            user.append(("drained", "true"))
        user += said.items()
        return properties_body(
            Properties(content_type=JSON_TYPE if is_json else BINARY_TYPE, user=tuple(user)),
        )

    def _address_part(self, address: Address) -> tuple[bytes, bytes]:
        """The end of the id, and the properties that are about who spoke."""
        source, kind, subject = (_cut(text) for text in address_texts(address, self._gateway))
        user = [("source", source), ("type", kind)] + ([("subject", subject)] if subject else [])
        if schema := schema_of(address):
            user.append(("dataschema", schema))
        part = id_suffix(address).encode(), properties_body(Properties(user=tuple(user)))
        if len(self._addresses) >= _MAX_CACHED:
            self._addresses.clear()
        self._addresses[address] = part
        return part


def _cut(text: str) -> str:
    """No longer than a string of MQTT can be."""
    utf8 = text.encode(errors="replace")
    return utf8[:_MAX_TEXT_BYTES].decode(errors="ignore") if len(utf8) > _MAX_TEXT_BYTES else text
