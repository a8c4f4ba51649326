"""What the ports share at which HTTP is spoken, by devices or by whoever reads metrics."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Generic, TypeVar

import structlog

from fieldgate import clock
from fieldgate.config.listen import ListenConfig
from fieldgate.ingest.layers import LayerStack
from fieldgate.ingest.listener import Listener, Served, shown

__all__ = ["HttpPort"]

log = structlog.get_logger("fieldgate")

C = TypeVar("C", bound=Served)


class HttpPort(Listener[C], Generic[C]):
    """A connection carries many requests and is counted once; no request makes a line in the log."""

    def __init__(self, settings: ListenConfig, *, may_go: Callable[[C], bool]) -> None:
        super().__init__(settings, transport="http", may_go=may_go)
        self._date = ""

    def _tick_own(self, now_s: float) -> None:
        self._date = formatdate(clock.wall_ns() / 1e9, usegmt=True) if clock.is_synced() else ""

    def _exceeded(self, address: str, client_id: str) -> str:
        """None: whether there is room is asked where a connection's first request is let in."""
        return ""

    def open_layers(self, connection: C) -> LayerStack | None:
        """Make what lies between this socket and its session; None: nothing does."""
        layers = self._tls_layers(connection)
        return LayerStack(layers) if layers else None

    def admitted(self, connection: C) -> None:
        """Its first request was let in."""
        self.crowd.admitted(connection, connection.address)
        user = shown(connection.door.user if connection.door is not None else "")
        log.debug("client.admitted", listener=self.name, user=user, address=connection.address)

    def _say_not_admitted(self, connection: C, reason: str) -> None:
        """Who was never let in makes a line, so that a person can find out why."""
        door = connection.door
        log.info(
            "client.not_admitted",
            listener=self.name,
            client="",
            user=shown(door.asked if door is not None else ""),
            address=connection.address,
            reason=reason,
        )
