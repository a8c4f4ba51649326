"""One open serial port: set as configured, locked, read and written without waiting longer than asked.

Used by one thread. What the system or pyserial says goes out as `PortProblem`.

Devices and ``socket://`` are read by their descriptor; other URLs of pyserial (``rfc2217://``, ``loop://`` …) have none
and are asked in short turns. Nothing that waits in the kernel when a port is opened is thrown away: where a kernel
gathers before that, it is the device's.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar, cast

import serial
import serial.rfc2217
import serial.rs485
from serial.urlhandler import protocol_socket

from fieldgate.config.serial import SerialSourceConfig
from fieldgate.ingest.serial_place import find_port
from fieldgate.ingest.serial_problems import PortProblem, lost_problem, open_problem, unfit_problem

__all__ = ["LineErrors", "Port", "open_port"]

_PARITY: Final = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
    "mark": serial.PARITY_MARK,
    "space": serial.PARITY_SPACE,
}
_TURN_S: Final = 0.05  # how long a port without a descriptor is asked before others may have a word
_TIOCGICOUNT: Final = 0x545D  # struct serial_icounter_struct: 11 counters and 9 reserved
_COUNTERS: Final = struct.Struct("20i")
_DRAIN_STEPS: Final = 20
_DRAIN_STEP_MS: Final = 10

T = TypeVar("T")


class LineErrors(NamedTuple):
    """What the port's driver has counted since it was opened; ``overruns`` are bytes that were lost in it."""

    overruns: int
    framing: int
    parity: int
    breaks: int


class Port(Protocol):
    """A port as its thread uses it."""

    where: str

    def wait(self, *, reads: bool, writes: bool, timeout_s: float) -> tuple[bool, bool]:
        """Wait until it can be read or written as asked, or somebody wakes the thread."""

    def read(self, size: int) -> bytes:
        """Return what is there, ``size`` bytes at most, perhaps none.

        Raises:
            PortProblem: the port is gone.
        """

    def write(self, content: bytes) -> int:
        """Give it to the port, and return how many bytes it took.

        Raises:
            PortProblem: the port is gone.
        """

    def line_errors(self) -> LineErrors | None:
        """Return what the driver counts; None if it counts nothing."""

    def check_place(self) -> None:
        """See that the configured name still leads here.

        Raises:
            PortProblem: it leads to another device now.
        """

    def close(self) -> None:
        """Close it; never waits long for what was written."""


def open_port(config: SerialSourceConfig, wake: int) -> Port:
    """Open and set up the port. ``wake`` is a descriptor that becomes readable when a wait shall end.

    Raises:
        PortProblem: it cannot be opened now.
    """
    place = find_port(config.port)
    is_url = "://" in place
    if not is_url and (problem := unfit_problem(place)) is not None:
        raise problem
    try:
        made = _by_url(place) if is_url else _Device(config)
        _set_up(made, config, is_url=is_url)
        made.port = place
        made.open()
    except ImportError as error:
        raise PortProblem(f"{place} needs a driver that is not installed: {error}", kind="refused") from error
    except (ValueError, OSError, termios.error, struct.error) as error:
        raise _translated(place, error) from error
    where = place if is_url else os.path.realpath(place)
    if not is_url or place.startswith("socket://"):
        return _DescriptorPort(made, where, wake, name="" if is_url else place)
    return _TurnPort(made, where, wake)


def _by_url(url: str) -> serial.Serial:
    if url.startswith("socket://"):
        made: object = _Socket()
    elif url.startswith("rfc2217://"):
        made = _Rfc2217()
    else:
        made = serial.serial_for_url(url, do_not_open=True)
    return cast("serial.Serial", made)  # they all have its face


def _set_up(made: serial.Serial, config: SerialSourceConfig, *, is_url: bool) -> None:
    made.baudrate = config.baud
    made.bytesize = config.bytesize
    made.parity = _PARITY[config.parity]
    made.stopbits = config.stopbits
    made.xonxoff = config.flow_control == "xonxoff"
    made.rtscts = config.flow_control == "rtscts"
    made.timeout = _TURN_S  # never changed when it is open: that would set up the whole port anew
    if not isinstance(made, _Rfc2217):  # which has one of its own
        made.write_timeout = config.write_timeout
    if config.dtr != "leave":
        made.dtr = config.dtr == "on"
    if config.rts != "leave":
        made.rts = config.rts == "on"
    if is_url:
        return
    made.exclusive = True
    if (rs485 := config.rs485) is not None:
        made.rs485_mode = serial.rs485.RS485Settings(
            rts_level_for_tx=rs485.rts_on_send,
            rts_level_for_rx=rs485.rts_after_send,
            loopback=rs485.loopback,
            delay_before_tx=rs485.delay_before,
            delay_before_rx=rs485.delay_after,
        )


def _translated(place: str, error: Exception) -> PortProblem:
    """The words for what pyserial raised; it hides the error of the system in several ways."""
    if isinstance(error, PortProblem):
        return error
    if "RS485" in str(error):
        return PortProblem(f"{place}: its driver does not do RS-485; leave out rs485", kind="refused")
    for one in (error, error.__context__):
        if isinstance(one, termios.error):
            return open_problem(place, OSError(*one.args))
        if isinstance(one, OSError) and one.errno is not None:
            if "://" in place:
                return PortProblem(f"{place} cannot be reached: {os.strerror(one.errno)}")
            return open_problem(place, one)
    text = str(error)
    if "baud" in text:
        return PortProblem(f"{place} does not do this baud rate: {text}", kind="refused")
    return PortProblem(f"{place} cannot be opened: {text}")


