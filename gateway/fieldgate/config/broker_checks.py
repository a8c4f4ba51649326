"""What the keys of a connection to a broker contradict, and what of it may surprise; for uplinks and sources alike."""

from __future__ import annotations

from collections.abc import Iterator

from fieldgate.config.broker import BrokerConfig
from fieldgate.config.finding import Finding
from fieldgate.config.positions import Loc
from fieldgate.config.texts import is_loopback

__all__ = ["broker_errors", "broker_warnings"]


def broker_errors(loc: Loc, mqtt: BrokerConfig) -> Iterator[Finding]:
    """Everything below ``loc`` that cannot work."""
    if mqtt.ca is not None and not mqtt.is_tls:
        message = f"ca: {str(mqtt.ca)!r} has no meaning for an mqtt:// URL; write mqtts:// for TLS"
        yield Finding((*loc, "ca"), message, ((*loc, "ca"), (*loc, "url")))
    elif mqtt.ca is not None and not mqtt.ca.is_file():
        yield Finding((*loc, "ca"), f"ca: {str(mqtt.ca)!r} is not a file")
    if mqtt.password is not None and mqtt.username is None and mqtt.version != "5":
        message = "password: MQTT 3.1.1 has no password without a user name; add 'username' or write version: '5'"
        yield Finding((*loc, "password"), message, tuple((*loc, key) for key in ("password", "username", "version")))


def broker_warnings(loc: Loc, mqtt: BrokerConfig) -> Iterator[Finding]:
    """Everything below ``loc`` that works and may surprise."""
    if not mqtt.is_tls and not is_loopback(mqtt.host):
        what = "events and the password" if mqtt.password is not None else "events"
        message = f"url: {str(mqtt.url)!r} sends {what} unencrypted over the network; mqtts:// encrypts"
        yield Finding((*loc, "url"), message)
    if mqtt.password is not None and mqtt.password.is_literal:
        message = "password: the password stands in the file itself; write ${credential:NAME} or ${file:/PATH}"
        yield Finding((*loc, "password"), message)
