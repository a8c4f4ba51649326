"""One serial port that is read: `PortThread` keeps the port, `SerialInbox` takes what comes, this joins them.

Promise: what was read is delivered once; a device that is away is waited for, under whatever name it comes back. What
comes while nobody reads is the port's to keep or to lose: a serial device sends nothing again. ``status`` says where
the source is, in words; the log has one line per change.

The order of a clean stop is the caller's: `stop_reading`, everything handed over is settled, then `stop`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final

import structlog

from fieldgate import clock
from fieldgate.config.source import SourceConfig
from fieldgate.ingest.serial_inbox import Piece, SerialInbox
from fieldgate.ingest.serial_port import open_port
from fieldgate.ingest.serial_problems import PortProblem, SerialDown, SerialError
from fieldgate.ingest.serial_status import SerialStatus
from fieldgate.ingest.serial_thread import PortThread
from fieldgate.ingest.source import Intake
from fieldgate.net.broker_connection import ConnectionState
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Lane
from fieldgate_devices.framing.framer import Framer

__all__ = ["SerialSource"]

_RETRY_HELD_S: Final = 0.25
_LAST_WORDS_S: Final = 0.3  # a frame that is over when nothing follows is waited for, for so long
_END_S: Final = 0.5  # longest wait for the thread; one that hangs in an open must not keep us

_log = structlog.get_logger("fieldgate")


class SerialSource:
    """One entry of ``sources`` with ``serial``; ``framer`` is its own. Implements `PortHears`."""

    def __init__(self, config: SourceConfig, intake: Intake, *, framer: Framer, rng: Random) -> None:
        self.name = config.name
        self._config = config.port
        self._framer = framer
        self._rng = rng
        self._inbox = SerialInbox(
            config.name,
            config.topic,
            framer,
            intake,
            lane=Lane[config.lane.upper()],
            max_unsettled_bytes=self._config.max_unsettled,
            resumes=self._resume,
        )
        self._thread: PortThread | None = None
        self._state: ConnectionState = "connecting"
        self._reason = ""
        self._since_s = clock.boot_s()
        self._device = ""
        self._connections = 0
        self._written_bytes = 0
        self._unsent = 0
        self._news: deque[Callable[[], None]] = deque()
        self._has_news = asyncio.Event()
        self._is_up = asyncio.Event()
        self._is_ready = asyncio.Event()  # what is sent first was sent
        self._is_down = asyncio.Event()
        self._is_down.set()
        self._is_quiet = asyncio.Event()  # the framer waits for nothing
        self._has_ended = asyncio.Event()
        self._told: str | None = None  # why it waits, as last told; None: nothing was told yet
        self._doubted = ""  # another reason, seen once
        self._is_confused = False
        self._has_run = False

    @property
    def status(self) -> SerialStatus:
        """Where the source is now."""
        inbox, thread = self._inbox, self._thread
        tally = inbox.tally
        return SerialStatus(
            state=self._state,
            reason=self._reason,
            since_s=self._since_s,
            device=self._device,
            bytes=tally.bytes,
            frames=tally.frames,
            bad_frames=dict(tally.bad),
            skipped_bytes=inbox.skipped_bytes,
            dropped_frames=tally.dropped_frames,
            dropped_bytes=tally.dropped_bytes,
            unsaved=tally.unsaved,
            unsettled=inbox.unsettled,
            unsettled_bytes=inbox.unsettled_bytes,
            is_paused=inbox.is_paused,
            reconnects=max(0, self._connections - 1),
            written_bytes=self._written_bytes,
            unsent=self._unsent,
            line_errors=thread.line_errors if thread is not None and self.is_connected else None,
        )

    @property
    def is_connected(self) -> bool:
        """Whether the port is open."""
        return self._state == "connected"

    # -- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open, read, wait for the device, until cancelled."""
        thread = self._thread = PortThread(self.name, partial(open_port, self._config), self, rng=self._rng)
        self._news.clear()
        if self._has_run:  # a fault of ours ended the last run: nothing of what was half read is trusted
            self._inbox.cut()
        self._has_run = True
        thread.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._speak(), name=f"speak:{self.name}")
                await self._listen()
        except ExceptionGroup as group:  # the supervisor decides by the class of what failed
            raise group.exceptions[0] from group
        finally:
            thread.stop()
            thread.close()
            self._thread = None
            self._down("connecting", "")

    async def _listen(self) -> None:
        """Do what the thread tells, in its order."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_HELD_S if self._inbox.has_held else None):
                    await self._has_news.wait()
            self._has_news.clear()
            if self._inbox.has_held:
                self._inbox.retry()
            while self._news:
                self._news.popleft()()

    def use(self, catalogue: Catalogue) -> None:
        """From now on by these profiles: what is read does not depend on them."""

    async def stop_reading(self) -> None:
        """Read nothing more, hand over what was read, close the port."""
        thread = self._thread
        if thread is not None:
            wakes_at_s = self._inbox.wakes_at_s
            if self.is_connected and wakes_at_s is not None and wakes_at_s - clock.boot_s() < _LAST_WORDS_S:
                self._is_quiet.clear()
                await _wait(self._is_quiet, _LAST_WORDS_S)
            thread.stop()
            await _wait(self._has_ended, _END_S)
        self._inbox.end()
        _log.info("source.stopped", source=self.name)

    async def stop(self) -> None:
        """Nothing is left to do: nobody is to be told goodbye."""

    # -- writing ------------------------------------------------------------------------------------------------------

    def encode(self, payload: bytes) -> bytes:
        """Return the frame that carries ``payload`` to the device.

        Raises:
            SerialError: the framing cannot carry it.
        """
        try:
            return self._framer.encode(payload)
        except ValueError as error:
            raise SerialError(f"{self.name}: {error}") from error

    async def write(self, content: bytes, *, timeout_s: float | None = None) -> None:
        """Write ``content`` to the port, after what others write; return when the port has taken all of it.

        ``timeout_s``: default ``write_timeout``. Cancelled before its turn, nothing of it goes out.

        Raises:
            SerialDown: the port is not open, or was lost meanwhile: perhaps after a part of it.
            SerialError: the port did not take all of it in time.
        """
        until_s = clock.boot_s() + (self._config.write_timeout if timeout_s is None else timeout_s)
        if not self.is_connected:
            raise SerialDown(f"{self.name}: {self._reason or 'the port is not open yet'}")
        if not await _wait(self._is_ready, until_s - clock.boot_s()):
            raise SerialError(f"{self.name}: 'init' is still being sent")
        await self._write(content, until_s=until_s)

    async def _write(self, content: bytes, *, until_s: float) -> None:
        thread = self._thread
        if thread is None or not self.is_connected:
            raise SerialDown(f"{self.name}: {self._reason or 'the port is not open'}")
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(problem: SerialError | None) -> None:
            if over.done():
                return
            if problem is None:
                over.set_result(None)
            else:
                over.set_exception(problem)

        write = thread.write(content, until_s=until_s, done=done)
        try:
            await over
        finally:
            write.is_wanted = False
        self._written_bytes += len(content)

    async def _speak(self) -> None:
        """Send what is sent first, then the questions."""
        while True:
            await self._is_up.wait()
            with suppress(SerialDown):
                await self._pause(self._config.init_after)
                for one in self._config.init:
                    await self._send(one.content)
                self._is_ready.set()
                while (poll := self._config.poll) is not None:
                    await self._send(poll.send.content)
                    await self._pause(poll.every)
                await self._is_down.wait()

    async def _pause(self, wait_s: float) -> None:
        """Wait; `SerialDown` if the port is lost meanwhile, also where it is open again by now."""
        if await _wait(self._is_down, wait_s):
            raise SerialDown(self._reason)

    async def _send(self, content: bytes) -> None:
        try:
            await self._write(content, until_s=clock.boot_s() + self._config.write_timeout)
        except SerialDown:
            raise
        except SerialError:  # the next one may be taken
            self._unsent += 1

    # -- PortHears: in the order in which it happened, by `_listen` ---------------------------------------------------

    def opened(self, where: str) -> None:
        """See `PortHears`."""
        self._do(partial(self._opened, where))

    def heard(self, pieces: list[Piece]) -> None:
        """See `PortHears`."""
        self._do(partial(self._heard, pieces))

    def lost(self, problem: PortProblem) -> None:
        """See `PortHears`."""
        self._do(partial(self._lost, problem))

    def not_opened(self, problem: PortProblem) -> None:
        """See `PortHears`."""
        self._do(partial(self._not_opened, problem))

    def ended(self) -> None:
        """See `PortHears`."""
        self._do(self._has_ended.set)

    def failed(self, error: Exception) -> None:
        """See `PortHears`: as if it had happened in `run`."""

        def fail() -> None:
            raise error

        self._do(fail)

    def _do(self, call: Callable[[], None]) -> None:
        self._news.append(call)
        self._has_news.set()

    def _opened(self, where: str) -> None:
        self._connections += 1
        self._device = where
        self._set_state("connected", "")
        self._told, self._doubted = "", ""
        self._is_confused = False
        self._inbox.opened()
        self._is_down.clear()
        self._is_up.set()
        _log.info("serial.connected", source=self.name, port=self._config.port, device=where)

    def _heard(self, pieces: list[Piece]) -> None:
        inbox, thread = self._inbox, self._thread
        inbox.take(pieces)
        if inbox.is_not_understood != self._is_confused:
            self._is_confused = inbox.is_not_understood
            self._tell_confusion()
        wakes_at_s = inbox.wakes_at_s
        if wakes_at_s is None:
            self._is_quiet.set()
        if thread is not None:
            thread.taken(wakes_at_s=wakes_at_s, may_read=not inbox.is_paused)

    def _lost(self, problem: PortProblem) -> None:
        self._inbox.cut()
        self._down("backoff", str(problem))
        _log.warning("serial.lost", source=self.name, port=self._config.port, reason=str(problem))

    def _not_opened(self, problem: PortProblem) -> None:
        reason = str(problem)
        self._set_state("refused" if problem.kind == "refused" else "backoff", reason)
        if reason == self._told:
            self._doubted = ""
        elif problem.kind == "absent" and self._told == "" and self._connections:
            self._told = reason  # that it was lost was told
        elif self._told is None or reason == self._doubted:
            self._told, self._doubted = reason, ""
            _log.warning("serial.waiting", source=self.name, port=self._config.port, reason=reason)
        else:
            self._doubted = reason  # a device that appears may belong to nobody for a moment

    def _tell_confusion(self) -> None:
        self._reason = ""
        if self._is_confused:
            self._reason = "much comes, and not one intact frame: are baud rate, parity and framing right?"
            _log.warning("serial.not_understood", source=self.name, port=self._config.port, reason=self._reason)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _down(self, state: ConnectionState, reason: str) -> None:
        self._set_state(state, reason)
        self._device = ""
        self._is_up.clear()
        self._is_ready.clear()
        self._is_down.set()

    def _set_state(self, state: ConnectionState, reason: str) -> None:
        if (state == "connected") != self.is_connected:
            self._since_s = clock.boot_s()
        self._state, self._reason = state, reason

    def _resume(self) -> None:
        if self._thread is not None:
            self._thread.go_on()


async def _wait(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for ``event``; return whether it came in time."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    except TimeoutError:
        return False
    return True
