"""Name an MQTT broker as a URL, and find out whether it lets a client in."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote, urlsplit

import aiomqtt

from fieldgate_simulators.errors import SimulatorError

__all__ = ["DeviceClient", "Target"]

_DEFAULT_PORT: Final = 1883
_LOG: Final = logging.getLogger("fieldgate_simulators.mqtt")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False  # aiomqtt warns of every lost connection; the counts say it


@dataclass(frozen=True, slots=True)
class Target:
    """Where devices connect to, and as whom."""

    host: str
    port: int = _DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read ``mqtt://[user[:password]@]host[:port]``.

        Raises:
            SimulatorError: it is no such URL.
        """
        wanted = "mqtt://[user[:password]@]host[:port]"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise SimulatorError(f"{url!r} is not a target: {error}; expected {wanted}") from None
        if parts.scheme != "mqtt" or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
            raise SimulatorError(f"{url!r} is not a target; expected {wanted}")
        return cls(
            host=parts.hostname,
            port=port or _DEFAULT_PORT,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"

    async def probe(self, *, timeout_s: float = 5.0) -> None:
        """Connect once and leave.

        Raises:
            SimulatorError: it cannot be reached or does not let us in; the text says which and what to look at.
        """
        try:
            async with DeviceClient(self, identifier=f"probe-{secrets.token_hex(4)}", timeout_s=timeout_s):
                pass
        except aiomqtt.exceptions.MqttConnectError as error:
            raise SimulatorError(f"{self} refuses the client: {error}; check user and password") from error
        except aiomqtt.MqttError as error:
            raise SimulatorError(f"{self} cannot be reached: {error}; is a broker listening there?") from error


class DeviceClient(aiomqtt.Client):
    """An aiomqtt client of one connection, which leaves nothing open when connecting fails."""

    def __init__(
        self, target: Target, *, identifier: str, window: int = 20, keep_alive_s: int = 60, timeout_s: float = 5.0
    ) -> None:
        super().__init__(
            target.host,
            target.port,
            username=target.username,
            password=target.password,
            identifier=identifier,
            keepalive=keep_alive_s,
            timeout=timeout_s,
            max_inflight_messages=window,
            logger=_LOG,
        )
        self.pending_calls_threshold = window

    async def __aenter__(self) -> Self:
        """Connect."""
        try:
            return await super().__aenter__()
        except BaseException:  # aiomqtt 2.5 leaves the socket open when CONNACK was refused or late, or on Ctrl-C
            self._client.disconnect()
            raise
