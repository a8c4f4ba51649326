"""Open a connection to a broker: look up a name, try its addresses, ask the proxy, agree on TLS and WebSocket.

With a proxy only the proxy's name is looked up here (`look_up`); the broker's is the proxy's business.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Final

from fieldgate import clock
from fieldgate.config.far_side import FarSide
from fieldgate.net.connect_errors import Stage, Way, connect_problem, is_refusal
from fieldgate.net.link import Link, LinkOwner
from fieldgate.net.look_up import LookUp
from fieldgate.net.proxy_tunnel import ProxyTunnel
from fieldgate.net.refusals import TryLater
from fieldgate.net.tls import TlsContexts

if TYPE_CHECKING:
    from fieldgate.net.websocket_client import WebSocketClient

__all__ = ["Dialler"]

_TLS_GOODBYE_S: Final = 2.0
_READ_BYTES: Final = 4096
_NOT_YET_VALID: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID


class Dialler:
    """Connects to the broker of ``config``. ``stage`` is how far the last attempt has come.

    ``max_packet_bytes`` is the largest MQTT packet that the session takes; it matters for WebSocket only.
    """

    def __init__(self, config: FarSide, *, max_packet_bytes: int = 0) -> None:
        place = config.place
        proxy = config.proxy.place if config.proxy is not None else None
        self.stage = Stage.LOOK_UP
        self._config = config
        self._max_packet_bytes = max_packet_bytes
        self._place = place
        self._way = Way(place.host, place.port, config.server_name or place.host, proxy)
        self._timeout_s = config.connect_timeout
        self._tls = TlsContexts(config) if place.is_tls else None
        self._websocket: type[WebSocketClient] | None = None
        if place.is_websocket:
            from fieldgate.net.websocket_client import WebSocketClient  # its driver is a megabyte that few need

            self._websocket = WebSocketClient
        self._look_up = LookUp(*self._way.first)

    async def open(self, owner: LinkOwner) -> None:
        """Connect ``owner`` to the first address that answers; each gets its share of the time that is left.

        Raises:
            OSError: no address can be reached, or TLS failed.
            UplinkError: a file cannot be used, or the proxy or the WebSocket handshake says no.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._timeout_s
        self.stage = Stage.LOOK_UP
        tls = self._tls.get() if self._tls is not None else None
        addresses = await self._look_up.addresses()
        for left in range(len(addresses), 0, -1):
            self.stage = Stage.TCP
            try:
                async with asyncio.timeout((deadline_s - loop.time()) / left):
                    await self._open_one(owner, addresses[-left], tls)
            except ssl.SSLCertVerificationError:
                raise
            except (OSError, TryLater):
                if left == 1:
                    raise
            else:
                self.stage = Stage.MQTT
                return

    @property
    def is_outdated(self) -> bool:
        """Whether a file of TLS has changed since the last attempt."""
        return self._tls is not None and self._tls.is_outdated

    @property
    def broker(self) -> str:
        """The broker in words."""
        return self._way.broker

    @property
    def tls_hint(self) -> str:
        """What a server may be that answers a plain connection with nothing."""
        if self._tls is not None:
            return ""
        return f"; is that a port with TLS? Then write {'wss' if self._place.is_websocket else 'mqtts'}://"

    def problem(self, error: BaseException) -> str:
        """Return in words why connecting failed, or why the connection broke."""
        wall_ns = clock.wall_ns()
        text = connect_problem(error, self._way, stage=self.stage, wall_ns=wall_ns)
        own = self._own_problem(error)
        return f"{text}; {own}" if own else text

    def is_refusal(self, error: BaseException) -> bool:
        """Whether a person must act before connecting can succeed; a clock that is not set yet will be."""
        if not clock.is_synced() and self._is_too_early(error):
            return False
        return is_refusal(error) or bool(self._own_problem(error))

    def _is_too_early(self, error: BaseException) -> bool:
        """Whether a certificate, the server's or our own, is not valid yet by this machine's clock."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_code == _NOT_YET_VALID
        return self._tls is not None and bool(self._own_problem(error)) and self._tls.is_too_early(clock.wall_ns())

    def _own_problem(self, error: BaseException) -> str:
        """Our own certificate may be the reason why TLS failed, or the broker hung up behind it."""
        if self._tls is None or self.stage not in {Stage.TLS, Stage.WEBSOCKET, Stage.MQTT}:
            return ""
        if isinstance(error, TimeoutError | ssl.SSLCertVerificationError):
            return ""
        return self._tls.own_problem(clock.wall_ns())

    # -- one address ------------------------------------------------------------------------------------------

    async def _open_one(self, owner: LinkOwner, address: str, tls: ssl.SSLContext | None) -> None:
        connection = await self._connected(address)
        self.stage = Stage.TLS if tls is not None else Stage.MQTT
        await self._climb(owner, connection, tls)

    async def _connected(self, address: str) -> socket.socket:
        """Return a socket that leads to the broker, through the proxy if there is one."""
        loop = asyncio.get_running_loop()
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(connection, (address, self._way.first[1]))
            if self._config.proxy is not None:
                self.stage = Stage.PROXY
                await self._tunnel(ProxyTunnel(self._config.proxy, self._place.host, self._place.port), connection)
        except BaseException:  # a cancelled attempt too leaves no socket behind
            connection.close()
            raise
        return connection

    async def _tunnel(self, tunnel: ProxyTunnel, connection: socket.socket) -> None:
        """Have the proxy connect us."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, tunnel.request())
        while True:
            chunk = await loop.sock_recv(connection, _READ_BYTES)
            if not chunk:
                raise ConnectionResetError
            if tunnel.feed(chunk):
                return

    async def _climb(self, owner: LinkOwner, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Put TLS, WebSocket and the link onto a connected socket, which is the loop's to close from here on."""
        loop = asyncio.get_running_loop()
        link = Link(owner)
        socket_above = None
        if self._websocket is not None:
            headers = {name: value.reveal() for name, value in self._config.headers.items()}
            socket_above = self._websocket(
                link,
                self._place,
                server_name=self._way.server_name,
                headers=headers,
                max_packet_bytes=self._max_packet_bytes,
                is_path_secret=not self._config.url.is_literal,
            )
        transport, _ = await loop.create_connection(
            lambda: link if socket_above is None else socket_above,
            sock=connection,
            ssl=tls,
            server_hostname=self._way.server_name if tls is not None else None,
            ssl_handshake_timeout=2 * self._timeout_s if tls is not None else None,  # never: the caller gives up before
            ssl_shutdown_timeout=_TLS_GOODBYE_S if tls is not None else None,
        )
        if socket_above is not None:
            self.stage = Stage.WEBSOCKET
            try:
                await socket_above.opened
            except BaseException:  # the same: given up in mid-handshake
                transport.abort()
                raise
