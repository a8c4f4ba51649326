"""What can say no on the way to a broker, by what is to be done about it."""

from __future__ import annotations

from fieldgate.errors import UplinkError

__all__ = ["ClosedByServer", "ConnectRefused", "TryLater", "join_address"]


class ConnectRefused(UplinkError):
    """Something on the way says no until a person acts."""


class TryLater(UplinkError):
    """Something on the way says no for now."""


class ClosedByServer(ConnectionResetError):
    """The server ended the connection and said why; the message is for a person."""


def join_address(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets where they are needed."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
