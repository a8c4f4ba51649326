"""Who to be at a broker: what a session says of itself in CONNECT, and passwords that are made anew each time."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from fieldgate import clock
from fieldgate.config.broker import BrokerConfig
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.endings import Cause, End
from fieldgate.mqtt.packets import Reason, Will
from fieldgate.net.refusals import TryLater
from fieldgate.net.sas import AZURE_USERNAME, SasTokens

__all__ = ["Login", "client_settings", "login_of"]

_CLOCK_POLL_S: Final = 1.0
_ABOUT_LOG_IN: Final = frozenset((4, 5, Reason.BAD_USER_NAME_OR_PASSWORD, Reason.NOT_AUTHORIZED))  # 3.1.1 and 5


class Login:
    """The password of each connection in turn; where the configuration has a fixed one there is nothing to do."""

    def __init__(self, config: BrokerConfig, *, client_id: str) -> None:
        self._config = config
        self._tokens: SasTokens | None = None
        if config.sas is not None:
            self._tokens = SasTokens(config.sas, host=config.server_name or config.host, client_id=client_id)

    def check(self) -> None:
        """Say whether there can be a password now.

        Raises:
            TryLater: it needs the time, and the clock is not set.
        """
        if self._tokens is not None and not clock.is_synced():
            raise TryLater("this machine's clock is not set, and a SAS token needs the time; connects once it is set")

    async def pause(self, wait_s: float) -> None:
        """Wait before the next attempt; when that waits for the clock, until it is set."""
        if self._tokens is None or clock.is_synced():
            await asyncio.sleep(wait_s)
            return
        while not clock.is_synced():  # noqa: ASYNC110  # the system sets it and tells nobody
            await asyncio.sleep(_CLOCK_POLL_S)

    def renewed(self, settings: ClientSettings, now_s: float) -> ClientSettings:
        """Return ``settings`` with the password for a connection that begins now."""
        if self._tokens is None:
            return settings
        token = self._tokens.take(now_s=now_s, wall_s=clock.wall_ns() / 1e9)
        return msgspec.structs.replace(settings, password=token.encode())

    def refused(self, end: End, *, reason: int) -> End:
        """Return the end of a connection that the server refused, with what may be behind it.

        Some servers (mosquitto) answer a wrong password with "not authorized".
        """
        if end.cause is not Cause.REFUSAL:
            return end
        if self._tokens is None:
            return replace(end, text=f"{end.text}; {self._login_hint}") if reason in _ABOUT_LOG_IN else end
        now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
        hint = f"is the shared key the right one, and this machine's clock, which says {now:%Y-%m-%d %H:%M} UTC?"
        return replace(end, text=f"{end.text}; {hint}")

    @property
    def _login_hint(self) -> str:
        config = self._config
        if config.username is not None or config.password is not None:
            return "are 'username' and 'password' the right ones, and is this client id allowed?"
        if config.certificate is not None:
            return "does it know the user that our certificate names?"
        return "it may want 'username' and 'password', or 'certificate' and 'key'"

    def is_due(self, now_s: float) -> bool:
        """Whether the connection's password ends soon."""
        return self._tokens is not None and now_s >= self._tokens.renew_at_s

    def is_late(self, now_s: float) -> bool:
        """Whether it ends so soon that nothing can be waited for."""
        return self._tokens is not None and now_s >= self._tokens.late_at_s


def login_of(config: BrokerConfig, settings: ClientSettings) -> ClientSettings:
    """Return ``settings`` with the user name and password of ``config``."""
    login = client_settings(config, client_id=settings.client_id)
    return msgspec.structs.replace(settings, username=login.username, password=login.password)


def client_settings(
    config: BrokerConfig,
    *,
    client_id: str,
    window: int = 1000,
    puback_timeout_s: float = 30.0,
    will: Will | None = None,
) -> ClientSettings:
    """Return who to be at this broker; ``client_id`` is taken where the configuration names none."""
    client_id = config.client_id or client_id
    username = None if config.username is None else config.username.reveal()
    if config.sas is not None and username is None:
        username = AZURE_USERNAME.format(host=config.server_name or config.host, client_id=client_id)
    return ClientSettings(
        client_id=client_id,
        username=username,
        password=None if config.password is None else config.password.reveal().encode(),
        keep_alive_s=math.ceil(config.keep_alive),
        window=window,
        puback_timeout_s=puback_timeout_s,
        will=will,
    )
