"""Gather envelopes until they make a message of their own: format ``cloudevents-batch``.

A message is due when ``max_events`` wait, when what waits reaches ``max_bytes``, or when the oldest has waited
``max_delay_s``; so it waits only while there are too few. Order is the order of arrival, over all devices.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec
import zstandard

from fieldgate.mqtt.in_flight import Piece

__all__ = ["BATCH_TYPE", "ZSTD_BATCH_TYPE", "Batcher"]

BATCH_TYPE: Final = "application/cloudevents-batch+json"
ZSTD_BATCH_TYPE: Final = "application/cloudevents-batch+json+zstd"

_ZSTD_LEVEL: Final = 3
_MAX_BYTES: Final = 256 * 1024


class Batcher:
    """What waits to share a message. ``count`` events wait; ``max_bytes`` bounds a message before compression."""

    def __init__(self, *, max_events: int, max_delay_s: float, is_compressed: bool) -> None:
        self.max_events = max_events
        self.max_bytes = _MAX_BYTES
        self.count = 0
        self._max_delay_s = max_delay_s
        self._compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL) if is_compressed else None
        self._waiting: deque[_Waiting] = deque()
        self._size_bytes = 0

    def limit(self, packet_bytes: int | None) -> None:
        """The server takes packets with up to this much payload; incompressible data must fit, too."""
        fits = _MAX_BYTES if packet_bytes is None else min(_MAX_BYTES, packet_bytes)
        self.max_bytes = fits - fits // 128 - 64 if self._compressor is not None else fits

    def add(self, batch: object, start: int, envelopes: list[bytes], now_s: float) -> None:
        """Append the envelopes of ``events[start:]`` of ``batch``."""
        self._waiting.append(_Waiting(batch, start, envelopes, now_s))
        self.count += len(envelopes)
        self._size_bytes += sum(map(len, envelopes)) + len(envelopes)

    def wait_s(self, now_s: float) -> float | None:
        """Return in how many seconds a message is due, 0 when it is; None when nothing waits."""
        if not self._waiting:
            return None
        if self.count >= self.max_events or self._size_bytes + 1 >= self.max_bytes:
            return 0.0
        return max(0.0, self._waiting[0].at_s + self._max_delay_s - now_s)

    def take(self) -> tuple[bytes, tuple[Piece, ...]]:
        """Return the payload of the next message and what it carries; something must be waiting."""
        chosen: list[bytes] = []
        pieces: list[Piece] = []
        left, room = self.max_events, self.max_bytes - 1
        while self._waiting and left:
            waiting = self._waiting[0]
            fitting = waiting.envelopes[:left]
            size = sum(map(len, fitting)) + len(fitting)
            if size > room:
                fitting, size = _prefix_that_fits(fitting, room)
                if not fitting and not chosen:
                    fitting, size = waiting.envelopes[:1], len(waiting.envelopes[0]) + 1
            if not fitting:
                break
            chosen += fitting
            pieces.append((waiting.batch, waiting.start, waiting.start + len(fitting)))
            left -= len(fitting)
            room -= size
            self._size_bytes -= size
            if len(fitting) == len(waiting.envelopes):
                self._waiting.popleft()
            else:
                del waiting.envelopes[: len(fitting)]
                waiting.start += len(fitting)
                break
        self.count -= len(chosen)
        return self.pack(chosen), tuple(pieces)

    def pack(self, envelopes: list[bytes]) -> bytes:
        """Return the payload that carries ``envelopes``."""
        payload = b"[%b]" % b",".join(envelopes)
        return payload if self._compressor is None else self._compressor.compress(payload)

    def unpack(self, payload: bytes) -> list[bytes]:
        """Return the envelopes of a payload that `pack` made, byte for byte."""
        if self._compressor is not None:
            payload = zstandard.ZstdDecompressor().decompress(payload, max_output_size=_MAX_BYTES * 4)
        return [bytes(envelope) for envelope in msgspec.json.decode(payload, type=list[msgspec.Raw])]

    def clear(self) -> None:
        """Forget what waits; the owner has it."""
        self._waiting.clear()
        self.count = self._size_bytes = 0


class _Waiting:
    """Envelopes of one shipment that no message carries yet."""

    __slots__ = ("at_s", "batch", "envelopes", "start")

    def __init__(self, batch: object, start: int, envelopes: list[bytes], at_s: float) -> None:
        self.batch = batch
        self.start = start
        self.envelopes = envelopes
        self.at_s = at_s


def _prefix_that_fits(envelopes: list[bytes], room: int) -> tuple[list[bytes], int]:
    size = 0
    for index, envelope in enumerate(envelopes):
        if size + len(envelope) + 1 > room:
            return envelopes[:index], size
        size += len(envelope) + 1
    return envelopes, size
