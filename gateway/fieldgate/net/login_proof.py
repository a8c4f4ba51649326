"""Find out whether a server lets us in with another login: by a connection that is for nothing else.

It has our own client id, because servers tie logins to these: where it is let in, it takes the place of the connection
that is there, which must be made anew then, by the login that is proven now. It is not let in before the login is good,
so a bad one costs the old connection nothing. The session at the server is kept, whatever happens: no clean start.
"""

from __future__ import annotations

import asyncio

import msgspec

from fieldgate import clock
from fieldgate.config.broker import BrokerConfig
from fieldgate.errors import UplinkError
from fieldgate.mqtt.client_happenings import Connected, Ended, Refused
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.endings import Cause, End, end_of
from fieldgate.net.dialler import Dialler
from fieldgate.net.link import Link
from fieldgate.net.login import Login, login_of
from fieldgate.net.refusals import ClosedByServer

__all__ = ["LoginProof"]


class LoginProof:
    """One attempt at ``config``, as who ``settings`` are; implements `fieldgate.net.link.LinkOwner`."""

    def __init__(self, config: BrokerConfig, settings: ClientSettings, *, level: int) -> None:
        bare = msgspec.structs.replace(login_of(config, settings), will=None, clean_start=False)
        self._config = config
        self._level = level
        self._dialler = Dialler(config, max_packet_bytes=settings.max_packet_bytes)
        self._login = Login(config, client_id=settings.client_id)
        self._session = ClientSession(bare, delivered=lambda *_: None)
        self._link: Link | None = None
        self._outcome: asyncio.Future[End | None] | None = None

    async def attempt(self) -> End | None:
        """Connect and leave; return None where the server has let us in, else why there is no saying, or why not."""
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            self._login.check()
            async with asyncio.timeout(self._config.connect_timeout):
                await self._dialler.open(self)
                return await self._outcome
        except (OSError, UplinkError) as error:
            is_refusal = self._dialler.is_refusal(error)
            return End(self._dialler.problem(error), Cause.REFUSAL if is_refusal else Cause.OTHER)
        finally:
            self._leave()

    def _leave(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._session.disconnect(clock.boot_s())
            link.write(self._session.output())
            link.close()
        self._session.closed()

    def _decide(self, outcome: End | None) -> None:
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(outcome)

    # -- LinkOwner --------------------------------------------------------------------------------------------

    def link_made(self, link: Link) -> None:
        """Send CONNECT."""
        self._link = link
        now_s = clock.boot_s()
        self._session.settings = self._login.renewed(self._session.settings, now_s)
        self._session.connect(self._level, now_s)
        link.write(self._session.output())

    def link_received(self, link: Link, chunk: bytes) -> None:
        """The CONNACK decides; what the server sends behind it, it sends again to the connection that follows."""
        if link is not self._link:
            return
        for happening in self._session.received(chunk, clock.boot_s()):
            match happening:
                case Connected():
                    self._decide(None)
                case Refused():
                    end = end_of(happening, version=self._level)
                    self._decide(self._login.refused(end, reason=happening.reason))
                case Ended():
                    self._decide(end_of(happening, version=self._level))
                case _:
                    pass

    def link_writable(self, link: Link) -> None:
        """There is never much to write."""

    def link_lost(self, link: Link, error: Exception | None) -> None:
        """The server hung up: on a certificate that it does not like, among other things."""
        if link is self._link:
            fault = ClosedByServer(f"{self._dialler.broker} closed the connection") if error is None else error
            cause = Cause.REFUSAL if self._dialler.is_refusal(fault) else Cause.OTHER
            self._decide(End(self._dialler.problem(fault), cause))
