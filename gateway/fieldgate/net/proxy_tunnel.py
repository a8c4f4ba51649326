"""Ask an HTTP proxy to connect us to a broker: CONNECT (RFC 9110, 9.3.6).

Laws of this file: fed bytes, answers bytes; no socket, no clock. It knows Basic authentication and no other.
"""

from __future__ import annotations

import base64
from typing import Final

from fieldgate.config.proxy import ProxyConfig
from fieldgate.net.http_head import BUSY_STATUSES, Head, HeadReader, NoHttp
from fieldgate.net.refusals import ConnectRefused, TryLater, join_address

__all__ = ["ProxyTunnel"]

_WANTS_LOGIN: Final = 407
_FORBIDDEN: Final = 403
_NO_CONNECT: Final = frozenset({400, 404, 405, 501})


class ProxyTunnel:
    """One CONNECT to ``host``:``port``."""

    def __init__(self, config: ProxyConfig, host: str, port: int) -> None:
        self._target = join_address(host, port)
        self._proxy = f"the proxy {join_address(*config.place)}"
        self._login = ""
        if config.username is not None:
            password = "" if config.password is None else config.password.reveal()
            self._login = base64.b64encode(f"{config.username.reveal()}:{password}".encode()).decode()
        self._reader = HeadReader()

    def request(self) -> bytes:
        """Return what to send."""
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}", "User-Agent: fieldgate"]
        if self._login:
            lines.append(f"Proxy-Authorization: Basic {self._login}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def feed(self, chunk: bytes) -> bool:
        """Take what the proxy sent; return whether the way is open.

        Raises:
            ConnectRefused: it says no until a person acts, or is no proxy.
            TryLater: it cannot now.
        """
        try:
            head = self._reader.feed(chunk)
        except NoHttp as error:
            raise ConnectRefused(f"{self._proxy} is no HTTP proxy: it answers with {error}") from error
        if head is None:
            return False
        if not 200 <= head.status < 300:
            raise self._refusal(head)
        if self._reader.rest:  # a broker waits for our CONNECT, and for our half of TLS
            raise ConnectRefused(f"{self._proxy} sent something of its own on the way to {self._target}")
        return True

    def _refusal(self, head: Head) -> ConnectRefused | TryLater:
        if head.status == _WANTS_LOGIN:
            return ConnectRefused(self._login_problem(head))
        if head.status in BUSY_STATUSES:
            return TryLater(f"{self._proxy} cannot connect to {self._target}: {head}")
        if head.status == _FORBIDDEN:
            return ConnectRefused(f"{self._proxy} does not allow connections to {self._target}: {head}")
        if head.status in _NO_CONNECT:
            return ConnectRefused(f"{self._proxy} does not do CONNECT, or not to {self._target}: {head}")
        return ConnectRefused(f"{self._proxy} refuses to connect to {self._target}: {head}")

    def _login_problem(self, head: Head) -> str:
        schemes = [
            offer.split()[0] for offer in head.headers.get("proxy-authenticate", "Basic").split(",") if offer.split()
        ]
        if not any(scheme.lower() == "basic" for scheme in schemes):
            names = ", ".join(filter(str.isalnum, schemes)) or "means of its own"
            return f"{self._proxy} wants a log-in by {names}; Basic is the only one that is known here"
        if self._login:
            return f"{self._proxy} refuses the user name or password: {head}"
        return f"{self._proxy} wants a user name and a password: {head}; set them under 'proxy'"
