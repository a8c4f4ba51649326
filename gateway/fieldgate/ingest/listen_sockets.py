"""Open the sockets that a host name and a port stand for: all addresses that this machine has of it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from typing import Final

from fieldgate.errors import FieldgateError

__all__ = ["BACKLOG", "ListenError", "open_sockets"]

BACKLOG: Final = 256


class ListenError(FieldgateError):
    """The listener cannot use its address or its files."""


async def open_sockets(host: str, port: int, *, is_open_door: bool) -> list[socket.socket]:
    """Listen on every address of ``host`` (``localhost`` may be two, or one of them); port 0 is one free port for all.

    ``is_open_door``: nobody is asked who he is, so only loopback addresses will do, whatever a name stands for.

    Raises:
        ListenError: an address cannot be bound, or must not be.
    """
    name = f"{host}:{port}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))
        for _, address in addresses:
            if is_open_door and not ipaddress.ip_address(address).is_loopback:
                raise ListenError(
                    f"{name}: {address} is not a loopback address, and devices are not asked who they are; "
                    "add auth, or listen on 127.0.0.1"
                )
        return _open_all(addresses, port)
    except OSError as error:
        raise ListenError(f"cannot listen on {name}: {_why_not(error)}") from error


def _why_not(error: OSError) -> str:
    """The system's own words, without what asyncio adds to them, and what a person can do."""
    match error.errno:
        case errno.EADDRINUSE:
            return (
                "the port is already in use, by another program (a mosquitto?) or gateway; end that one, or write "
                "another port into 'listen'"
            )
        case errno.EACCES | errno.EPERM:
            return (
                "not permitted; for a port below 1024 write AmbientCapabilities=CAP_NET_BIND_SERVICE into the unit of "
                "the service, or another port into 'listen'"
            )
        case errno.EADDRNOTAVAIL:
            return "this machine does not have that address now; 0.0.0.0 is every address that it has"
        case None:
            return str(error)
        case number:
            return error.strerror if number < 0 and error.strerror else os.strerror(number).lower()  # a name: < 0


def _open_all(addresses: list[tuple[int, str]], port: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in addresses:
        try:
            opened.append(_open(family, address, opened[0].getsockname()[1] if opened else port))
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                for one in opened:
                    one.close()
                raise
            missing = error
    if missing is not None and not opened:
        raise missing
    return opened


def _open(family: int, address: str, port: int) -> socket.socket:
    """``[::]`` takes IPv4 too, as people expect of "every address"."""
    is_every = address == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=is_every)
