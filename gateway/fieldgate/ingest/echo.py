"""Recognise what this gateway sent upstream when a bridge or a broker brings it back (fault 49).

Taken for an event it would be sent again under a new id, come back again, and so on. An event bears its gateway: as
the source of its CloudEvents envelope (JSON, alone or in a batch, plain or zstd, or the user property of binary mode),
and as the run in its id (of ``raw`` over MQTT 5 as well). Raw messages over MQTT 3.1.1 bear nothing to know them by.
"""

from __future__ import annotations

import io
from collections.abc import Container, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec
import zstandard

from fieldgate.mqtt.packets import Properties, Publish

__all__ = ["EchoGuard", "EchoWatch", "looks_like_ours"]

_ENVELOPE: Final = b'{"specversion"'  # as `fieldgate.forward.encode` begins each
_ENVELOPES: Final = b"[" + _ENVELOPE
_STATUS: Final = b'{"state":"o'  # as `fieldgate.forward.presence` begins what an uplink says of itself
_PACKED: Final = b"\x28\xb5\x2f\xfd"  # how zstd frames begin
_BEGINNINGS: Final = (_ENVELOPE, _ENVELOPES, _STATUS, _PACKED)
_LOOK_BYTES: Final = 4096  # of a compressed batch: its first event says enough
_MAX_WINDOW_BYTES: Final = 1 << 23
_NOT_JUDGED: Final[dict[str, int]] = {}
_URI_SAFE: Final = "/:@!$&'()*+,;=-._~"


class _Origin(msgspec.Struct):
    id: str = ""
    source: str = ""
    run: str = ""


def looks_like_ours(payload: bytes) -> bool:
    """Whether a payload begins as those of a gateway do; cheap, so that few are looked at closely."""
    return payload.startswith(_BEGINNINGS)


class EchoGuard:
    """Knows what one gateway sent. ``runs`` are those of this gateway, as far as they are remembered."""

    def __init__(self, gateway: str, runs: Container[int]) -> None:
        self._source = f"fieldgate/{quote(gateway, safe=_URI_SAFE)}/"
        self._runs = runs
        self._one = msgspec.json.Decoder(_Origin).decode
        self._many = msgspec.json.Decoder(list[_Origin]).decode

    def is_ours(self, packet: Publish) -> bool:
        """Whether this very gateway sent it."""
        properties = packet.properties
        return (properties is not None and self.is_marked(properties)) or self.is_in(packet.payload)

    def is_marked(self, properties: Properties) -> bool:
        """Whether the user properties say so."""
        user = dict(properties.user)
        if (own_id := user.get("fieldgate-id")) is not None:
            return self._is_own_run(own_id)
        return self._is_ours(_Origin(user.get("id", ""), user.get("source", "")))

    def is_in(self, payload: bytes) -> bool:
        """Whether the payload says so."""
        try:
            if payload.startswith(_ENVELOPE):
                return self._is_ours(self._one(payload))
            if payload.startswith(_STATUS):
                return self._is_own_run(f"{self._one(payload).run}-1")
            if payload.startswith(_ENVELOPES):
                return any(self._is_ours(origin) for origin in self._many(payload))
            return payload.startswith(_PACKED) and self._is_in_packed(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, zstandard.ZstdError):
            return False  # whatever it is, we did not make it

    def _is_in_packed(self, payload: bytes) -> bool:
        with zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(io.BytesIO(payload)) as reader:
            head = reader.read(_LOOK_BYTES)
        return head.startswith(_ENVELOPES) and f'"source":"{self._source}'.encode() in head

    def _is_ours(self, origin: _Origin) -> bool:
        return origin.source.startswith(self._source) or self._is_own_run(origin.id)

    def _is_own_run(self, event_id: str) -> bool:
        run = event_id[:16]
        try:
            return event_id[16:17] == "-" and int(run, 16) in self._runs
        except ValueError:
            return False


class EchoWatch:
    """Looks at what one client publishes: at one message per read until one looks like an envelope, then at each.

    So a device costs next to nothing, and a bridge is found out with its first read. ``guard`` None: nothing is ours.
    """

    __slots__ = ("_guard", "_is_alert")

    def __init__(self, guard: EchoGuard | None) -> None:
        self._guard = guard
        self._is_alert = False

    def seeds(self, publishes: Sequence[Publish], seeds: Mapping[str, int]) -> Mapping[str, int]:
        """Return the topics whose publishes need not be judged one by one: ``seeds``, or none of them."""
        if self._guard is None:
            return seeds
        if not self._is_alert and publishes:
            self._is_alert = looks_like_ours(publishes[0].payload)
        return _NOT_JUDGED if self._is_alert else seeds

    def is_ours(self, packet: Publish) -> bool:
        """Whether this gateway sent it; asked of messages that are judged."""
        return self._guard is not None and self._guard.is_ours(packet)
