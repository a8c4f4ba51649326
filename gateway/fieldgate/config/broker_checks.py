"""What the keys of a connection to a broker contradict, and what of it may surprise; for uplinks and sources alike."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from fieldgate import clock
from fieldgate.config.broker import BrokerConfig
from fieldgate.config.certificates import read_validity
from fieldgate.config.far_side import FarSide
from fieldgate.config.finding import Finding
from fieldgate.config.key_files import client_context, file_problem, load_own
from fieldgate.config.secrets import Secret
from fieldgate.config.texts import is_loopback
from fieldgate_devices.files.document import Loc

__all__ = ["broker_errors", "broker_warnings", "proxy_errors", "tls_errors"]

_ENDS_SOON: Final = timedelta(days=14)
_TLS_FILES: Final = ("ca", "certificate", "key")
_TLS_KEYS: Final = (*_TLS_FILES, "server_name", "alpn")


def broker_errors(loc: Loc, broker: BrokerConfig) -> Iterator[Finding]:
    """Everything below ``loc`` that cannot work."""
    plain, encrypted = ("a ws", "wss") if broker.place.is_websocket else ("an mqtt", "mqtts")
    yield from tls_errors(loc, broker, plain=plain, encrypted=encrypted)
    yield from _login_errors(loc, broker)
    if broker.headers and not broker.place.is_websocket:
        message = "headers: have no meaning but for ws:// and wss:// URLs"
        yield Finding((*loc, "headers"), message, ((*loc, "headers"), (*loc, "url")))
    yield from proxy_errors(loc, broker)


def proxy_errors(loc: Loc, far_side: FarSide) -> Iterator[Finding]:
    """What of the proxy on the way cannot work."""
    proxy = far_side.proxy
    if proxy is not None:
        if proxy.password is not None and proxy.username is None:
            message = "password: a proxy takes no password without a user name; add 'username'"
            yield Finding((*loc, "proxy", "password"), message, ((*loc, "proxy"),))
        if proxy.username is not None and ":" in proxy.username.reveal():
            message = "username: holds a ':', which no user name of a proxy may"
            yield Finding((*loc, "proxy", "username"), message)


def broker_warnings(loc: Loc, broker: BrokerConfig) -> Iterator[Finding]:
    """Everything below ``loc`` that works and may surprise."""
    if not broker.is_tls and not is_loopback(broker.host):
        secret = (
            " and the password" if broker.password is not None else " and the token" if broker.sas is not None else ""
        )
        encrypted = "wss" if broker.place.is_websocket else "mqtts"
        message = f"url: {str(broker.url)!r} sends events{secret} unencrypted over the network; {encrypted}:// encrypts"
        yield Finding((*loc, "url"), message)
    for below, what, secret_text in _secrets(broker):
        if secret_text.is_literal:
            message = f"{below[-1]}: {what} stands in the file itself; write ${{credential:NAME}} or ${{file:/PATH}}"
            yield Finding((*loc, *below), message)
        if problem := _odd(secret_text.reveal()):
            yield Finding((*loc, *below), f"{below[-1]}: {what} {problem}")
    yield from _certificate_warnings(loc, broker)


def tls_errors(
    loc: Loc, broker: FarSide, *, plain: str, encrypted: str, keys: Sequence[str] = _TLS_KEYS
) -> Iterator[Finding]:
    """What of the TLS ``keys`` cannot work; ``plain`` and ``encrypted`` are the schemes of its URLs, in words."""
    if not broker.place.is_tls:
        for key in keys:
            value = getattr(broker, key)
            if value:
                shown = list(value) if key == "alpn" else str(value)
                message = f"{key}: {shown!r} has no meaning for {plain}:// URL; write {encrypted}:// for TLS"
                yield Finding((*loc, key), message, ((*loc, key), (*loc, "url")))
        return
    problems = {key: file_problem(path) for key in _TLS_FILES if (path := getattr(broker, key)) is not None}
    for key, problem in problems.items():
        if problem:
            yield Finding((*loc, key), f"{key}: {str(getattr(broker, key))!r} {problem}")
    if broker.ca is not None and not problems["ca"]:
        try:
            client_context(broker.ca)
        except ValueError as error:
            yield Finding((*loc, "ca"), f"ca: {error}")
    pair = ((*loc, "certificate"), (*loc, "key"))
    if broker.key is not None and broker.certificate is None:
        yield Finding((*loc, "key"), "key: belongs to a certificate; add 'certificate'", pair)
    elif broker.certificate is not None and broker.key is None:
        yield Finding((*loc, "certificate"), "certificate: needs its private key; add 'key'", pair)
    elif broker.certificate and broker.key and not problems["certificate"] and not problems["key"]:
        try:
            load_own(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), broker.certificate, broker.key)
        except ValueError as error:
            yield Finding((*loc, "key"), f"key: {error}", pair)


def _login_errors(loc: Loc, broker: BrokerConfig) -> Iterator[Finding]:
    reads = tuple((*loc, key) for key in ("password", "username", "version", "sas"))
    if broker.sas is not None:
        if broker.password is not None:
            yield Finding((*loc, "password"), "password: there is 'sas', which makes one; allowed: one of both", reads)
        return
    if broker.password is not None and broker.username is None and broker.version != "5":
        message = "password: MQTT 3.1.1 has no password without a user name; add 'username' or write version: '5'"
        yield Finding((*loc, "password"), message, reads)


def _odd(secret: str) -> str:
    """What no log-in is likely to be, in words."""
    if not secret:
        return "is empty"
    return "has more than one line, all of which is sent" if "\n" in secret else ""


def _secrets(broker: BrokerConfig) -> Iterator[tuple[Loc, str, Secret]]:
    if broker.password is not None:
        yield ("password",), "the password", broker.password
    if broker.sas is not None:
        yield ("sas", "key"), "the shared key", broker.sas.key
    if broker.proxy is not None and broker.proxy.password is not None:
        yield ("proxy", "password"), "the password", broker.proxy.password
    for name, value in broker.headers.items():
        if name.lower() in {"authorization", "cookie"}:
            yield ("headers", name), "the log-in", value


def _certificate_warnings(loc: Loc, broker: BrokerConfig) -> Iterator[Finding]:
    """Our own certificate's dates, as far as this machine's clock can be trusted."""
    if broker.certificate is None or not clock.is_synced():
        return
    try:
        validity = read_validity(broker.certificate)
    except (OSError, ValueError):  # `tls_errors` says so
        return
    now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
    written = f"certificate: {str(broker.certificate)!r}"
    if now > validity.not_after:
        yield Finding((*loc, "certificate"), f"{written} has expired at {validity.not_after:%Y-%m-%d %H:%M} UTC")
    elif now < validity.not_before:
        yield Finding((*loc, "certificate"), f"{written} is not valid before {validity.not_before:%Y-%m-%d %H:%M} UTC")
    elif validity.not_after - now < _ENDS_SOON:
        yield Finding((*loc, "certificate"), f"{written} expires at {validity.not_after:%Y-%m-%d %H:%M} UTC")
