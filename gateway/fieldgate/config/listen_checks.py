"""What only several keys of ``listen`` together can say: who could come in, and what makes no sense."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

from fieldgate.config.finding import Finding
from fieldgate.config.listen import ListenConfig
from fieldgate.config.model import Config
from fieldgate.config.positions import Document, Loc

__all__ = ["listen_errors", "listen_warnings"]


def listen_errors(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything about listeners that cannot work, or that would let anybody in from elsewhere."""
    yield from _ports_used_twice(config)
    for number, listen in enumerate(config.listen):
        loc: Loc = ("listen", number)
        yield from _open_doors(loc, listen)
        yield from _locked_doors(loc, listen)


def listen_warnings(config: Config, document: Document | None) -> Iterator[Finding]:
    """What works and may surprise."""
    for number, listen in enumerate(config.listen):
        if not listen.is_local:
            message = f"mqtt: {listen.mqtt!r} takes passwords and events unencrypted from the network"
            yield Finding(("listen", number, "mqtt"), message)


def _open_doors(loc: Loc, listen: ListenConfig) -> Iterator[Finding]:
    """Addresses that others can reach need somebody at the door [FAULTS 5.6]."""
    if listen.is_local:
        return
    mqtt = (*loc, "mqtt")
    allowed = "add auth: {users: FILE}, or listen on 127.0.0.1:PORT, [::1]:PORT, localhost:PORT"
    if listen.auth is None:
        message = f"mqtt: {listen.mqtt!r} can be reached from other machines, which needs authentication; {allowed}"
        yield Finding(mqtt, message, (mqtt,))
    elif listen.admits_anonymous and listen.auth is not None:
        message = f"anonymous: true is possible on loopback addresses only, and {listen.mqtt!r} is none"
        yield Finding((*loc, "auth", "anonymous"), message, (mqtt, (*loc, "auth")))


def _locked_doors(loc: Loc, listen: ListenConfig) -> Iterator[Finding]:
    auth = listen.auth
    if auth is not None and auth.users is None and not auth.anonymous:
        message = "auth: nobody can come in; add users: FILE, or on loopback anonymous: true"
        yield Finding((*loc, "auth"), message)


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
