"""Look up a name without waiting for the resolver at the end.

A look-up may hang for as long as the system's resolver likes. It runs in a thread of its own that nobody waits for, at
most one per name that is looked up, and each attempt to connect asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Any

from fieldgate.threads import leave_signals_to_main

__all__ = ["LookUp"]


class LookUp:
    """The addresses of one host."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._answer: asyncio.Future[list[str]] | None = None

    async def addresses(self) -> list[str]:
        """Return the addresses to connect to, in the system's order of preference.

        Raises:
            OSError: there is none.
        """
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(self._host))]
        if self._answer is None or self._answer.done():
            self._answer = asyncio.get_running_loop().create_future()
            thread = threading.Thread(
                target=_look_up, args=(self._host, self._port, self._answer), name=f"look-up:{self._host}", daemon=True
            )
            thread.start()
        return await asyncio.shield(self._answer)


def _look_up(host: str, port: int, answer: asyncio.Future[list[str]]) -> None:
    """Runs in the thread."""
    leave_signals_to_main()
    found: list[str] | OSError
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = list(dict.fromkeys(_address(info[4]) for info in infos))
    except (OSError, UnicodeError) as error:
        found = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error))
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
        answer.get_loop().call_soon_threadsafe(_tell, answer, found)


def _address(place: tuple[Any, ...]) -> str:
    """The address as a text; one that only one network has (``fe80::…``, from mDNS say) goes with that network."""
    scope = place[3] if len(place) == 4 else 0
    return f"{place[0]}%{scope}" if scope else str(place[0])


def _tell(answer: asyncio.Future[list[str]], found: list[str] | OSError) -> None:
    if isinstance(found, OSError):
        answer.set_exception(found)
        answer.exception()  # whoever asked may have given up
    else:
        answer.set_result(found)
