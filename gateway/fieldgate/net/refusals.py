"""What can say no on the way to a broker, by what is to be done about it."""

from __future__ import annotations

import re
from typing import Final

from fieldgate.errors import UplinkError

__all__ = ["ClosedByServer", "ConnectRefused", "TryLater", "join_address", "printable"]

_SHOWN: Final = 80


class ConnectRefused(UplinkError):
    """Something on the way says no until a person acts."""


class TryLater(UplinkError):
    """Something on the way says no for now."""


class ClosedByServer(ConnectionResetError):
    """The server ended the connection and said why; the message is for a person."""


def printable(words: str) -> str:
    """What the far side says goes into our status and log: ASCII that no terminal obeys, and not much of it."""
    return re.sub(r"[^ -~]", "?", words)[:_SHOWN]


def join_address(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets where they are needed."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
