"""What the URLs of a configuration must look like: those of brokers, of proxies and of webhooks.

A message never shows a URL that may hold a password.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from fieldgate.config.secrets import Resolved

__all__ = [
    "BrokerUrl", "ProxyUrl", "WebhookUrl", "check_broker_url", "check_proxy_url", "check_webhook_url",
    "split_broker_url", "split_proxy_url", "split_webhook_url",
]  # fmt: skip

_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")
_PATH: Final = re.compile(r"[!-~]*")  # what may stand in a request line
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_BROKER_FORMS: Final = (
    "write mqtt://HOST[:PORT], mqtts://HOST[:PORT], ws://HOST[:PORT][/PATH] or wss://HOST[:PORT][/PATH]"
)
_WEBHOOK_FORMS: Final = "write https://HOST[:PORT][/PATH] or http://HOST[:PORT][/PATH]"
_PROXY_FORM: Final = "write http://HOST:PORT"
_DEFAULT_PATH: Final = "/mqtt"


class BrokerUrl(NamedTuple):
    """How a broker is reached; ``path`` is empty but for WebSocket."""

    host: str
    port: int
    is_tls: bool
    path: str

    @property
    def is_websocket(self) -> bool:
        """Whether MQTT goes in WebSocket frames."""
        return bool(self.path)


class ProxyUrl(NamedTuple):
    """Where an HTTP proxy listens."""

    host: str
    port: int


class WebhookUrl(NamedTuple):
    """Where a webhook is; ``target`` is what stands in the request line: path and query."""

    host: str
    port: int
    is_tls: bool
    target: str


def split_broker_url(url: str) -> BrokerUrl:
    """Split the URL of a broker.

    Raises:
        ValueError: it is none; the message holds nothing of ``url``.
    """
    parts, host, port = _split(url, _BROKER_FORMS)
    if parts.scheme not in _PORTS:
        raise ValueError(f"is not the URL of an MQTT broker; {_BROKER_FORMS}")
    _check_place(parts, host, port, _BROKER_FORMS)
    is_tls = parts.scheme in {"mqtts", "wss"}
    path = ""
    if parts.scheme in {"ws", "wss"}:
        path = (parts.path or _DEFAULT_PATH) + (f"?{parts.query}" if parts.query else "")
        if not _PATH.fullmatch(path) or parts.fragment:
            raise ValueError("has a path that no request can hold; allowed: letters, digits and signs, without '#'")
    elif parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("goes on after host and port, which only ws:// and wss:// may; write mqtt://HOST[:PORT]")
    return BrokerUrl(host, port or _PORTS[parts.scheme], is_tls, path)


def split_proxy_url(url: str) -> ProxyUrl:
    """Split the URL of an HTTP proxy.

    Raises:
        ValueError: it is none; the message holds nothing of ``url``.
    """
    parts, host, port = _split(url, _PROXY_FORM)
    if parts.scheme != "http":
        raise ValueError(f"is not the URL of an HTTP proxy (no other kind is spoken); {_PROXY_FORM}")
    _check_place(parts, host, port, _PROXY_FORM)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"goes on after host and port; {_PROXY_FORM}")
    if port is None:
        raise ValueError(f"has no port; {_PROXY_FORM}, such as http://proxy.example:3128")
    return ProxyUrl(host, port)


def split_webhook_url(url: str) -> WebhookUrl:
    """Split the URL of a webhook.

    Raises:
        ValueError: it is none; the message holds nothing of ``url``.
    """
    parts, host, port = _split(url, _WEBHOOK_FORMS)
    if parts.scheme not in {"https", "http"}:
        raise ValueError(f"is not the URL of an HTTP server; {_WEBHOOK_FORMS}")
    if "@" in parts.netloc:
        raise ValueError("holds a user name or password; write them as 'authorization: Basic …'")
    _check_place(parts, host, port, _WEBHOOK_FORMS)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _PATH.fullmatch(target) or parts.fragment:
        raise ValueError("has a path that no request can hold; allowed: letters, digits and signs, without '#'")
    is_tls = parts.scheme == "https"
    return WebhookUrl(host, port or (443 if is_tls else 80), is_tls, target)


def check_broker_url(url: Resolved) -> Resolved:
    """A broker's URL; a message shows it as it was written, and not at all if it holds a password."""
    try:
        split_broker_url(url.reveal())
    except ValueError as error:
        raise ValueError(f"{_shown(url)} {error}") from None
    return url


def check_proxy_url(url: Resolved) -> Resolved:
    """A proxy's URL; as `check_broker_url`."""
    try:
        split_proxy_url(url.reveal())
    except ValueError as error:
        raise ValueError(f"{_shown(url)} {error}") from None
    return url


def check_webhook_url(url: Resolved) -> Resolved:
    """A webhook's URL; as `check_broker_url`."""
    try:
        split_webhook_url(url.reveal())
    except ValueError as error:
        raise ValueError(f"{_shown(url)} {error}") from None
    return url


def _split(url: str, wanted: str) -> tuple[SplitResult, str, int | None]:
    if re.search(r"[\x00-\x1f\x7f]|^ | $", url):  # which urlsplit leaves out
        raise ValueError(f"holds a blank, a line end or the like; {wanted}")
    try:
        parts = urlsplit(url)
        return parts, parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"has no usable host or port; {wanted}") from None


def _check_place(parts: SplitResult, host: str, port: int | None, wanted: str) -> None:
    if "@" in parts.netloc:
        raise ValueError("holds a user name or password; write them as 'username' and 'password'")
    if not host or not (":" in host or _HOST.fullmatch(host)):
        raise ValueError(f"has no usable host; {wanted}")
    if port == 0:
        raise ValueError("has no such port; allowed: 1 to 65535")


def _shown(url: Resolved) -> str:
    return "the URL" if "@" in url.written else repr(url.written)
