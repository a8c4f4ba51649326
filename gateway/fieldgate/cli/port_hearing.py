"""Listen to a serial port without saying anything: at several speeds, until it is clear what is spoken there.

The port is opened for reading only and locked meanwhile, so that nobody else begins to use it. Its settings are put
back, but for one: it no longer hangs up when it is closed, so that the next opening does not move DTR again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fieldgate.errors import FieldgateError
from fieldgate_devices.framing.guess import Guess, guess

__all__ = ["SPEEDS", "Heard", "PortBusy", "Speed", "hear_port"]

_MOST_BYTES: Final = 32 * 1024
_READ_BYTES: Final = 4096
_LOOK_EVERY_S: Final = 0.5
_ENOUGH_CHECKED: Final = 3  # frames whose own check was right
_ENOUGH: Final = 20
_CFLAG, _ISPEED, _OSPEED = 2, 4, 5


@dataclass(frozen=True, slots=True)
class Speed:
    """A speed and the parity that goes with it."""

    baud: int
    parity: str = "none"

    @property
    def bits(self) -> str:
        """``8N1``, ``7E1``."""
        return "7E1" if self.parity == "even" else "8N1"


SPEEDS: Final = (
    Speed(9600),
    Speed(115_200),
    Speed(4800),
    Speed(19_200),
    Speed(38_400),
    Speed(57_600),
    Speed(9600, "even"),
)
"""What is tried, the most frequent first: 9600 with 7E1 is that of older P1 and optical ports."""

_TERMIOS_SPEEDS: Final = {
    4800: termios.B4800,
    9600: termios.B9600,
    19_200: termios.B19200,
    38_400: termios.B38400,
    57_600: termios.B57600,
    115_200: termios.B115200,
}


class PortBusy(FieldgateError):
    """The port cannot be listened to; the text says why."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came in at one speed, and what it may be, the likeliest first."""

    speed: Speed
    size_bytes: int
    guesses: tuple[Guess, ...]

    @property
    def rank(self) -> tuple[bool, float, int, int]:
        """How much it looks like something, for comparing speeds."""
        best = self.guesses[0] if self.guesses else None
        known = (best.is_sure, best.share, best.frames) if best is not None else (False, 0.0, 0)
        return (*known, self.size_bytes)


def _is_clear(guesses: Sequence[Guess]) -> bool:
    """Nobody says that many such frames by chance."""
    return bool(guesses) and guesses[0].frames >= (_ENOUGH_CHECKED if guesses[0].is_sure else _ENOUGH)


async def hear_port(device: str, *, each_s: float, has_speed: bool, tells: Callable[[Speed], None]) -> Heard | None:
    """Return the best of what was heard in ``each_s`` seconds at each speed; None if nothing was.

    Where the port has no speed of its own (a pty) one is enough. ``tells`` is called with each speed that begins.

    Raises:
        PortBusy: it cannot be opened, or somebody has it locked.
    """
    best: Heard | None = None
    with _opened(device) as port:
        for speed in SPEEDS if has_speed else SPEEDS[:1]:
            tells(speed)
            _set_speed(port, speed)
            content = await _listen(port, each_s)
            heard = Heard(speed, len(content), tuple(await asyncio.to_thread(guess, content)))
            if content and (best is None or heard.rank > best.rank):
                best = heard
            if _is_clear(heard.guesses):
                break
    return best


@contextlib.contextmanager
def _opened(device: str) -> Iterator[int]:
    try:
        port = os.open(device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise PortBusy(f"cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
            before = termios.tcgetattr(port)
        except BlockingIOError as error:
            raise PortBusy("somebody has it locked") from error
        except (OSError, termios.error) as error:
            raise PortBusy(f"is no serial port: {error.args[-1]}") from error
        try:
            yield port
        finally:
            before[_CFLAG] &= ~termios.HUPCL
            with contextlib.suppress(termios.error):  # it may be unplugged by now
                termios.tcsetattr(port, termios.TCSANOW, before)
    finally:
        os.close(port)


def _set_speed(port: int, speed: Speed) -> None:
    """Raw, without flow control, and without hanging up at the end."""
    try:
        tty.setraw(port, termios.TCSANOW)
        attributes = termios.tcgetattr(port)
        flags = attributes[_CFLAG] & ~(
            termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.CRTSCTS | termios.HUPCL
        )
        flags |= termios.CS7 | termios.PARENB if speed.parity == "even" else termios.CS8
        attributes[_CFLAG] = flags | termios.CREAD | termios.CLOCAL
        attributes[_ISPEED] = attributes[_OSPEED] = _TERMIOS_SPEEDS[speed.baud]
        termios.tcsetattr(port, termios.TCSANOW, attributes)
        termios.tcflush(port, termios.TCIFLUSH)  # what came in at another speed
    except termios.error as error:
        raise PortBusy(f"cannot be set to {speed.baud} baud: {error.args[-1]}") from error


async def _listen(port: int, seconds: float) -> bytes:
    """What comes in; for as long as told, or until it is clear what it is."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    heard = bytearray()
    arrived = asyncio.Event()
    loop.add_reader(port, arrived.set)
    try:
        looked_s = loop.time()
        while (left_s := end_s - loop.time()) > 0 and len(heard) < _MOST_BYTES:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), left_s)
            arrived.clear()
            try:
                piece = os.read(port, _READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                break
            if not piece:
                break  # unplugged
            heard += piece
            if loop.time() >= looked_s + _LOOK_EVERY_S:
                looked_s = loop.time()
                if _is_clear(await asyncio.to_thread(guess, bytes(heard))):
                    break
    finally:
        loop.remove_reader(port)
    return bytes(heard)
