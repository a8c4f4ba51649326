"""Open a connection to a server: look up its name, try its addresses, agree on TLS.

A look-up may hang for as long as the system's resolver likes. It runs in a thread of its own that nobody waits for at
the end, at most one per server, and each attempt to connect asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from typing import Final

from fieldgate.config.broker import BrokerConfig
from fieldgate.net.connect_errors import TlsContexts
from fieldgate.net.link import Link, LinkOwner

__all__ = ["Dialler"]

_TLS_GOODBYE_S: Final = 2.0


class Dialler:
    """Connects to the server of ``config``."""

    def __init__(self, config: BrokerConfig) -> None:
        self._host = config.host
        self._port = config.port
        self._timeout_s = config.connect_timeout
        self._tls = TlsContexts(config.ca) if config.is_tls else None
        self._lookup: asyncio.Future[list[str]] | None = None

    async def open(self, owner: LinkOwner) -> None:
        """Connect ``owner`` to the first address that answers; each gets its share of the time that is left.

        Raises:
            OSError: no address can be reached, or TLS failed.
            UplinkError: the CA file cannot be used.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._timeout_s
        tls = self._tls.get() if self._tls is not None else None
        addresses = await self._addresses()
        for left in range(len(addresses), 0, -1):
            try:
                async with asyncio.timeout((deadline_s - loop.time()) / left):
                    await loop.create_connection(
                        lambda: Link(owner),
                        addresses[-left],
                        self._port,
                        ssl=tls,
                        server_hostname=self._host if tls is not None else None,
                        ssl_shutdown_timeout=_TLS_GOODBYE_S if tls is not None else None,
                    )
            except ssl.SSLCertVerificationError:
                raise
            except OSError:
                if left == 1:
                    raise
            else:
                return

    async def _addresses(self) -> list[str]:
        """Return the server's addresses, in the system's order of preference."""
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(self._host))]
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.get_running_loop().create_future()
            name = f"look-up:{self._host}"
            threading.Thread(target=self._look_up, args=(self._lookup,), name=name, daemon=True).start()
        return await asyncio.shield(self._lookup)

    def _look_up(self, answer: asyncio.Future[list[str]]) -> None:
        """Runs in the thread."""
        found: list[str] | OSError
        try:
            infos = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(info[4][0]) for info in infos))
        except (OSError, UnicodeError) as error:
            found = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            answer.get_loop().call_soon_threadsafe(_tell, answer, found)


def _tell(answer: asyncio.Future[list[str]], found: list[str] | OSError) -> None:
    if isinstance(found, OSError):
        answer.set_exception(found)
        answer.exception()  # whoever asked may have given up
    else:
        answer.set_result(found)
