"""What only several keys of ``listen`` together can say: who could come in, and what makes no sense."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final

from fieldgate.config.finding import Finding
from fieldgate.config.listen import ListenConfig
from fieldgate.config.model import Config
from fieldgate_devices.files.document import Document, Loc

__all__ = ["listen_errors", "listen_warnings"]

_WEBSOCKET_KEYS: Final = ("path", "origins")
_CLIENT_CA_KEYS: Final = ("crl", "require_client_certificate", "user_from")


def listen_errors(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything about listeners that cannot work, or that would let anybody in from elsewhere."""
    yield from _ports_used_twice(config)
    for number, listen in enumerate(config.listen):
        loc: Loc = ("listen", number)
        yield from _open_doors(loc, listen)
        yield from _locked_doors(loc, listen)
        yield from _without_meaning(loc, listen, document)
        if listen.tls is not None and listen.tls.certificate is None:
            message = "tls: has no 'certificate'; write tls: {certificate: server.pem, key: server.key}"
            yield Finding((*loc, "tls"), message)


def listen_warnings(config: Config, document: Document | None) -> Iterator[Finding]:
    """What works and may surprise."""
    for number, listen in enumerate(config.listen):
        if listen.tls is None and not listen.is_local:
            message = (
                f"mqtt: {listen.mqtt!r} takes passwords and events unencrypted from the network; "
                "tls: {certificate: server.pem, key: server.key} encrypts"
            )
            yield Finding(("listen", number, "mqtt"), message)


def _open_doors(loc: Loc, listen: ListenConfig) -> Iterator[Finding]:
    """Addresses that others can reach need somebody at the door [FAULTS 5.6]."""
    if listen.is_local:
        return
    mqtt = (*loc, "mqtt")
    allowed = "add auth: {users: FILE}, or listen on 127.0.0.1:PORT, [::1]:PORT, localhost:PORT"
    if listen.auth is None and not listen.names_by_certificate:
        message = f"mqtt: {listen.mqtt!r} can be reached from other machines, which needs authentication; {allowed}"
        yield Finding(mqtt, message, (mqtt, (*loc, "tls"), (*loc, "auth")))
    elif listen.admits_anonymous and listen.auth is not None:
        message = f"anonymous: true is possible on loopback addresses only, and {listen.mqtt!r} is none"
        yield Finding((*loc, "auth", "anonymous"), message, (mqtt, (*loc, "auth")))


def _locked_doors(loc: Loc, listen: ListenConfig) -> Iterator[Finding]:
    auth = listen.auth
    if auth is not None and auth.users is None and not auth.anonymous and not listen.names_by_certificate:
        message = "auth: nobody can come in; add users: FILE, tls.client_ca, or on loopback anonymous: true"
        yield Finding((*loc, "auth"), message, ((*loc, "auth"), (*loc, "tls")))


def _without_meaning(loc: Loc, listen: ListenConfig, document: Document | None) -> Iterator[Finding]:
    """No option is accepted and then ignored."""
    if document is None:
        return
    if listen.transport != "websocket":
        for key in _WEBSOCKET_KEYS:
            if document.node((*loc, key)) is not None:
                message = f"{key}: has no meaning with transport: {listen.transport}; write transport: websocket"
                yield Finding((*loc, key), message, ((*loc, "transport"),))
    if listen.tls is not None and listen.tls.client_ca is None:
        for key in _CLIENT_CA_KEYS:
            if document.node((*loc, "tls", key)) is not None:
                message = f"{key}: has no meaning without client_ca, which asks clients for a certificate"
                yield Finding((*loc, "tls", key), message, ((*loc, "tls"),))


def _ports_used_twice(config: Config) -> Iterator[Finding]:
    seen: list[tuple[int, ListenConfig]] = []
    for number, listen in enumerate(config.listen):
        loc: Loc = ("listen", number, "mqtt")
        for other, earlier in seen:
            if listen.port == earlier.port != 0 and _overlap(listen.host.lower(), earlier.host.lower()):
                message = f"mqtt: {listen.mqtt!r} is taken by listen[{other}] already; allowed: another port"
                yield Finding(loc, message, (loc, ("listen", other, "mqtt")))
                break
        seen.append((number, listen))


def _overlap(one: str, other: str) -> bool:
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
