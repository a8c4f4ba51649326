"""How to reach an MQTT broker and who to be there: what uplinks and sources have in common."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fieldgate.config.key_files import PemFile
from fieldgate.config.proxy import OptionalProxy
from fieldgate.config.sas import SasConfig
from fieldgate.config.secrets import Resolved, Secret, once_resolved
from fieldgate.config.urls import BrokerUrl, check_broker_url, split_broker_url
from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section

__all__ = ["BrokerConfig", "check_header_name", "check_header_value", "check_server_name"]

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_OWN_HEADERS: Final = re.compile(r"host|connection|upgrade|content-length|transfer-encoding|sec-websocket-.*", re.I)
_MAX_LOGIN_BYTES: Final = 65_535  # [MQTT5 1.5.4, 1.5.6]
_SERVER_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")


def _five_is_a_text(written: object) -> object:
    """``version: 5`` needs no quotes."""
    return "5" if written == 5 else written


def _number_too(schema: dict[str, Any]) -> None:
    del schema["type"]
    schema["enum"].append(5)


def check_header_name(name: str) -> str:
    """The name of an HTTP header."""
    if not _HEADER.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of an HTTP header")
    return name


def _check_header(name: str) -> str:
    check_header_name(name)
    if _OWN_HEADERS.fullmatch(name):
        raise ValueError(f"the header {name!r} belongs to the WebSocket handshake itself; allowed: others")
    return name


def check_header_value(value: Secret) -> Secret:
    """What an HTTP header may hold."""
    if not re.fullmatch(r"[ -~]*", value.reveal()):
        raise ValueError("the header's value holds what no HTTP header may; allowed: ASCII without line ends")
    return value


def _check_login(value: Resolved) -> Resolved:
    if len(value.reveal().encode()) > _MAX_LOGIN_BYTES:
        raise ValueError(f"a user name or password is longer than MQTT allows; allowed: {_MAX_LOGIN_BYTES} bytes")
    return value


def _check_alpn(name: str) -> str:
    if not name.isascii() or not 1 <= len(name) <= 255:
        raise ValueError(f"{name!r} is not a protocol name of ALPN; allowed: 1 to 255 ASCII characters")
    return name


def check_server_name(name: str) -> str:
    """The name of a host."""
    if not _SERVER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a host name, such as broker.example")
    return name


class BrokerConfig(Section):
    """An MQTT broker elsewhere."""

    url: Annotated[Resolved, AfterValidator(once_resolved(check_broker_url))] = Field(
        description="mqtt://HOST[:PORT] (port 1883), mqtts://HOST[:PORT] (TLS, port 8883), ws://HOST[:PORT][/PATH] "
        "(WebSocket, port 80, path /mqtt) or wss://HOST[:PORT][/PATH] (WebSocket over TLS, port 443).",
        examples=["mqtts://broker.example:8883"],
    )
    username: Annotated[Resolved, AfterValidator(once_resolved(_check_login))] | None = Field(
        None, description="User name, or where it is: ${credential:…}, ${file:…}, ${env:…}.", examples=["plant-7"]
    )
    password: Annotated[Secret, AfterValidator(once_resolved(_check_login))] | None = Field(
        None,
        description="Where the password is: ${credential:NAME} (systemd LoadCredential=NAME:/path), ${file:PATH} "
        "(mode 0600) or ${env:NAME}. It is never printed.",
        examples=["${credential:cloud-password}"],
    )
    sas: SasConfig | None = Field(
        None,
        description="In place of 'password': a token that is made from a shared key and renewed before it ends (Azure "
        "IoT Hub). It needs the right time: as long as the clock is not set there is no connection.",
        examples=[{"key": "${credential:device-key}"}],
    )
    client_id: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None,
        description="MQTT client id; no other client of that broker may use it. Default: fieldgate-GATEWAY-NAME.",
        examples=["fieldgate-plant-7-cloud"],
    )
    version: Annotated[Literal["auto", "5", "3.1.1"], BeforeValidator(_five_is_a_text)] = Field(
        "auto",
        description="MQTT version; 'auto' tries 5 and falls back to 3.1.1 if the broker refuses it.",
        json_schema_extra=_number_too,
    )
    ca: PemFile | None = Field(
        None,
        description="PEM file of the authority that signed the broker's certificate. Default: the system's. "
        "Certificate and host name are always verified.",
        examples=["/etc/fieldgate/ca.pem"],
    )
    certificate: PemFile | None = Field(
        None,
        description="PEM file of our own certificate, with its chain, for brokers that ask for one. It is read again "
        "at the next connect after it has changed. ${credential:NAME} is systemd's file of that name.",
        examples=["/etc/fieldgate/plant-7.crt"],
    )
    key: PemFile | None = Field(
        None,
        description="PEM file of the certificate's private key, without a passphrase and not open to everyone (mode "
        "0600 or 0640).",
        examples=["/etc/fieldgate/plant-7.key"],
    )
    server_name: Annotated[str, AfterValidator(check_server_name)] | None = Field(
        None,
        description="Name that the broker's certificate must bear and that is asked for (SNI), where it is not the "
        "URL's host: a broker behind an address or a tunnel. Default: the URL's host.",
        examples=["broker.example"],
    )
    alpn: Annotated[tuple[Annotated[str, AfterValidator(_check_alpn)], ...], Field(strict=False)] = Field(
        (),
        description="Protocol names to offer in TLS, for brokers that share a port with other services (AWS IoT on "
        "port 443: x-amzn-mqtt-ca).",
        examples=[["x-amzn-mqtt-ca"]],
    )
    headers: dict[
        Annotated[str, AfterValidator(_check_header)],
        Annotated[Secret, AfterValidator(once_resolved(check_header_value))],
    ] = Field(
        default_factory=dict,
        max_length=32,
        description="HTTP headers to send along with the WebSocket handshake, for services that authorise by them. "
        "Their values are never printed.",
        examples=[{"Authorization": "${credential:cloud-header}"}],
    )
    proxy: OptionalProxy = Field(
        None,
        description="HTTP proxy through which to connect (CONNECT); it looks up the broker's name, we do not. "
        "http://HOST:PORT alone, or with a user name and a password. Environment variables such as https_proxy "
        "count for nothing.",
        examples=["http://proxy.example:3128"],
    )
    keep_alive: Annotated[float, Duration("1s", "18h")] = Field(
        60.0, description="MQTT keep-alive; a silent connection is given up after one and a half times this."
    )
    connect_timeout: Annotated[float, Duration("100ms", "5m")] = Field(
        10.0, description="Time for connecting, proxy, TLS, WebSocket and CONNACK together."
    )

    @property
    def place(self) -> BrokerUrl:
        """The URL in its parts."""
        return split_broker_url(self.url.reveal())

    @property
    def host(self) -> str:
        """The broker's host, without brackets."""
        return self.place.host

    @property
    def port(self) -> int:
        """The broker's port."""
        return self.place.port

    @property
    def is_tls(self) -> bool:
        """Whether the URL is ``mqtts://`` or ``wss://``."""
        return self.place.is_tls
