"""A serial line without a wire: a pty whose other end has a name that stays, as an adapter's under by-id.

``plug`` makes the pty and the link, ``unplug`` takes both away, so that who has it open is hung up on; the next
``plug`` is another pts under the same link. What is written while nobody has the line open is lost, as on a wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import tty
from pathlib import Path
from typing import Final, NamedTuple

from fieldgate_simulators.errors import SimulatorError

__all__ = ["PtyLine"]

_READ_BYTES: Final = 4096
_POLL_S: Final = 0.005  # nothing tells when a reader has read


class PtyLine:
    """Our end of the line; the other one is opened by the name ``link``."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._pty: _Pty | None = None
        self._spare: _Pty | None = None  # a pty that is made before the last one goes has another number
        self.plugged = 0

    @property
    def is_plugged(self) -> bool:
        """Whether the link leads somewhere."""
        return self._pty is not None

    @property
    def is_open(self) -> bool:
        """Whether somebody has the other end open."""
        if self._pty is None:
            return False
        poll = select.poll()
        poll.register(self._pty.master, select.POLLHUP)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    @property
    def port(self) -> str:
        """What the link leads to, such as ``/dev/pts/4``; empty while it is unplugged."""
        return self._pty.port if self._pty is not None else ""

    def plug(self) -> None:
        """Make the line and its link.

        Raises:
            SimulatorError: the name is taken, or the link cannot be made.
        """
        if self._pty is not None:
            return
        if self.link.exists() and not self.link.is_symlink():
            raise SimulatorError(f"{str(self.link)!r} is there and no link; give a name that is free")
        self._pty, self._spare = self._spare or _new_pty(), None
        made = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        try:
            made.unlink(missing_ok=True)
            made.symlink_to(self._pty.port)
            made.replace(self.link)
        except OSError as error:
            os.close(self._pty.master)
            self._pty = None
            raise SimulatorError(f"the link {str(self.link)!r} cannot be made: {error.strerror}") from error
        self.plugged += 1

    def unplug(self) -> None:
        """Take the line away; who has it open reads its end."""
        if self._pty is None:
            return
        self._spare = self._spare or _new_pty()
        self._remove_link(self._pty)
        os.close(self._pty.master)
        self._pty = None

    def close(self) -> None:
        """End for good."""
        if self._pty is not None:
            self._remove_link(self._pty)
        for one in (self._pty, self._spare):
            if one is not None:
                os.close(one.master)
        self._pty = self._spare = None

    async def write(self, content: bytes) -> bool:
        """Write all of it, waiting while the reader lags; False if it was unplugged or closed before that."""
        rest = memoryview(content)
        while rest:
            if self._pty is None or not self.is_open:
                return False
            try:
                rest = rest[os.write(self._pty.master, rest) :]
            except BlockingIOError:
                await _writable(self._pty.master)
            except OSError:
                return False
        return True

    def read(self) -> bytes:
        """What was written to us since the last time, 4 KiB at most; nothing if that is nothing."""
        if self._pty is None:
            return b""
        with contextlib.suppress(OSError):  # nothing there, or nobody at the other end
            return os.read(self._pty.master, _READ_BYTES)
        return b""

    def unread(self) -> int:
        """How many bytes the reader has not taken yet: they are lost when the line is unplugged now."""
        if self._pty is None or not self.is_open:
            return 0
        try:
            end = os.open(self._pty.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # the reader has it for itself alone
            return 0
        try:
            poll = select.poll()
            poll.register(end, select.POLLIN)
            poll.poll(0)  # has the kernel bring in what is still on its way from us to there
            waiting: int = struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, bytes(4)))[0]
        finally:
            os.close(end)
        return waiting

    async def drained(self, timeout_s: float) -> bool:
        """Wait until the reader has taken all that was written; False when that takes longer."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while self.unread():
            if loop.time() >= end_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _remove_link(self, is_now: _Pty) -> None:
        """Remove the link, unless it is somebody else's by now."""
        with contextlib.suppress(OSError):
            if str(self.link.readlink()) == is_now.port:
                self.link.unlink()


class _Pty(NamedTuple):
    master: int
    port: str


def _new_pty() -> _Pty:
    """A pty in raw mode, its other end closed: from then on its state tells whether somebody has it open."""
    master, end = pty.openpty()
    tty.setraw(end)
    port = os.ttyname(end)
    os.close(end)
    os.set_blocking(master, False)
    return _Pty(master, port)


async def _writable(number: int) -> None:
    """Wait until the pty takes something again, or is hung up on."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(number, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(number)