class _Device(serial.Serial):
    """A device of this machine, opened without touching more than asked."""

    def __init__(self, config: SerialSourceConfig) -> None:
        super().__init__()
        self._config = config

    def _reset_input_buffer(self) -> None:
        """What waits is not thrown away; see above."""

    def _update_dtr_state(self) -> None:
        if self._config.dtr != "leave":
            super()._update_dtr_state()  # type: ignore[misc]  # the stubs know public names only

    def _update_rts_state(self) -> None:
        if self._config.rts != "leave":
            super()._update_rts_state()  # type: ignore[misc]  # as above

    def _reconfigure_port(self, force_update: bool = False) -> None:
        super()._reconfigure_port(force_update=force_update)  # type: ignore[misc]  # as above
        fd = self.fd
        assert fd is not None
        attributes = termios.tcgetattr(fd)
        attributes[0] &= ~termios.BRKINT  # else a break would empty the buffers
        if "leave" in (self._config.dtr, self._config.rts):
            attributes[2] &= ~termios.HUPCL
        attributes[6][termios.VMIN] = 1  # a read that finds nothing says so, and is no end
        termios.tcsetattr(fd, termios.TCSANOW, attributes)


class _Socket(protocol_socket.Serial):
    """Keeps what the far end says first."""

    def reset_input_buffer(self) -> None:
        """See above."""


class _Rfc2217(serial.rfc2217.Serial):
    """Keeps what the far end says first."""

    def reset_input_buffer(self) -> None:
        """See above."""


class _DescriptorPort:
    def __init__(self, made: serial.Serial, where: str, wake: int, *, name: str) -> None:
        """``name`` is the path of a device, empty where it is none."""
        self.where = where
        self._name = name
        self._made = made
        self._fd: int = made.fileno()
        self._wake = wake
        self._is_over = False  # it has hung up, and what is left in it may not be read yet
        self._counted = _counters(self._fd) if name else None
        if not name:
            _keep_alive(self._fd)

    def wait(self, *, reads: bool, writes: bool, timeout_s: float) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if reads or writes or not self._is_over:
            poll.register(self._fd, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
        events = dict(poll.poll(max(0.0, timeout_s) * 1000)).get(self._fd, 0)
        is_over = bool(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL))
        self._is_over = self._is_over or is_over
        return reads and (is_over or bool(events & select.POLLIN)), writes and (
            is_over or bool(events & select.POLLOUT)
        )

    def read(self, size: int) -> bytes:
        try:
            content = os.read(self._fd, size)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise lost_problem(self.where, error) from error
        if not content:
            raise lost_problem(self.where, None)
        return content

    def write(self, content: bytes) -> int:
        try:
            return os.write(self._fd, content)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise lost_problem(self.where, error) from error

    def line_errors(self) -> LineErrors | None:
        now, before = _counters(self._fd) if self._counted is not None else None, self._counted
        if now is None or before is None:
            return None
        return LineErrors(*(one - other for one, other in zip(now, before, strict=True)))

    def check_place(self) -> None:
        place = os.path.realpath(self._name) if self._name else self.where
        if place != self.where and Path(place).exists():  # a link that is gone for now is no reason
            raise PortProblem(f"{self._name} leads to {place} now, and no more to {self.where}")

    def close(self) -> None:
        with suppress(OSError, termios.error):
            if self._name and not self._is_over:
                self._let_out()
        with suppress(OSError, serial.SerialException):
            self._made.close()

    def _let_out(self) -> None:
        """A driver may wait half a minute at the close for a device that takes nothing."""
        poll = select.poll()
        for _ in range(_DRAIN_STEPS):
            if not struct.unpack("I", fcntl.ioctl(self._fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0]:
                return
            poll.poll(_DRAIN_STEP_MS)
        termios.tcflush(self._fd, termios.TCOFLUSH)


class _TurnPort:
    """A port that pyserial reads: what it is waited for is read already."""

    def __init__(self, made: serial.Serial, where: str, wake: int) -> None:
        self.where = where
        self._made = made
        self._wake = wake
        self._first = b""
        if (link := getattr(made, "_socket", None)) is not None:
            _keep_alive(link.fileno())

    def wait(self, *, reads: bool, writes: bool, timeout_s: float) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        is_asked = reads or writes
        is_woken = bool(poll.poll(0 if is_asked else max(0.0, timeout_s) * 1000))
        if reads and not self._first and not is_woken and not writes:
            self._first = self._guarded(lambda: self._made.read(1))  # waits for its own, short time
        return reads and bool(self._first or self._guarded(lambda: self._made.in_waiting)), writes

    def read(self, size: int) -> bytes:
        first, self._first = self._first, b""
        return first + self._guarded(lambda: self._made.read(min(self._made.in_waiting, size - len(first))))

    def write(self, content: bytes) -> int:
        self._guarded(lambda: self._made.write(content))
        return len(content)

    def line_errors(self) -> LineErrors | None:
        return None

    def check_place(self) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError, serial.SerialException):
            self._made.close()

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except serial.SerialTimeoutException as error:
            raise PortProblem(f"{self.where} takes nothing: {error}") from error
        except (OSError, TypeError, AttributeError) as error:  # pyserial's own thread may have closed it meanwhile
            text = f"{self.where} is gone: {error}" if isinstance(error, serial.SerialException) else None
            raise PortProblem(text or f"{self.where} is gone") from error


def _counters(fd: int) -> tuple[int, int, int, int] | None:
    """Overruns (of the chip and of the kernel's buffer), framing errors, parity errors, breaks."""
    try:
        counted = _COUNTERS.unpack(fcntl.ioctl(fd, _TIOCGICOUNT, bytes(_COUNTERS.size)))
    except OSError:
        return None
    return counted[7] + counted[10], counted[6], counted[8], counted[9]


def _keep_alive(fd: int) -> None:
    """A far end that loses its power says nothing; TCP asks it after a while."""
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
