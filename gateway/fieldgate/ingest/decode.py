"""Turn what a source heard into events, without a contract: the pass-through decoder.

Device is the topic with ``/`` as ``.``, type is ``message``, data the payload where it is JSON (RFC 8259, byte for
byte) and opaque bytes otherwise. Profiles take this place for the topics that they match.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from fieldgate.ingest.source import Received
from fieldgate_devices.event import Address, Event, Stamp

__all__ = ["Decode", "PassThrough", "is_json"]

Decode = Callable[[Sequence[Received], Stamp, int], list[Event]]

MESSAGE_TYPE: Final = "message"
_CACHED_TOPICS: Final = 10_000
_scan = msgspec.json.Decoder(msgspec.Raw).decode  # checks the whole text and copies nothing


def is_json(payload: bytes) -> bool:
    """Whether ``payload`` is one JSON text in UTF-8 that can stand in an envelope as it is.

    No byte order mark, no NaN or Infinity, no lone surrogate (RFC 8259 sections 6 to 8); nesting that exhausts
    the interpreter's stack counts as no JSON.
    """
    try:
        _scan(payload)
        if not payload.isascii():
            payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


class PassThrough:
    """The decoder; keeps one `Address` per topic, for at most ``_CACHED_TOPICS`` topics."""

    __slots__ = ("_addresses",)

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}

    def __call__(self, received: Sequence[Received], stamp: Stamp, lane: int) -> list[Event]:
        """Return one event per message, in order."""
        # One pass with everything bound locally: this runs for every event of the gateway.
        addresses, scan = self._addresses, is_json
        events: list[Event] = []
        append = events.append
        for message in received:
            topic = message.topic
            address = addresses.get(topic)
            if address is None:
                address = self._address(topic)
            payload = message.payload
            append(Event(address, stamp, payload, scan(payload), message.content_id, lane, 0, None, message.expiry_s))
        return events

    def _address(self, topic: str) -> Address:
        if len(self._addresses) >= _CACHED_TOPICS:
            self._addresses.clear()
        address = Address(topic.replace("/", "."), MESSAGE_TYPE, topic)
        self._addresses[topic] = address
        return address
