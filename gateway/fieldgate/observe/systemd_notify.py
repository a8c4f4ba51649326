"""Tell the service manager how the gateway is: the datagrams of ``sd_notify(3)``, without its library.

Where ``NOTIFY_SOCKET`` is not set nobody asked, and nothing is done. Telling never blocks: what the manager does not
take now is kept, a bounded number of messages of it, and told with the next one.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from fieldgate import clock

__all__ = ["ServiceManager", "watchdog_timeout_s"]

_MAX_WAITING: Final = 16
_MAX_STATUS_BYTES: Final = 1024  # systemd takes 4,096 bytes for a whole message

log = structlog.get_logger("fieldgate")


def watchdog_timeout_s(env: Mapping[str, str] = os.environ) -> float | None:
    """Return within what time the service manager must hear from this process (``sd_watchdog_enabled(3)``).

    None if it wants to hear nothing, or means another process (``WATCHDOG_PID``).
    """
    written, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not written.isascii() or not written.isdigit() or int(written) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(written) / 1e6


@dataclass(frozen=True, slots=True)
class _Address:
    shown: str
    raw: str


def _address_of(name: str) -> _Address | None:
    """``@NAME`` is an abstract socket, which begins with a NUL; other kinds of address are for virtual machines."""
    if name[:1] not in {"/", "@"} or len(name) < 2:
        return None
    return _Address(name, "\0" + name[1:] if name[0] == "@" else name)


class ServiceManager:
    """Whoever listens on ``NOTIFY_SOCKET``. Every method does nothing where nobody does."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self.problem = ""
        name = env.get("NOTIFY_SOCKET", "")
        self._address = _address_of(name)
        self._waiting: deque[bytes] = deque(maxlen=_MAX_WAITING)
        self._status = ""
        if name and self._address is None:
            self._failed(f"NOTIFY_SOCKET={name!r} is no unix socket")

    @property
    def listens(self) -> bool:
        """Whether there is anybody to tell."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """The gateway listens, or goes on after a reload."""
        self._tell("READY=1", self._status_line(status))

    def status(self, status: str) -> None:
        """How it is, in a line for a person; told only when it is another one than before."""
        if status != self._status:
            self._tell(self._status_line(status))

    def reloading(self, status: str) -> None:
        """The configuration is read again; `ready` must follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={clock.monotonic_ns() // 1000}", self._status_line(status))

    def stopping(self, status: str) -> None:
        """The gateway ends."""
        self._tell("STOPPING=1", self._status_line(status))

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def needs_time(self, for_s: float) -> None:
        """What is under way (a start, a reload, a stop) goes on, and may take ``for_s`` seconds more from now."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(for_s * 1e6)}")

    def flush(self) -> None:
        """Tell what could not be told before; call it now and then."""
        if not self._waiting or self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as out:
                out.connect(self._address.raw)
                while self._waiting:
                    out.send(self._waiting[0], socket.MSG_NOSIGNAL)
                    self._waiting.popleft()
        except BlockingIOError:
            return  # it does not keep up; the next flush tries again
        except OSError as error:
            self._waiting.clear()
            self._failed(f"{self._address.shown}: {(error.strerror or str(error)).lower()}")
            return
        self.problem = ""

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        self._waiting.append("\n".join(lines).encode())
        self.flush()

    def _status_line(self, status: str) -> str:
        """A line end would be the end of the status, and what follows an order to the manager."""
        self._status = status
        one_line = " ".join(status.split())
        if len(one_line.encode()) > _MAX_STATUS_BYTES:
            one_line = one_line.encode()[: _MAX_STATUS_BYTES - 3].decode(errors="ignore") + "…"
        return f"STATUS={one_line}"

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("service.not_told", problem=problem)
        self.problem = problem
