"""Bytes of a file on a serial line, at its speed and in random pieces: a log of a real device, heard again."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.line_faults import LineFaults
from fieldgate_simulators.pty_line import PtyLine
from fieldgate_simulators.serial_pty import SerialCounts

__all__ = ["SerialReplay"]

_BITS_OF_A_BYTE: Final = 10  # with start and stop bit
_PIECE_BYTES: Final = 256
_POLL_S: Final = 0.01
_DRAIN_S: Final = 5.0


class SerialReplay:
    """Says what stands in ``file`` once, from when somebody has the line open; use it as a context.

    ``baud`` is the speed of the line; 0 is as fast as it is read. Pieces of up to 256 bytes and their faults follow
    from the seed.
    """

    def __init__(
        self, file: Path, link: Path, *, baud: int = 9600, seed: int = 0, faults: LineFaults | None = None
    ) -> None:
        try:
            self._content = file.read_bytes()
        except OSError as error:
            raise SimulatorError(f"{str(file)!r} cannot be read: {error.strerror}") from error
        if not self._content:
            raise SimulatorError(f"{str(file)!r} is empty: there is nothing to say")
        self.line = PtyLine(link)
        self.counts = SerialCounts()
        self._faults = faults or LineFaults()
        self._byte_s = _BITS_OF_A_BYTE / baud if baud else 0.0
        self._rng = Random(f"{seed}:replay")

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return len(self._content)

    async def __aenter__(self) -> Self:
        self.line.plug()
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.line.close()

    async def run(self, *, seconds: float | None = None) -> None:
        """Say all of it, or as much as there is time for; return once it was taken from the line.

        While nobody has the line open it waits where it is, so that nothing is lost.
        """
        loop = asyncio.get_running_loop()
        end_s = math.inf if seconds is None else loop.time() + seconds
        place, next_s = 0, 0.0
        while place < len(self._content) and (now_s := loop.time()) < end_s:
            self.line.read()  # a device that only talks
            if not self.line.is_open:
                next_s = 0.0
                await asyncio.sleep(_POLL_S)
                continue
            next_s = max(next_s, now_s - 1.0) if next_s else now_s  # a stall of the reader is made up for, up to 1 s
            piece = self._content[place : place + self._rng.randint(1, _PIECE_BYTES)]
            spoiled = self._faults.spoil(piece, self._rng)
            if await self.line.write(spoiled.content):
                place += len(piece)
                self.counts.made += 1
                self.counts.spoiled += not spoiled.is_intact
                self.counts.sent_bytes += len(spoiled.content)
            next_s += len(piece) * self._byte_s
            await asyncio.sleep(max(0.0, min(next_s, end_s) - loop.time()))
        await self.line.drained(max(0.0, min(_DRAIN_S, end_s - loop.time())))
