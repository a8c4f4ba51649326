"""What ``fieldgate.net`` must know of a server that it connects to, whatever is spoken there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from fieldgate.config.proxy import ProxyConfig
from fieldgate.config.secrets import Resolved, Secret
from fieldgate.config.urls import BrokerUrl

__all__ = ["FarSide"]


class FarSide(Protocol):
    """A broker (`BrokerConfig`) or a webhook (`WebhookConfig`). ``headers`` and ``url`` matter for WebSocket only."""

    @property
    def url(self) -> Resolved:
        """Where it is, as it was written."""

    @property
    def place(self) -> BrokerUrl:
        """Where TCP, TLS and WebSocket lead."""

    @property
    def headers(self) -> Mapping[str, Secret]:
        """Headers of the WebSocket handshake."""

    @property
    def ca(self) -> Path | None:
        """Who signed its certificate; None: the system's authorities know."""

    @property
    def certificate(self) -> Path | None:
        """Our own certificate, if it wants one."""

    @property
    def key(self) -> Path | None:
        """The key of that."""

    @property
    def server_name(self) -> str | None:
        """The name that its certificate bears, where it is not the URL's host."""

    @property
    def alpn(self) -> tuple[str, ...]:
        """Protocol names to offer in TLS."""

    @property
    def proxy(self) -> ProxyConfig | None:
        """The HTTP proxy on the way."""

    @property
    def connect_timeout(self) -> float:
        """Seconds for connecting."""
