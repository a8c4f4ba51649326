"""What the texts of a configuration must look like: names, addresses, filters, templates.

Each ``check_…`` returns its argument or raises ``ValueError`` that names the value and says what is allowed.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from fieldgate.mqtt.topics import valid_filter

__all__ = [
    "TOPIC_PLACEHOLDERS",
    "Address",
    "check_event_filter",
    "check_http_topic",
    "check_listen_address",
    "check_name",
    "check_origin",
    "check_subscription",
    "check_template",
    "check_topic_template",
    "check_url_path",
    "is_loopback",
    "is_own_name",
    "split_address",
]

TOPIC_PLACEHOLDERS: Final = ("gateway", "device", "type", "topic", "lane")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ADDRESS: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})")
_URL_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,255}")
_LOCAL_DOMAINS: Final = (".local", ".lan", ".home.arpa", ".internal", ".localhost")  # no public DNS has these
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int


def check_name(name: str) -> str:
    """A name that is safe in topics, client ids and file names."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name; allowed: letters, digits, '-', '_' and '.', at most 64 of them")
    return name


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant; no name is looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(text: str) -> Address:
    """Split ``HOST:PORT`` or ``[V6]:PORT``.

    Raises:
        ValueError: it is neither.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an address; write HOST:PORT, such as 127.0.0.1:1883 or [::1]:1883")
    if int(match["port"]) > 65535:
        raise ValueError(f"{text!r} has no such port; allowed: 0 (any free one) to 65535")
    if match["v6"] is not None:
        try:
            ipaddress.IPv6Address(match["v6"])
        except ValueError:
            raise ValueError(f"{text!r} holds no IPv6 address; write [::1]:1883") from None
    return Address(match["v6"] or match["host"], int(match["port"]))


def check_listen_address(text: str) -> str:
    """An address to listen on; who may come in there is for ``listen_checks`` to ask."""
    split_address(text)
    return text


def check_url_path(text: str) -> str:
    """The path of a URL, without query."""
    if not _URL_PATH.fullmatch(text):
        raise ValueError(f"{text!r} is not the path of a URL; it begins with '/', such as /mqtt")
    return text


def check_origin(text: str) -> str:
    """What a browser sends as Origin: scheme, host and perhaps port [RFC 6454 6.1]."""
    if text != "*" and not _ORIGIN.fullmatch(text):
        raise ValueError(f"{text!r} is not an origin; write https://HOST, https://HOST:PORT, or '*' for any")
    return text.lower()


def check_event_filter(text: str) -> str:
    """An MQTT topic filter [MQTT-4.7], not a shared one."""
    if text.startswith("$share/"):
        raise ValueError(f"{text!r} is a shared subscription; an event filter is a plain topic filter")
    if not valid_filter(text):
        raise ValueError(
            f"{text!r} is not a topic filter; '+' stands alone between slashes, '#' stands alone at the end, "
            "such as site/+/boiler or site/#"
        )
    return text


def check_subscription(text: str) -> str:
    """A topic filter [MQTT-4.7], or a shared one [MQTT5 4.8.2]."""
    if not valid_filter(text):
        raise ValueError(
            f"{text!r} is not a topic filter; '+' stands alone between slashes, '#' stands alone at the end, a shared "
            "one is $share/GROUP/FILTER"
        )
    return text


def check_http_topic(text: str) -> str:
    """A topic that may hold ``{path}``, once."""
    check_template(text, ("path",))
    if text.count("{path}") > 1:
        raise ValueError(f"{text!r} has {{path}} more than once")
    return text


def check_topic_template(text: str) -> str:
    """A topic with placeholders in braces."""
    return check_template(text, TOPIC_PLACEHOLDERS)


def check_template(text: str, placeholders: tuple[str, ...]) -> str:
    """A topic that may hold these ``placeholders`` in braces."""
    allowed = ", ".join(f"{{{name}}}" for name in placeholders)
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in placeholders:
            raise ValueError(f"{text!r} has an unknown placeholder {'{' + name + '}'!r}; allowed: {allowed}")
    plain = re.sub(r"\{[^{}]*\}", "", text)
    if "{" in plain or "}" in plain:
        raise ValueError(f"{text!r} has a brace without its partner; allowed: {allowed}")
    if bad := next((character for character in plain if character in "+#" or not character.isprintable()), None):
        raise ValueError(f"{text!r} holds {bad!r}, which no topic may hold; allowed: text, '/', {allowed}")
    if text.startswith("$"):
        raise ValueError(f"{text!r} begins with '$', which brokers keep for themselves")
    if not text or len(text.encode(errors="replace")) > 1024:
        raise ValueError(f"{text[:40]!r} has the wrong length; allowed: 1 to 1024 bytes")
    return text


def is_own_name(host: str) -> bool:
    """Whether only this network can have given the name: an address, one without a domain, one of a local domain.

    A name of the public DNS may lead here too, because its owner says so (DNS rebinding); its pages are strangers.
    """
    try:
        name = split_address(host if host.rpartition(":")[2].isdecimal() else f"{host}:80").host
    except ValueError:
        return False
    if name.endswith(_LOCAL_DOMAINS) or "." not in name:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
