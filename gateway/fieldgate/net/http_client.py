"""Requests to one HTTP server, one at a time, over a connection that is kept while there is more to say.

TLS is always verified, and the way there is that of brokers (`Dialler`): look-up, proxy, words for what goes wrong. It
follows no redirect. Trying again is the caller's, but for a connection that was kept and has gone meanwhile.
"""

from __future__ import annotations

import asyncio

from fieldgate.config.webhook import WebhookConfig
from fieldgate.net.dialler import Dialler
from fieldgate.net.http_exchange import Answer, BadAnswer, Headers, HttpExchange
from fieldgate.net.link import Link

__all__ = ["HttpClient"]


class HttpClient:
    """Implements `fieldgate.net.link.LinkOwner`. ``connections`` counts those that were made."""

    def __init__(self, config: WebhookConfig) -> None:
        self.connections = 0
        self._config = config
        self._where = config.where
        self._dialler = Dialler(config)
        self._link: Link | None = None
        self._exchange = HttpExchange()
        self._answer: asyncio.Future[Answer] | None = None
        self._is_outdated = False  # the connection was made by other settings

    def use(self, config: WebhookConfig) -> None:
        """Make the next request by these settings, of the same server; one that is under way ends as it began."""
        self._config = config
        self._dialler = Dialler(config)
        self._is_outdated = True

    @property
    def host(self) -> str:
        """The ``Host`` header of requests."""
        where = self._where
        name = f"[{where.host}]" if ":" in where.host else where.host
        return name if where.port == (443 if where.is_tls else 80) else f"{name}:{where.port}"

    async def send(self, headers: Headers, body: bytes) -> Answer:
        """Send one request and return its answer.

        Raises:
            OSError: the server cannot be reached, went silent or hung up.
            UplinkError: a file cannot be used, the proxy says no, or what comes is no HTTP.
        """
        try:
            async with asyncio.timeout(self._config.timeout):
                answer = await self._ask_again(headers, body)
                if answer is None:
                    self._exchange = HttpExchange()
                    self._is_outdated = False
                    await self._dialler.open(self)
                    self.connections += 1
                    answer = await self._ask(headers, body)
        except BaseException:  # a cancelled request too leaves no half-read connection behind
            self.close()
            raise
        if not answer.is_reusable:
            self.close()
        return answer

    async def _ask_again(self, headers: Headers, body: bytes) -> Answer | None:
        """Ask over the connection that is there; None where there is none, or none any more.

        A server may close one that has been kept just when the next request is on its way (RFC 9112, 9.3.1).
        """
        if self._is_outdated:
            self.close()
        if self._link is None:
            return None
        try:
            return await self._ask(headers, body)
        except (ConnectionError, BadAnswer):
            if self._exchange.has_begun:
                raise
            self.close()
            return None

    async def _ask(self, headers: Headers, body: bytes) -> Answer:
        self._answer = asyncio.get_running_loop().create_future()
        if self._link is None:
            raise ConnectionResetError
        request = self._exchange.request(self._config.method, self._where.target, headers, body)
        self._link.write([request])
        try:
            return await self._answer
        finally:
            self._answer = None

    def close(self) -> None:
        """Close the connection, if there is one; who waits for an answer gets none."""
        link, self._link = self._link, None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())
        if link is not None:
            link.close()

    def problem(self, error: BaseException) -> str:
        """Return in words why there was no answer."""
        return self._dialler.problem(error)

    def is_refusal(self, error: BaseException) -> bool:
        """Whether a person must act before there can be one."""
        return self._dialler.is_refusal(error)

    # -- LinkOwner --------------------------------------------------------------------------------------------

    def link_made(self, link: Link) -> None:
        """The connection is there."""
        self._link = link

    def link_received(self, link: Link, chunk: bytes) -> None:
        """An answer, or a part of one."""
        if link is not self._link:
            return
        if self._answer is None:  # nobody asked: a server that speaks unasked is not one to go on with
            self.close()
            return
        self._feed(chunk)

    def link_writable(self, link: Link) -> None:
        """A request is one write."""

    def link_lost(self, link: Link, error: Exception | None) -> None:
        """The end of the connection may be that of the answer."""
        if link is not self._link:
            return
        self._link = None
        if self._answer is None or self._answer.done():
            return
        if error is None:
            self._feed(b"")
        else:
            self._answer.set_exception(error)

    def _feed(self, chunk: bytes) -> None:
        answer = self._answer
        if answer is None or answer.done():
            return
        try:
            found = self._exchange.feed(chunk)
        except BadAnswer as error:
            answer.set_exception(error)
            return
        if found is not None:
            answer.set_result(found)
        elif not chunk:
            answer.set_exception(ConnectionResetError())
