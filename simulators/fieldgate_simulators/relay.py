"""One relayed TCP connection of the bad network: two ends, and what happens to the bytes between them.

`Conditions` is the state of one direction, shared by all connections of a `Link` (``link.py``), which decides it.
A `Pair` carries it out: forward, delay, hold back or swallow. It never reorders bytes and never forwards a byte twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, cast

from fieldgate_simulators.frames import FrameSplitter, PacketKind

__all__ = ["Conditions", "Pair", "Swallow"]

_QUEUE_LIMIT_BYTES: Final = 256 * 1024  # on the way in one direction of one connection; then the sender is held back
_SLICES_PER_S: Final = 20  # a rate-limited link delivers in slices of 1/20 s
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER with 0 s: close sends RST


@dataclass(slots=True)
class Swallow:
    """Lose whole packets of one kind: every ``every``-th, until ``left`` is used up (None: for ever)."""

    kind: PacketKind
    every: int = 1
    left: int | None = None
    seen: int = 0

    def takes(self, kind: int) -> bool:
        """Whether the packet that begins now is lost; counts it."""
        if kind != self.kind or self.left == 0:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        if self.left is not None:
            self.left -= 1
        return True


@dataclass(slots=True)
class Conditions:
    """What one direction of the link does to bytes now, and the counts of what it did."""

    is_cut: bool = False
    is_stalled: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    budget_bytes: int | None = None
    on_spent: Callable[[Pair], None] | None = None
    swallows: list[Swallow] = field(default_factory=list)
    forwarded_bytes: int = 0
    swallowed_bytes: int = 0
    packets: Counter[PacketKind] = field(default_factory=Counter)
    swallowed_packets: Counter[PacketKind] = field(default_factory=Counter)
    _free_at_s: float = 0.0

    def clear(self) -> None:
        """Be a perfect link again; the counts stay."""
        self.is_cut = self.is_stalled = False
        self.delay_s = self.jitter_s = 0.0
        self.bytes_per_s = self.budget_bytes = self.on_spent = None
        self.swallows.clear()

    def slices(self, chunk: bytes) -> list[bytes]:
        """Cut a chunk as the rate limit wants it."""
        if self.bytes_per_s is None:
            return [chunk]
        size = max(1, int(self.bytes_per_s / _SLICES_PER_S))
        return [chunk[at : at + size] for at in range(0, len(chunk), size)]

    def due_s(self, size: int, now_s: float, rng: Random) -> float:
        """When ``size`` bytes that are sent now come out at the other end."""
        at_s = now_s
        if self.bytes_per_s is not None:
            at_s = self._free_at_s = max(now_s, self._free_at_s) + size / self.bytes_per_s
        if self.delay_s or self.jitter_s:
            at_s += self.delay_s + rng.uniform(0, self.jitter_s)
        return at_s


class Pair:
    """One connection from a client through the link to the upstream."""

    def __init__(self, up: Conditions, down: Conditions, rng: Random, on_gone: Callable[[Pair], None]) -> None:
        self.client = End(self, up, rng)
        self.upstream = End(self, down, rng)
        self.client.far, self.upstream.far = self.upstream, self.client
        self.has_lost_bytes = False
        self.is_orphan = False  # accepted while the link was dark: has no upstream side
        self._on_gone = on_gone

    def reset(self) -> None:
        """End both sides with RST."""
        self.client.reset()
        self.upstream.reset()

    def refresh(self) -> None:
        """The conditions have changed: apply them to what is on its way."""
        self.client.refresh()
        self.upstream.refresh()

    def note_gone(self) -> None:
        """One side's socket has been closed."""
        if self.client.is_gone and (self.upstream.is_gone or self.upstream.transport is None):
            self._on_gone(self)


