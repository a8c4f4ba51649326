"""Read the head of an HTTP answer: what a proxy and a WebSocket server say first.

Laws of this file: fed bytes; no socket, no clock. It reads a head and no body: what follows is somebody else's.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from fieldgate.net.refusals import printable

__all__ = ["BUSY_STATUSES", "Head", "HeadReader", "NoHttp"]

BUSY_STATUSES: Final = frozenset({408, 425, 429, *range(500, 600)} - {501, 505})
"""Statuses that may be others a little later, without anybody's doing."""

_MAX_BYTES: Final = 32 * 1024
_END: Final = b"\r\n\r\n"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?")
_SHOWN: Final = 80


class NoHttp(Exception):
    """What came is no HTTP answer."""


class Head(NamedTuple):
    """A status with its words, and the headers by lower-case name; several of one name are joined by commas."""

    status: int
    phrase: str
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.status} {self.phrase}".rstrip()


class HeadReader:
    """Collects bytes until the head is complete; ``rest`` is what came behind it."""

    def __init__(self) -> None:
        self._read = b""
        self.rest = b""

    def feed(self, chunk: bytes) -> Head | None:
        """Return the head once it is complete.

        Raises:
            NoHttp: this is none, or one without an end.
        """
        self._read += chunk
        end = self._read.find(_END)
        if not b"HTTP/1.".startswith(self._read[:7]):
            raise NoHttp(f"no HTTP but {self._read[:16]!r}")
        if end < 0 and len(self._read) <= _MAX_BYTES:
            return None
        if not 0 <= end <= _MAX_BYTES:
            raise NoHttp(f"an HTTP head of more than {_MAX_BYTES // 1024} KiB")
        self.rest = self._read[end + len(_END) :]
        lines = self._read[:end].split(b"\r\n")
        status = _STATUS_LINE.fullmatch(lines[0])
        if status is None:
            raise NoHttp(f"no HTTP status but {lines[0][:_SHOWN]!r}")
        return Head(int(status[1]), printable((status[2] or b"").decode("latin-1")), _headers(lines[1:]))


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            key, text = name.decode("latin-1").lower(), value.strip().decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
