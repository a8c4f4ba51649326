"""Recognise what this gateway sent upstream when a bridge brings it back (fault 49).

Taken for an event it would be sent again under a new id, come back again, and so on. By its id, which bears a run of
this gateway, or by its source, it is known in whichever form it left: CloudEvents as JSON (one or many in a message),
in binary mode, or raw with the id as a user property. Raw messages over MQTT 3.1.1 bear nothing to know them by.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from fieldgate.mqtt.packets import Publish

__all__ = ["EchoGuard", "EchoWatch"]

_ENVELOPE: Final = b'{"specversion":"1.0","id":"'  # as `fieldgate.forward.encode` begins each
_ENVELOPES: Final = b"[" + _ENVELOPE
_STATUS: Final = b'{"state":"o'  # as `fieldgate.forward.presence` begins what an uplink says of itself
_NOT_JUDGED: Final[dict[str, int]] = {}
_URI_SAFE: Final = "/:@!$&'()*+,;=-._~"


class _Origin(msgspec.Struct):
    id: str = ""
    source: str = ""
    run: str = ""


class EchoGuard:
    """``runs`` are those of this gateway, as far as they are remembered."""

    def __init__(self, gateway: str, runs: Container[int]) -> None:
        self._source = f"fieldgate/{quote(gateway, safe=_URI_SAFE)}/"
        self._runs = runs
        self._one = msgspec.json.Decoder(_Origin).decode
        self._many = msgspec.json.Decoder(list[_Origin]).decode

    def is_ours(self, packet: Publish) -> bool:
        """Whether this very gateway sent it."""
        if packet.properties is not None and self._is_ours_by_properties(dict(packet.properties.user)):
            return True
        payload = packet.payload
        try:
            if payload.startswith(_ENVELOPE):
                return self._is_ours(self._one(payload))
            if payload.startswith(_STATUS):
                return self._is_own_run(f"{self._one(payload).run}-1")
            if payload.startswith(_ENVELOPES):
                return any(self._is_ours(origin) for origin in self._many(payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # whatever it is, we did not make it
        return False

    def _is_ours_by_properties(self, user: dict[str, str]) -> bool:
        if (own_id := user.get("fieldgate-id")) is not None:
            return self._is_own_run(own_id)
        return self._is_ours(_Origin(user.get("id", ""), user.get("source", "")))

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
            self._is_alert = publishes[0].payload.startswith((_ENVELOPE, _ENVELOPES, _STATUS))
        return _NOT_JUDGED if self._is_alert else seeds

    def is_ours(self, packet: Publish) -> bool:
        """Whether this gateway sent it; asked of messages that are judged."""
        return self._guard is not None and self._guard.is_ours(packet)
