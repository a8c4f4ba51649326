"""Where lines of the log end: a file descriptor, or systemd's journal. Both may block; the log's thread calls them."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fieldgate.observe.journald import plain_line

__all__ = ["JOURNAL_SOCKET", "JournaldSink", "PipeSink", "is_journal_stream"]

JOURNAL_SOCKET: Final = Path("/run/systemd/journal/socket")

_CHUNK_BYTES: Final = 4096  # what a pipe takes without blocking once it is writable
_POLL_MS: Final = 1000
_TOO_LARGE: Final = (errno.EMSGSIZE, errno.ENOBUFS)
_ALL_SEALS: Final = 0x1 | 0x2 | 0x4 | 0x8  # F_SEAL_SEAL, _SHRINK, _GROW, _WRITE: what the journal asks of a file


def is_journal_stream(fd: int) -> bool:
    """Whether systemd has connected ``fd`` to its journal; it says so by device and inode in ``$JOURNAL_STREAM``."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(fd)
        return (int(device), int(inode)) == (status.st_dev, status.st_ino)
    except (OSError, ValueError):
        return False


class PipeSink:
    """Lines, to a file descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, lines: Sequence[bytes]) -> None:
        """Write all of them, however long that takes."""
        rest = memoryview(b"".join(lines))
        while rest:
            try:
                rest = rest[os.write(self._fd, rest[:_CHUNK_BYTES]) :]
            except BlockingIOError:  # somebody made the descriptor that we share non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll(_POLL_MS)
            except OSError:  # the reader has gone or the disk is full: nobody is left to tell
                return


class JournaldSink:
    """Entries, to the journal's socket; while nobody is there, lines with their priority to ``fallback``."""

    def __init__(self, path: Path, fallback: PipeSink) -> None:
        self._path = str(path)
        self._fallback = fallback
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def write(self, lines: Sequence[bytes]) -> None:
        """Send each entry as a datagram; one that is too large for that as a sealed file."""
        for entry in lines:
            try:
                self._socket.sendto(entry, self._path)
            except OSError as error:
                if error.errno not in _TOO_LARGE or not self._send_as_file(entry):
                    self._fallback.write([plain_line(entry)])

    def _send_as_file(self, entry: bytes) -> bool:
        try:
            file = os.memfd_create("fieldgate-log", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        except OSError:
            return False
        try:
            with memoryview(entry) as rest:
                written = 0
                while written < len(rest):
                    written += os.write(file, rest[written:])
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _ALL_SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file]))
            self._socket.sendmsg([b""], [rights], 0, self._path)  # socket.send_fds leaves the address out
        except OSError:
            return False
        finally:
            os.close(file)
        return True
