"""Recognise this gateway's own events when a broker, or a bridge behind it, sends them back (fault 49).

An event bears its gateway: as ``source`` of its CloudEvents envelope (a JSON text, alone or in a batch, plain or zstd,
or the user property of that name) or, in ``raw`` over MQTT 5, as the run in its id. ``raw`` over MQTT 3.1.1 bears
nothing; only its topic can tell.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import msgspec
import zstandard

from fieldgate.mqtt.packets import Properties

__all__ = ["PACKED", "Echo"]

PACKED: Final = b"\x28\xb5\x2f\xfd"
"""How zstd frames begin."""

_LOOK_BYTES: Final = 4096  # of a compressed batch: its first event says enough
_ID: Final = "fieldgate-id"
_SOURCE: Final = "source"


class _Envelope(msgspec.Struct):
    """What of a CloudEvents envelope says whose it is."""

    specversion: str
    source: str


_read = msgspec.json.Decoder(_Envelope | list[_Envelope]).decode


class Echo:
    """Knows one gateway's events. ``needle`` is in every JSON envelope of it, and in hardly any other payload."""

    def __init__(self, gateway: str, *, is_own_run: Callable[[int], bool]) -> None:
        self._source = f"fieldgate/{gateway}/"
        self.needle = f'"{self._source}'.encode()
        self._is_own_run = is_own_run

    def is_own(self, payload: bytes) -> bool:
        """Whether a payload that has the needle in it, or begins like a compressed one, is an event of ours."""
        return self._is_packed(payload) if payload[:4] == PACKED else self._is_envelope(payload)

    def _is_envelope(self, payload: bytes) -> bool:
        try:
            read = _read(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        envelopes = read if isinstance(read, list) else [read]
        return any(one.source.startswith(self._source) for one in envelopes)

    def _is_packed(self, payload: bytes) -> bool:
        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 23).stream_reader(io.BytesIO(payload)) as reader:
                head = reader.read(_LOOK_BYTES)
        except zstandard.ZstdError:
            return False
        return head.startswith(b'[{"specversion"') and self.needle in head

    def is_marked(self, properties: Properties) -> bool:
        """Whether the user properties of a message say that it is an event of ours."""
        for name, value in properties.user:
            if name == _SOURCE and value.startswith(self._source):
                return True
            if name == _ID and self._is_own_run(_run_of(value)):
                return True
        return False


def _run_of(event_id: str) -> int:
    """The run in an id, ``<16 hex digits>-…``; -1 where there is none."""
    run, dash, _ = event_id.partition("-")
    try:
        return int(run, 16) if dash and len(run) == 16 else -1
    except ValueError:
        return -1
