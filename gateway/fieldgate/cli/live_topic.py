"""Listen to a topic of the gateway's own listener, or of any broker, for a command that a person watches.

It subscribes at QoS 0 under a client id of its own and leaves nothing behind. A broker that cannot be reached, or that
refuses, ends it with the reason; nobody waits for it in the background.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import msgspec
import typer
from pydantic import ValidationError

from fieldgate.config import Config
from fieldgate.config.broker import BrokerConfig
from fieldgate.config.listen import ListenConfig
from fieldgate.config.texts import split_address
from fieldgate.errors import FieldgateError
from fieldgate.mqtt.client_happenings import Announced, Rejected, Subscribed, reason_text
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.endings import End
from fieldgate.mqtt.packets import Publish, Subscription
from fieldgate.mqtt.topics import valid_filter
from fieldgate.net.broker_connection import BrokerConnection
from fieldgate.net.login import client_settings
from fieldgate.supervisor import stop_signals

__all__ = ["BrokerUrl", "CannotListen", "PasswordFile", "SourceName", "UserName", "broker_of", "listen"]

_MAX_PACKET_BYTES: Final = 1024 * 1024
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}

BrokerUrl = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The broker: mqtt://, mqtts://, ws:// or wss://. Default: this gateway's listener."
    ),
]
SourceName = Annotated[
    str | None, typer.Option("--source", metavar="NAME", help="The broker of this entry of 'sources', with its login.")
]
UserName = Annotated[str | None, typer.Option("--username", metavar="NAME", help="To log in with at the broker.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", metavar="FILE", help="File with the password (mode 0600).")
]


class CannotListen(FieldgateError):
    """There is no broker to listen to, or it says no."""


def broker_of(
    config: Config, *, url: str | None, source: str | None, username: str | None, password_file: Path | None
) -> BrokerConfig:
    """Return how to reach the broker that a person named.

    Raises:
        CannotListen: what they named cannot be used.
    """
    written: dict[str, Any] = {}
    if source is not None:
        known = {one.name: one.mqtt for one in config.sources if one.mqtt is not None}
        if source not in known:
            raise CannotListen(f"no source {source!r} reads a broker; there are: {', '.join(known) or 'none'}")
        names = BrokerConfig.model_fields
        written = {name: getattr(known[source], name) for name in names if name in known[source].model_fields_set}
    elif url is not None:
        written = {"url": url}
    else:
        written = {"url": _own_url(config.listen)}
    if username is not None:
        written["username"] = username
    if password_file is not None:
        written["password"] = f"${{file:{password_file.absolute()}}}"
    written["client_id"] = f"fieldgate-listen-{secrets.token_hex(6)}"
    try:
        return BrokerConfig.model_validate(written)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = first.get("ctx", {}).get("error", first["msg"])
        raise CannotListen(f"{'.'.join(map(str, first['loc']))}: {reason}") from error


def _own_url(listeners: Sequence[ListenConfig]) -> str:
    for listen in listeners:
        if listen.mqtt is None:
            continue
        host, port = split_address(listen.mqtt)
        if listen.tls is not None or not port:
            continue
        host = _ANYWHERE.get(host, host)
        scheme, path = ("ws", listen.path) if listen.transport == "websocket" else ("mqtt", "")
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"
    raise CannotListen("no listener of this gateway can be reached without TLS at a known port; name the broker: --url")


async def listen(
    broker: BrokerConfig, topic_filter: str, *, heard: Callable[[str, bytes, bool], bool], for_s: float | None
) -> bool:
    """Call ``heard(topic, payload, is_retained)`` for each message until it answers False, the time is over or Ctrl-C.

    Returns whether a signal ended it.

    Raises:
        CannotListen: the broker cannot be reached, or refuses the subscription.
    """
    if not valid_filter(topic_filter):
        raise CannotListen(f"{topic_filter!r} is not a topic filter")
    with stop_signals() as stop:
        listener = _Listener(broker, topic_filter, heard)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(listener.run(), name="listen")
            asked = tasks.create_task(stop.wait(), name="stop")
            ends: list[asyncio.Future[Any]] = [asked, listener.over]
            done, _ = await asyncio.wait(ends, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
            await listener.stop()
            running.cancel()
            asked.cancel()
        if listener.over in done and (problem := listener.over.result()) is not None:
            raise CannotListen(problem)
        return asked in done


class _Listener:
    """The owner of the connection. ``over``: the reason why it ended by itself, None where it has heard enough."""

    def __init__(self, broker: BrokerConfig, topic_filter: str, heard: Callable[[str, bytes, bool], bool]) -> None:
        self.over: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._filter = topic_filter
        self._heard = heard
        settings = msgspec.structs.replace(
            client_settings(broker, client_id="", window=0), session_expiry_s=0, max_packet_bytes=_MAX_PACKET_BYTES
        )
        self._session = ClientSession(settings, delivered=_nothing_is_sent, open_inbox=lambda _version, _present: self)
        self._connection = BrokerConnection(broker, self._session, self, rng=Random())
        self._is_asked = False

    async def run(self) -> None:
        """Connect."""
        await self._connection.run()

    async def stop(self) -> None:
        """Say goodbye."""
        await self._connection.stop()

    def _end(self, problem: str | None) -> None:
        if not self.over.done():
            self.over.set_result(problem)

    # -- ClientInbox ----------------------------------------------------------------------------------------------

    def take(self, publishes: Sequence[Publish], now_s: float) -> None:
        """See `ClientInbox`."""
        del now_s
        for one in publishes:
            if self.over.done():
                return
            if not self._heard(one.topic, one.payload, one.retain):
                self._end(None)

    def release(self, packet_id: int) -> bool:
        """See `ClientInbox`; nothing of QoS 2 is asked for."""
        del packet_id
        return False

    def due(self) -> bytes:
        """See `ClientInbox`; nothing of QoS 0 is acknowledged."""
        return b""

    def end(self) -> None:
        """See `ClientInbox`."""

    # -- ConnectionOwner --------------------------------------------------------------------------------------------

    def version_changed(self) -> None:
        """See `ConnectionOwner`."""

    def connected(self, *, is_session_present: bool) -> None:
        """See `ConnectionOwner`."""
        del is_session_present
        self._is_asked = False

    def fill(self, now_s: float) -> float | None:
        """See `ConnectionOwner`: subscribe, once."""
        if not self._is_asked:
            self._is_asked = True
            self._session.subscribe([Subscription(self._filter, 0)], now_s)
        return None

    def happened(self, happening: Rejected | Subscribed | Announced) -> End | None:
        """See `ConnectionOwner`."""
        if isinstance(happening, Subscribed) and any(reason >= 0x80 for reason in happening.reasons):
            why = reason_text(happening.reasons[0]) if self._session.version == 5 else "the broker gives no reason"
            self._end(f"the broker refuses the subscription to {self._filter!r}: {why}")
        return None

    def lost(self, end: End) -> bool:
        """See `ConnectionOwner`."""
        del end
        return True

    def gave_way(self, end: End, *, was_connected: bool, is_news: bool, wait_s: float) -> None:
        """See `ConnectionOwner`."""
        del was_connected, is_news, wait_s
        if not end.is_at_once:
            self._end(end.text)


def _nothing_is_sent(batch: object, start: int, stop: int) -> None:
    raise AssertionError("a listener has published something")
