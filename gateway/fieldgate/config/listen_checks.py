"""What only several keys of ``listen`` together can say: who could come in, and what makes no sense."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final

from fieldgate.config.finding import Finding
from fieldgate.config.listen import HTTP_KEYS, MIN_TOKEN_LENGTH, MQTT_KEYS, ListenConfig
from fieldgate.config.model import Config
from fieldgate_devices.files.document import Document, Loc

__all__ = ["is_token", "listen_errors", "listen_warnings", "overlap"]

_WEBSOCKET_KEYS: Final = ("path", "origins")
_CLIENT_CA_KEYS: Final = ("crl", "require_client_certificate", "user_from")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]+")


def listen_errors(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything about listeners that cannot work, or that would let anybody in from elsewhere."""
    yield from _ports_used_twice(config)
    for number, listen in enumerate(config.listen):
        loc: Loc = ("listen", number)
        yield from _one_protocol(loc, listen, document)
        yield from _open_doors(loc, listen)
        yield from _locked_doors(loc, listen)
        yield from _tokens(loc, listen)
        yield from _without_meaning(loc, listen, document)
        if listen.tls is not None and listen.tls.certificate is None:
            message = "tls: has no 'certificate'; write tls: {certificate: server.pem, key: server.key}"
            yield Finding((*loc, "tls"), message)


def listen_warnings(config: Config, document: Document | None) -> Iterator[Finding]:
    """What works and may surprise."""
    for number, listen in enumerate(config.listen):
        if listen.tls is None and not listen.is_local:
            message = (
                f"{listen.protocol}: {listen.address!r} takes passwords and events unencrypted from the network; "
                "tls: {certificate: server.pem, key: server.key} encrypts"
            )
            yield Finding(("listen", number, listen.protocol), message)
        for name, token in listen.auth.tokens.items() if listen.auth is not None else ():
            if token.is_literal:
                message = f"{name}: a token stands in the file itself; write ${{credential:NAME}} or ${{file:/PATH}}"
                yield Finding(("listen", number, "auth", "tokens", name), message)


def _one_protocol(loc: Loc, listen: ListenConfig, document: Document | None) -> Iterator[Finding]:
    if listen.mqtt is not None and listen.http is not None:
        message = f"http: {listen.http!r} and mqtt: {listen.mqtt!r} are two listeners; write two entries"
        yield Finding((*loc, "http"), message, _addresses(loc))
    for key, value in (("mqtt", listen.mqtt), ("http", listen.http)):
        if value is None and document is not None and document.node((*loc, key)) is not None:
            yield Finding((*loc, key), f"{key}: has no value; write one, or leave the key out", _addresses(loc))


def _addresses(loc: Loc) -> tuple[Loc, Loc]:
    """What says where a listener is, and what is spoken there."""
    return (*loc, "mqtt"), (*loc, "http")


def _open_doors(loc: Loc, listen: ListenConfig) -> Iterator[Finding]:
    """Addresses that others can reach need somebody at the door [FAULTS 5.6]."""
    if listen.is_local:
        return
    who = "{users: FILE}" if listen.http is None else "{users: FILE} or {tokens: {NAME: SECRET}}"
    allowed = f"add auth: {who}, or listen on 127.0.0.1:PORT, [::1]:PORT, localhost:PORT"
    if listen.auth is None and not listen.names_by_certificate:
        message = (
            f"{listen.protocol}: {listen.address!r} can be reached from other machines, which needs authentication; "
            f"{allowed}"
        )
        yield Finding((*loc, listen.protocol), message, (*_addresses(loc), (*loc, "tls"), (*loc, "auth")))
    elif listen.admits_anonymous and listen.auth is not None:
        message = f"anonymous: true is possible on loopback addresses only, and {listen.address!r} is none"
        yield Finding((*loc, "auth", "anonymous"), message, (*_addresses(loc), (*loc, "auth")))


