"""The thread of one serial port: it opens, reads, writes and closes it, and does nothing else.

Laws of this file:

- What was read is handed to the loop in turns of 4 KiB at most; the next turn waits until the loop has taken the last
  one. Up to 4 KiB more are read meanwhile, so that each piece has the time at which it came. Then reading stops, and
  the port's own buffer and flow control hold the rest.
- Everything goes to the loop in the order in which it happened: opened, heard, lost.
- A pause that the framer waits for is told only if nothing came in it; while nothing may be read, nobody knows.
- What is to be written goes out in order, one after the other; when the port is lost, all of it fails.
- A device that is not there is looked for twice a second; anything else is tried again after two seconds at most.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final, Protocol

from fieldgate import clock
from fieldgate.ingest.serial_inbox import Piece
from fieldgate.ingest.serial_port import LineErrors, Port
from fieldgate.ingest.serial_problems import PortProblem, SerialDown, SerialError
from fieldgate.net.backoff import Backoff
from fieldgate.threads import leave_signals_to_main

__all__ = ["PortHears", "PortThread", "Write"]

_TURN_BYTES: Final = 4096
_LOOK_EVERY_S: Final = 0.5
_RETRY_BASE_S: Final = 0.25
_RETRY_CAP_S: Final = 2.0
_WELL_AFTER_S: Final = 1.0  # a port that was open for so long is tried again at once
_COUNT_EVERY_S: Final = 1.0
_JOIN_S: Final = 0.1
_MAX_WAITING_BYTES: Final = 64 * 1024  # of what is to be written


class PortHears(Protocol):
    """Who owns the port; called on the loop."""

    def opened(self, where: str) -> None:
        """It is open, at this device."""

    def heard(self, pieces: list[Piece]) -> None:
        """So much came; `PortThread.taken` must follow, now or later."""

    def lost(self, problem: PortProblem) -> None:
        """It is not open any more."""

    def not_opened(self, problem: PortProblem) -> None:
        """It could not be opened; that is tried again."""

    def ended(self) -> None:
        """The thread has handed over all it had, and the port is closed."""

    def failed(self, error: Exception) -> None:
        """A defect has ended the thread."""


class Write:
    """What is to be written; ``done`` is told on the loop why it was not, or None."""

    __slots__ = ("content", "done", "is_begun", "is_wanted", "until_s")

    def __init__(self, content: bytes, until_s: float, done: Callable[[SerialError | None], None]) -> None:
        self.content = content
        self.until_s = until_s
        self.done = done
        self.is_begun = False
        self.is_wanted = True  # when false before it is begun, nothing of it goes out


class PortThread:
    """``opens`` is given a descriptor that ends a wait when it becomes readable. Methods are for the loop."""

    def __init__(self, name: str, opens: Callable[[int], Port], hears: PortHears, *, rng: Random) -> None:
        self.line_errors: LineErrors | None = None
        self._name = name
        self._opens = opens
        self._hears = hears
        self._backoff = Backoff(rng, base_s=_RETRY_BASE_S, cap_s=_RETRY_CAP_S)
        self._loop = asyncio.get_running_loop()
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)
        self._is_stopping = self._is_abandoned = False
        self._may_read = True
        self._handed = self._taken = 0  # turns
        self._wakes_at_s: float | None = None
        self._writes: deque[Write] = deque()
        self._waiting_bytes = 0
        self._held: list[Piece] = []
        self._held_bytes = 0
        self._heard_at_s = self._counted_at_s = 0.0
        self._has_looked_away = False  # what is read next may have come any time since the last piece
        self._thread = threading.Thread(target=self._run, name=f"serial:{name}", daemon=True)  # an open may be stuck

    # -- on the loop ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def taken(self, *, wakes_at_s: float | None, may_read: bool) -> None:
        """A turn was taken. ``wakes_at_s`` is when it is to be told that nothing has come."""
        self._wakes_at_s = wakes_at_s
        self._may_read = may_read
        self._taken += 1
        self._wake()

    def go_on(self) -> None:
        """Read again."""
        self._may_read = True
        self._wake()

    def write(self, content: bytes, *, until_s: float, done: Callable[[SerialError | None], None]) -> Write:
        """Write it after what waits; ``done`` is called once, on the loop.

        Raises:
            SerialError: too much waits.
        """
        if self._waiting_bytes + len(content) > _MAX_WAITING_BYTES:
            raise SerialError(f"{self._name}: {self._waiting_bytes} bytes wait to be written already")
        self._waiting_bytes += len(content)

        def over(problem: SerialError | None) -> None:
            self._waiting_bytes -= len(content)
            done(problem)

        write = Write(content, until_s, over)
        self._writes.append(write)
        self._wake()
        return write

    def stop(self) -> None:
        """Read no more, hand over what was read, close; `PortHears.ended` follows."""
        self._is_stopping = True
        self._wake()

    def close(self) -> None:
        """After `PortHears.ended`, or when that is not waited for any longer; nothing more is told."""
        self._is_abandoned = True
        self._thread.join(timeout=_JOIN_S)
        if not self._thread.is_alive():
            os.close(self._wake_w)
            os.close(self._wake_r)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it is awake
            os.write(self._wake_w, b"!")

    # -- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        leave_signals_to_main()
        try:
            self._keep_open()
        except Exception as error:  # noqa: BLE001 - a defect is the supervisor's affair, which is not in this thread
            self._tell(partial(self._hears.failed, error))
        else:
            self._tell(self._hears.ended)

    def _keep_open(self) -> None:
        while not self._is_stopping:
            try:
                port = self._opens(self._wake_r)
            except PortProblem as problem:
                self._tell(partial(self._hears.not_opened, problem))
                self._fail_writes(problem)
                self._pause(_LOOK_EVERY_S if problem.kind == "absent" else self._backoff.next_s())
            else:
                self._serve(port)

    def _serve(self, port: Port) -> None:
        if self._is_stopping:  # meanwhile
            port.close()
            return
        since_s = clock.boot_s()
        problem = PortProblem(f"{port.where} was closed")
        self._wakes_at_s, self._has_looked_away = None, False
        self._fail_writes(problem)
        self._tell(partial(self._hears.opened, port.where))
        try:
            while not self._is_stopping:
                self._talk(port)
        except PortProblem as found:
            problem = found
        self._hand_over()
        port.close()
        if not self._is_stopping:
            self._tell(partial(self._hears.lost, problem))
        self._fail_writes(problem)
        if clock.boot_s() - since_s >= _WELL_AFTER_S:
            self._backoff.reset()
        elif not self._is_stopping:
            self._pause(self._backoff.next_s())

    def _talk(self, port: Port) -> None:
        """Wait for something to do, and do it."""
        self._drain_wake()
        now_s = clock.boot_s()
        if self._handed == self._taken and self._held:
            self._hand_over()
        reads = self._may_read and self._held_bytes < _TURN_BYTES
        is_quiet = reads and not self._held and self._handed == self._taken
        self._has_looked_away = self._has_looked_away or not reads
        until_s = now_s + _COUNT_EVERY_S
        if is_quiet and self._wakes_at_s is not None:
            until_s = min(until_s, self._wakes_at_s)
        if self._writes:
            until_s = min(until_s, self._writes[0].until_s)
        can_read, can_write = port.wait(reads=reads, writes=bool(self._writes), timeout_s=until_s - now_s)
        if can_read:
            self._read(port)
        elif is_quiet and self._wakes_at_s is not None and clock.boot_s() >= self._wakes_at_s:
            self._held.append(Piece(clock.boot_s(), b""))
        if self._writes:
            self._write_some(port, can_write=can_write)
        if clock.boot_s() >= self._counted_at_s + _COUNT_EVERY_S:
            self._counted_at_s = clock.boot_s()
            self.line_errors = port.line_errors()

    def _read(self, port: Port) -> None:
        content = port.read(_TURN_BYTES - self._held_bytes)
        if not content:
            return
        if not self._has_looked_away:
            self._heard_at_s = clock.boot_s()
        self._has_looked_away = False
        self._held.append(Piece(self._heard_at_s, content))
        self._held_bytes += len(content)

    def _hand_over(self) -> None:
        pieces, self._held, self._held_bytes = self._held, [], 0
        if pieces:
            self._handed += 1
            self._tell(partial(self._hears.heard, pieces))

    def _write_some(self, port: Port, *, can_write: bool) -> None:
        write = self._writes[0]
        if can_write and (write.is_begun or write.is_wanted):
            taken = port.write(write.content)
            write.is_begun = write.is_begun or taken > 0
            write.content = write.content[taken:]
        if not write.content or not (write.is_begun or write.is_wanted):
            self._end_write(None)
        elif clock.boot_s() >= write.until_s:
            self._end_write(SerialError(f"{self._name}: {port.where} took nothing in time: is flow control right?"))

    def _end_write(self, problem: SerialError | None) -> None:
        self._tell(partial(self._writes.popleft().done, problem))

    def _fail_writes(self, problem: PortProblem) -> None:
        while self._writes:
            self._end_write(SerialDown(f"{self._name}: {problem}"))

    def _pause(self, wait_s: float) -> None:
        """Wait; only a stop ends it earlier."""
        until_s = clock.boot_s() + wait_s
        poll = select.poll()
        poll.register(self._wake_r, select.POLLIN)
        while not self._is_stopping and (left_s := until_s - clock.boot_s()) > 0:
            poll.poll(left_s * 1000)
            self._drain_wake()

    def _drain_wake(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_r, 4096)

    def _tell(self, call: Callable[[], None]) -> None:
        if self._is_abandoned:
            return
        with suppress(RuntimeError):  # the loop is over, and with it everybody who could listen
            self._loop.call_soon_threadsafe(call)