class End(asyncio.Protocol):
    """One side's socket; what it hears goes to the far side under its direction's conditions."""

    far: End

    def __init__(self, pair: Pair, conditions: Conditions, rng: Random) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_gone = False
        self._pair = pair
        self._conditions = conditions
        self._rng = rng
        self._frames = FrameSplitter()
        self._swallowing = False
        self._queue: deque[tuple[float, bytes]] = deque()  # (due, bytes); no bytes: the sender said FIN
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._far_is_full = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready; a far side that is gone already ends it."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        if self.far.is_gone and not self.far._queue:
            self.reset()
        self.refresh()
        self.far.refresh()

    def data_received(self, data: bytes) -> None:
        """Bytes of this side."""
        conditions = self._conditions
        if conditions.is_cut or self._pair.is_orphan:
            self._lose(len(data))
            return
        self._forward(self._without_swallowed(data))

    def eof_received(self) -> bool:
        """This side said FIN; the far side may still speak."""
        if self._conditions.is_cut or self._pair.is_orphan:
            self._pair.has_lost_bytes = True
        else:
            self._enqueue(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """This side is closed; the far side hears of it unless the link is cut."""
        self.is_gone = True
        self._drop_queue_of(self.far)
        if self._conditions.is_cut:
            self._pair.has_lost_bytes = True
        elif exc is not None:
            self._drop_queue_of(self)
            self.far.reset()
        else:
            self._enqueue(b"")
        self._pair.note_gone()

    def pause_writing(self) -> None:
        """This side reads too slowly: hold the far side back."""
        self.far._far_is_full = True
        self.far.refresh()

    def resume_writing(self) -> None:
        """This side has caught up."""
        self.far._far_is_full = False
        self.far.refresh()

    # What the pair calls

    def reset(self) -> None:
        """Close with RST; what was on its way is lost."""
        self._drop_queue_of(self)
        if self.transport is None or self.is_gone:
            return
        sock: socket.socket = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # already closed by the other side
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def refresh(self) -> None:
        """Apply the present conditions to what this side has said and may say next."""
        if self._conditions.is_cut and self._queue:
            self._lose(self._queued_bytes)
            self._drop_queue_of(self)
        self._pump()

    # The way of the bytes

    @property
    def _is_blocked(self) -> bool:
        """Nothing can be delivered now, and what comes is to wait."""
        return self._conditions.is_stalled or self.far.transport is None

    def _without_swallowed(self, chunk: bytes) -> bytes:
        conditions = self._conditions
        kept: list[bytes] = []
        lost_bytes = 0
        for piece in self._frames.feed(chunk):
            if piece.begins:
                self._swallowing = any(swallow.takes(piece.kind) for swallow in conditions.swallows)
                counts = conditions.swallowed_packets if self._swallowing else conditions.packets
                counts[PacketKind(piece.kind)] += 1
            if self._swallowing:
                lost_bytes += piece.stop - piece.start
            elif conditions.swallows:
                kept.append(chunk[piece.start : piece.stop])
        if not lost_bytes and not conditions.swallows:
            return chunk
        conditions.swallowed_bytes += lost_bytes
        return b"".join(kept)

    def _forward(self, chunk: bytes) -> None:
        conditions = self._conditions
        if not chunk:
            return
        is_slow = conditions.delay_s or conditions.jitter_s or conditions.bytes_per_s
        if self._queue or self._is_blocked or is_slow:
            for part in conditions.slices(chunk):
                self._enqueue(part)
        else:
            self._deliver(chunk)

    def _enqueue(self, part: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        due_s = self._conditions.due_s(len(part), now_s, self._rng)
        if self._queue:
            due_s = max(due_s, self._queue[-1][0])  # jitter must not reorder a stream
        self._queue.append((due_s, part))
        self._queued_bytes += len(part)
        if len(self._queue) == 1 or self._queued_bytes >= _QUEUE_LIMIT_BYTES:
            self._pump()

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._queue and not self._is_blocked and self._queue[0][0] <= loop.time():
            _, part = self._queue.popleft()
            self._queued_bytes -= len(part)
            self._deliver(part)
        if self._queue and not self._is_blocked:
            self._timer = loop.call_at(self._queue[0][0], self._pump)
        self._hold_or_read()

    def _deliver(self, part: bytes) -> None:
        far = self.far
        if far.transport is None or far.transport.is_closing():
            return
        if part:
            self._send(part, far.transport)
        elif self.is_gone:
            far.transport.close()
        elif far.transport.can_write_eof():
            with contextlib.suppress(OSError):  # it may just have been reset
                far.transport.write_eof()

    def _send(self, part: bytes, transport: asyncio.Transport) -> None:
        conditions = self._conditions
        passing = part if conditions.budget_bytes is None else part[: conditions.budget_bytes]
        conditions.forwarded_bytes += len(passing)
        transport.write(passing)
        if conditions.budget_bytes is None:
            return
        conditions.budget_bytes -= len(passing)
        if conditions.budget_bytes == 0:
            on_spent, conditions.on_spent, conditions.budget_bytes = conditions.on_spent, None, None
            if on_spent is not None:
                on_spent(self._pair)
            if len(part) > len(passing):
                self._lose(len(part) - len(passing))

    def _hold_or_read(self) -> None:
        if self.transport is None or self.is_gone or self.transport.is_closing():
            return
        is_dark = self._conditions.is_cut or self._pair.is_orphan
        is_held = self._is_blocked or self._far_is_full or self._queued_bytes >= _QUEUE_LIMIT_BYTES
        if is_held and not is_dark:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _lose(self, size: int) -> None:
        self._conditions.swallowed_bytes += size
        self._pair.has_lost_bytes = True

    @staticmethod
    def _drop_queue_of(end: End) -> None:
        end._queue.clear()
        end._queued_bytes = 0
        if end._timer is not None:
            end._timer.cancel()
            end._timer = None
