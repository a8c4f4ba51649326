"""A simulated device on a serial line: makes its readings at a rate, answers commands, is unplugged now and then.

The framing is the gateway's own (`fieldgate_devices.framing`), the bytes and the faults follow from the seed. What
counts as sent was written whole and unspoiled while somebody had the line open. Whether it was read nobody can know: a
serial device gets no acknowledgement.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from fieldgate_devices.framing.framer import Framer
from fieldgate_devices.framing.make import make_framer
from fieldgate_simulators.counting import NumberSet
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.line_faults import LineFaults
from fieldgate_simulators.pty_line import PtyLine
from fieldgate_simulators.serial_kinds import KINDS, SerialKind

__all__ = ["SerialCounts", "SerialDevice", "framer_for"]

_TURN_S: Final = 0.01  # how often it looks for commands
_AWAY_S: Final = 0.5
_DRAIN_S: Final = 5.0
_LINES: Final = "lines"


@dataclass(slots=True)
class SerialCounts:
    """What a device did.

    ``spoiled`` frames were sent with a fault in them or just before them, of ``cut`` ones only the beginning, and
    ``unheard`` ones were made while nobody had the line open.
    """

    made: int = 0
    sent: int = 0
    spoiled: int = 0
    cut: int = 0
    unheard: int = 0
    sent_bytes: int = 0
    unplugged: int = 0
    commands: int = 0
    executed: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counts, for JSON."""
        return asdict(self)


class SerialDevice:
    """A device of ``kind`` at ``link``; use it as a context, and let it `run` within.

    ``rate`` is its readings per second; None is as many as the reader takes, 0 none but answers. ``replug_every_s`` is
    how often it is unplugged, in the middle of a frame, for ``away_s``.
    """

    def __init__(
        self,
        kind: str,
        link: Path,
        *,
        rate: float | None = 1.0,
        seed: int = 0,
        faults: LineFaults | None = None,
        replug_every_s: float = 0.0,
        away_s: float = _AWAY_S,
    ) -> None:
        if kind not in KINDS:
            raise SimulatorError(f"there is no simulated device {kind!r}; there are {', '.join(KINDS)}")
        if rate is not None and not 0 <= rate < math.inf:
            raise SimulatorError(f"the rate must be 0 readings per second or more, not {rate:g}")
        self.kind: SerialKind = KINDS[kind]
        self.line = PtyLine(link)
        self.counts = SerialCounts()
        self.sent, self.spoiled = NumberSet(), NumberSet()
        self.commands: list[bytes] = []
        self._rate = rate
        self._rng, self._luck = Random(f"{seed}:{kind}"), Random(f"{seed}:{kind}:line")
        self._speaker = self.kind.make(self._rng)
        self._faults = faults or LineFaults()
        self._framer = framer_for(self.kind)
        self._hears = make_framer(_LINES)
        self._replug_every_s, self._away_s = replug_every_s, away_s
        self._is_end_hurt = False
        self._made_before = 0

    @property
    def device(self) -> str:
        """The device's name in its events, where its profile makes one of what it says; else empty."""
        return self._speaker.device

    async def __aenter__(self) -> Self:
        self.line.plug()
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.line.close()

    async def run(self, *, seconds: float | None = None, frames: int | None = None) -> None:
        """Send until ``seconds`` are over, or ``frames`` are sent unspoiled, or for ever."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        end_s = math.inf if seconds is None else began_s + seconds
        unplugs, self._made_before = 1, self.counts.made
        while (now_s := loop.time()) < end_s and (frames is None or self.counts.sent < frames):
            if self._replug_every_s and now_s >= began_s + unplugs * self._replug_every_s:
                unplugs += 1
                await self.replug()
            await self.hear()
            due_s = self._due_s(began_s)
            if due_s <= loop.time():
                await self.say()
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(max(0.0, min(_TURN_S, due_s - loop.time(), end_s - loop.time())))

    def _due_s(self, began_s: float) -> float:
        if self._rate is None:
            return 0.0 if self.line.is_open else math.inf
        return began_s + (self.counts.made - self._made_before) / self._rate if self._rate else math.inf

    async def say(self) -> None:
        """Make one reading and send it."""
        self.counts.made += 1
        number = self.counts.made
        spoiled = self._faults.spoil(self._framer.encode(self._speaker.reading(number)), self._luck)
        if not self.line.is_open:
            self.counts.unheard += 1
            return
        if not await self._write(spoiled.content):
            self.counts.cut += 1
        elif spoiled.is_intact and not self._is_end_hurt:
            self.counts.sent += 1
            self.sent.add(number)
        else:
            self.counts.spoiled += 1
            self.spoiled.add(number)
        self._is_end_hurt = spoiled.is_end_hurt

    async def hear(self) -> None:
        """Take what was written to the device, and answer what it understands."""
        heard = self.line.read()
        for frame in self._hears.feed_bytes(heard, asyncio.get_running_loop().time()) if heard else ():
            self.counts.commands += 1
            self.commands.append(frame.payload)
            answer = self._speaker.answer(frame.payload)
            if answer is None:
                continue
            self.counts.executed += not answer.startswith(b"ERR")
            await self._write(self._framer.encode(answer))

    async def replug(self, *, away_s: float | None = None, in_mid_frame: bool = True) -> None:
        """Unplug it, with half a frame on the line, and plug it in again under another port.

        Frames that were sent before are given time to be read: what a driver still holds is lost with it.
        """
        await self.line.drained(_DRAIN_S)
        if in_mid_frame and self.line.is_open:
            frame = self._framer.encode(self._speaker.reading(self.counts.made + 1))
            self.counts.made += 1
            self.counts.cut += 1
            await self._write(frame[: self._luck.randint(1, len(frame) // 2)])
            self._is_end_hurt = False
        self.line.unplug()
        self._hears.reset()
        self.counts.unplugged += 1
        await asyncio.sleep(self._away_s if away_s is None else away_s)
        self.line.plug()

    async def _write(self, content: bytes) -> bool:
        for piece, wait_s in self._faults.split(content, self._luck):
            if not await self.line.write(piece):
                return False
            self.counts.sent_bytes += len(piece)
            if wait_s:
                await asyncio.sleep(wait_s)
        return True

    def source(self, name: str) -> dict[str, Any]:
        """What stands in the configuration for this device, under ``sources``."""
        serial = {
            "port": str(self.line.link),
            "baud": self.kind.baud,
            "framing": self.kind.framing,
            "profile": self.kind.profile,
        }
        return {"name": name, "serial": serial}


def framer_for(kind: SerialKind) -> Framer:
    """Return the framer that a device of this kind speaks through."""
    written: str | Mapping[str, Any] = kind.framing
    if isinstance(written, str):
        return make_framer(written)
    ((name, options),) = written.items()
    return make_framer(name, options)
