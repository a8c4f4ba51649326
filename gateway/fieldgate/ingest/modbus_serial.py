"""The way to a Modbus bus on a serial port: Modbus RTU, one question at a time.

`PortThread` keeps the port, as for every serial source: it waits for an adapter that is away, under whatever name it
comes back. Between frames the bus is silent for 3.5 characters (Modbus over Serial Line V1.02, 2.5.1.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from fieldgate import clock
from fieldgate.config.serial import SerialSourceConfig
from fieldgate.ingest.modbus_dialogue import Channel, ChannelDown, Dialogue
from fieldgate.ingest.modbus_wire import Answer, RtuWire
from fieldgate.ingest.serial_inbox import Piece
from fieldgate.ingest.serial_port import Port, open_port
from fieldgate.ingest.serial_problems import PortProblem, SerialError
from fieldgate.ingest.serial_thread import PortThread
from fieldgate_devices.modbus import Request, Write

__all__ = ["SerialChannel", "silence_s"]

_FAST_BAUD: Final = 19_200
_FAST_SILENCE_S: Final = 0.00175
_WRITE_S: Final = 2.0
_END_S: Final = 0.5


def silence_s(baud: int, *, has_parity: bool, stopbits: int) -> float:
    """Return how long a bus must be silent between two frames."""
    if baud > _FAST_BAUD:
        return _FAST_SILENCE_S
    return 3.5 * (1 + 8 + has_parity + stopbits) / baud


class SerialChannel(Channel):
    """Implements `Channel` and `PortHears`; ``delay_s`` is the pause before a question where it is the longer one."""

    def __init__(self, name: str, config: SerialSourceConfig, *, delay_s: float, rng: Random) -> None:
        self.where = config.port
        opens: Callable[[int], Port] = partial(open_port, config)
        silent_s = silence_s(config.baud, has_parity=config.parity != "none", stopbits=config.stopbits)
        self._delay_s = max(delay_s, silent_s)
        self._thread = PortThread(name, opens, self, rng=rng)
        self._has_begun = self._is_closed = False
        self._dialogue: Dialogue | None = None
        self._news: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._has_ended = asyncio.Event()
        self._quiet_from_s = 0.0
        self._turn = asyncio.Lock()

    # -- Channel ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `Channel`. It is the thread that tries again, at its own pace."""
        if self._failure is not None:
            raise self._failure
        if self._dialogue is not None:
            return
        self._news = asyncio.get_running_loop().create_future()
        if not self._has_begun:
            self._has_begun = True
            self._thread.start()
        await self._news

    async def ask(self, unit: int, what: Request | Write, timeout_s: float) -> Answer | None:
        """See `Channel`."""
        if (wait_s := self._quiet_from_s + self._delay_s - clock.boot_s()) > 0:
            await asyncio.sleep(wait_s)
        async with self._turn:
            dialogue = self._dialogue
            if dialogue is None:
                raise ChannelDown(f"{self.where} is not open")
            try:
                return await dialogue.ask(unit, what, timeout_s)
            finally:
                self._quiet_from_s = clock.boot_s()
                self.late += dialogue.take_late()

    async def close(self) -> None:
        """See `Channel`."""
        if self._is_closed:
            return
        self._is_closed = True
        self._down(ChannelDown(f"{self.where} was closed"))
        if self._has_begun:
            self._thread.stop()
            try:
                async with asyncio.timeout(_END_S):
                    await self._has_ended.wait()
            except TimeoutError:  # it hangs in an open, and is left behind
                pass
        self._thread.close()

    def _write(self, frame: bytes) -> None:
        try:
            self._thread.write(frame, until_s=clock.boot_s() + _WRITE_S, done=self._written)
        except SerialError as error:
            self._down(ChannelDown(str(error)))

    def _written(self, problem: SerialError | None) -> None:
        """What the port did not take gets no answer, which is noticed as any other silence."""

    def _down(self, problem: ChannelDown) -> None:
        if self._dialogue is not None:
            self._dialogue.end(problem)
            self._dialogue = None

    # -- PortHears ----------------------------------------------------------------------------------------------------

    def opened(self, where: str) -> None:
        """See `PortHears`."""
        self.where = where
        self._dialogue = Dialogue(RtuWire(), self._write)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def heard(self, pieces: list[Piece]) -> None:
        """See `PortHears`."""
        for piece in pieces:
            if piece.content and self._dialogue is not None:
                self._dialogue.hear(piece.content)
        self._quiet_from_s = clock.boot_s()
        self._thread.taken(wakes_at_s=None, may_read=True)

    def lost(self, problem: PortProblem) -> None:
        """See `PortHears`."""
        self._down(ChannelDown(str(problem), is_refusal=problem.kind == "refused"))

    def not_opened(self, problem: PortProblem) -> None:
        """See `PortHears`."""
        if self._news is not None and not self._news.done():
            self._news.set_exception(ChannelDown(str(problem), is_refusal=problem.kind == "refused"))

    def ended(self) -> None:
        """See `PortHears`."""
        self._has_ended.set()

    def failed(self, error: Exception) -> None:
        """See `PortHears`."""
        self._failure = error
        self._has_ended.set()
        self._down(ChannelDown(repr(error)))
        if self._news is not None and not self._news.done():
            self._news.set_exception(error)