def _locked_doors(loc: Loc, listen: ListenConfig) -> Iterator[Finding]:
    auth = listen.auth
    if auth is None or auth.users is not None or auth.anonymous or listen.names_by_certificate:
        return
    if listen.http is None or not auth.tokens:
        more = "" if listen.http is None else "tokens: {NAME: SECRET}, "
        message = f"auth: nobody can come in; add users: FILE, {more}tls.client_ca, or on loopback anonymous: true"
        yield Finding((*loc, "auth"), message, (*_addresses(loc), (*loc, "auth"), (*loc, "tls")))


def _tokens(loc: Loc, listen: ListenConfig) -> Iterator[Finding]:
    """Those that nobody could send, or that could be guessed; none is ever shown."""
    seen: dict[str, str] = {}
    for name, token in listen.auth.tokens.items() if listen.auth is not None else ():
        place: Loc = (*loc, "auth", "tokens", name)
        value = token.reveal()
        if not is_token(value):
            message = (
                f"{name}: the value is no token; allowed: {MIN_TOKEN_LENGTH} or more letters, digits, '-', '_', '.', "
                "'~'; 'openssl rand -hex 16' makes one"
            )
            yield Finding(place, message)
        elif value in seen:
            yield Finding(place, f"{name}: {seen[value]!r} has the same token already; each user needs its own")
        seen.setdefault(value, name)


def _without_meaning(loc: Loc, listen: ListenConfig, document: Document | None) -> Iterator[Finding]:
    """No option is accepted and then ignored."""
    if document is None:
        return
    for key in HTTP_KEYS if listen.http is None else MQTT_KEYS:
        if document.node((*loc, key)) is not None:
            other = "http" if listen.http is None else "mqtt"
            message = f"{key}: has no meaning for {listen.protocol}; it belongs to a listener that says {other}"
            yield Finding((*loc, key), message, _addresses(loc))
    if listen.http is None and listen.auth is not None and listen.auth.tokens:
        message = "tokens: has no meaning for mqtt, whose clients log in with a name and a password"
        yield Finding((*loc, "auth", "tokens"), message, (*_addresses(loc), (*loc, "auth", "tokens")))
    if listen.http is None and listen.transport != "websocket":
        for key in _WEBSOCKET_KEYS:
            if document.node((*loc, key)) is not None:
                message = f"{key}: has no meaning with transport: {listen.transport}; write transport: websocket"
                yield Finding((*loc, key), message, ((*loc, "transport"), (*loc, "http")))
    if listen.tls is not None and listen.tls.client_ca is None:
        for key in _CLIENT_CA_KEYS:
            if document.node((*loc, "tls", key)) is not None:
                message = f"{key}: has no meaning without client_ca, which asks clients for a certificate"
                yield Finding((*loc, "tls", key), message, ((*loc, "tls"),))


def _ports_used_twice(config: Config) -> Iterator[Finding]:
    seen: list[tuple[int, ListenConfig]] = []
    for number, listen in enumerate(config.listen):
        if listen.mqtt is None and listen.http is None:
            continue  # told by itself
        loc: Loc = ("listen", number)
        for other, earlier in seen:
            if listen.port == earlier.port != 0 and overlap(listen.host.lower(), earlier.host.lower()):
                message = (
                    f"{listen.protocol}: {listen.address!r} is taken by listen[{other}] already; allowed: another port"
                )
                yield Finding((*loc, listen.protocol), message, (*_addresses(loc), *_addresses(("listen", other))))
                break
        seen.append((number, listen))


def is_token(value: str) -> bool:
    """Whether it is long enough, and can stand in a URL and a header."""
    return len(value) >= MIN_TOKEN_LENGTH and _TOKEN.fullmatch(value) is not None


def overlap(one: str, other: str) -> bool:
    """Whether two hosts may be the same address: an address of every kind holds all of its family."""
    if one == other or "localhost" in {one, other}:
        return True
    try:
        addresses = [ip_address(one), ip_address(other)]
    except ValueError:  # a name, which may be any address; binding tells
        return False
    return any(
        address.is_unspecified and (isinstance(address, IPv6Address) or address.version == other.version)
        for address, other in (addresses, addresses[::-1])
    )
