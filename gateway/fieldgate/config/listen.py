"""``listen``: the ports on which devices connect, what they speak, how they get there, and who may."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fieldgate.config.key_files import PemFile
from fieldgate.config.secrets import Secret
from fieldgate.config.section import FilePath, LaneName, Name
from fieldgate.config.texts import (
    check_event_filter,
    check_http_topic,
    check_listen_address,
    check_origin,
    check_url_path,
    is_loopback,
    split_address,
)
from fieldgate_devices.files.quantities import Duration, Size, parse_size
from fieldgate_devices.files.section import Section

__all__ = ["HTTP_KEYS", "MIN_TOKEN_LENGTH", "MQTT_KEYS", "ListenAuthConfig", "ListenConfig", "ListenTlsConfig"]

MIN_TOKEN_LENGTH: Final = 16

MQTT_KEYS: Final = (
    "transport",
    "path",
    "max_packet",
    "receive_maximum",
    "max_unsent",
    "max_keep_alive",
    "max_in_flight",
    "max_unreleased",
    "max_subscriptions",
    "max_filters_size",
    "max_user_properties",
)
HTTP_KEYS: Final = ("topic", "answer", "max_body", "max_head", "request_timeout", "answer_timeout", "idle_timeout")
"""Keys of a listener that mean something for one protocol only."""

_DEFAULT_ADDRESS: Final = "127.0.0.1:1883"


def _no_port_alone(written: object) -> object:
    if isinstance(written, int) and not isinstance(written, bool):
        raise ValueError(
            f"{written} is a port without a host; write 127.0.0.1:{written} or, for the network, 0.0.0.0:{written}"
        )
    return written


class ListenTlsConfig(Section):
    """TLS on a listener: its own certificate, and whom it asks for one."""

    certificate: PemFile | None = Field(
        None,
        description="PEM file of the listener's certificate, with those between it and its authority behind it. "
        "Changed files are used for new connections without a restart. ${credential:NAME} is systemd's file of that "
        "name.",
        examples=["/etc/fieldgate/server.pem"],
    )
    key: PemFile | None = Field(
        None,
        description="PEM file of the private key, mode 0600 or 0640. Default: it is in the certificate's file.",
        examples=["/etc/fieldgate/server.key"],
    )
    client_ca: PemFile | None = Field(
        None,
        description="PEM file of the authorities whose client certificates are accepted. Without it none is asked for.",
        examples=["/etc/fieldgate/devices-ca.pem"],
    )
    crl: PemFile | None = Field(
        None,
        description="PEM file of the client certificates that those authorities have revoked; an outdated one lets "
        "nobody in. It counts for new connections.",
        examples=["/etc/fieldgate/devices.crl"],
    )
    require_client_certificate: bool = Field(
        True, description="With client_ca: whether a client without a certificate is refused already by TLS."
    )
    user_from: Literal["cn", "san-dns", "san-email", "san-uri", "none"] = Field(
        "cn",
        description="Which name in its certificate is the client's user: the common name, or the first alternative "
        "name of that kind. Such a client needs no password, and a user name in its CONNECT means nothing. 'none': a "
        "certificate opens the door, and the client logs in all the same.",
    )


class ListenAuthConfig(Section):
    """Who may come in at a listener, and do what."""

    users: FilePath | None = Field(
        None,
        description="File of user names and password hashes, made by 'fieldgate user add'. Changes count at once.",
        examples=["/etc/fieldgate/users"],
    )
    acl: FilePath | None = Field(
        None,
        description="YAML file that says who may publish and subscribe to what; what it does not allow is denied. "
        "Without it whoever comes in may do everything. Changes count at once.",
        examples=["/etc/fieldgate/acl.yaml"],
    )
    tokens: dict[Name, Secret] = Field(
        default_factory=dict,
        max_length=1000,
        description="HTTP only: secrets that stand for a user, by its name, for devices that cannot log in: as the "
        "first level of the path (http://HOST:PORT/TOKEN/PATH), or as 'Authorization: Bearer TOKEN'. At least "
        f"{MIN_TOKEN_LENGTH} letters, digits, '-', '_', '.' or '~'; 'openssl rand -hex 16' makes one.",
        examples=[{"weather": "${file:/etc/fieldgate/weather.token}"}],
    )
    anonymous: bool = Field(
        False, description="Whether clients without a user name may come in; possible on loopback addresses only."
    )


class ListenConfig(Section):
    """A port on which devices connect."""

    mqtt: Annotated[str, BeforeValidator(_no_port_alone), AfterValidator(check_listen_address)] | None = Field(
        _DEFAULT_ADDRESS,
        description="HOST:PORT of an MQTT listener (3.1.1 and 5). Other than a loopback address needs 'auth.users' or "
        "'tls.client_ca'. 0.0.0.0 is every address of this machine, [::] those of IPv6 too. Port 0 takes any free one.",
    )
    http: Annotated[str, AfterValidator(check_listen_address)] | None = Field(
        None,
        description="Instead of mqtt: HOST:PORT of an HTTP listener. What is sent there with POST or PUT is an event, "
        "answered when it is safe. Other than a loopback address needs 'auth.users', 'auth.tokens' or 'tls.client_ca'.",
        examples=["127.0.0.1:8080"],
    )
    topic: Annotated[str, AfterValidator(check_http_topic)] = Field(
        "http/{path}",
        description="HTTP only: the topic of what is sent; {path} is the path of the URL. Its query and the headers of "
        "the request are not kept.",
    )
    answer: Literal[204, 200] = Field(
        204, description="HTTP only: the status that says 'safe'. Some senders take nothing but 200 for success."
    )
    transport: Literal["tcp", "websocket"] = Field(
        "tcp", description="What carries MQTT: the connection itself, or a WebSocket (for browsers and proxies)."
    )
    path: Annotated[str, AfterValidator(check_url_path)] = Field(
        "/mqtt", description="Path of the WebSocket's URL; other paths are answered with 404."
    )
    origins: Annotated[tuple[Annotated[str, AfterValidator(check_origin)], ...], Field(strict=False)] | None = Field(
        None,
        description="Web pages that may open the WebSocket, by their origin; '*' is any. Default: any where every "
        "client logs in with a password, else only pages of this very host under its address or a local name "
        "(gateway, gateway.local), because a browser would lend any page its address and its certificate. Clients that "
        "are no browsers are not asked. HTTP: pages that may send; by default none.",
        examples=[["https://dashboard.example"]],
    )
    tls: ListenTlsConfig | None = Field(
        None,
        description="TLS 1.2 and 1.3. Without it the port is plain.",
        examples=[
            {
                "certificate": "/etc/fieldgate/server.pem",
                "key": "/etc/fieldgate/server.key",
                "client_ca": "/etc/fieldgate/devices-ca.pem",
                "crl": "/etc/fieldgate/devices.crl",
                "require_client_certificate": True,
                "user_from": "cn",
            }
        ],
    )
    auth: ListenAuthConfig | None = Field(
        None,
        description="Who may come in, and do what. Without it (loopback only) everybody may do everything.",
        examples=[{"users": "/etc/fieldgate/users", "acl": "/etc/fieldgate/acl.yaml", "anonymous": False}],
    )
    events: Annotated[tuple[Annotated[str, AfterValidator(check_event_filter)], ...], Field(strict=False)] = Field(
        ("#",),
        description="MQTT topic filters: a publish that matches one of them is an event. Others reach local "
        "subscribers only. '#' leaves out $…, homeassistant/# and fieldgate/#. A filter that ends with '#' leaves out "
        "the topics that profiles name as commands.",
        examples=[["site/+/boiler/#", "alarms/#"]],
    )
    lane: LaneName = Field(
        "normal",
        description="Priority of this listener's events: 'high' is sent and kept first, 'low' is dropped first.",
    )
    max_packet: Annotated[int, Size("128B", "256MB")] = Field(
        parse_size("256KiB"), description="Largest MQTT packet; a client that sends a larger one is disconnected."
    )
    max_body: Annotated[int, Size("1B", "256MB")] = Field(
        parse_size("256KiB"), description="HTTP only: largest body of a request; a larger one is answered with 413."
    )
    max_head: Annotated[int, Size("1KiB", "1MiB")] = Field(
        parse_size("16KiB"),
        description="HTTP only: largest head of a request, its headers; a larger one is answered with 431.",
    )
    request_timeout: Annotated[float, Duration("1s", "1h")] = Field(
        30.0, description="HTTP only: a request that has not come in whole by then is answered with 408."
    )
    answer_timeout: Annotated[float, Duration("1s", "1h")] = Field(
        30.0,
        description="HTTP only: what is not safe by then is answered with 503. It may be forwarded all the same, and "
        "the sender's next try makes another event.",
    )
    idle_timeout: Annotated[float, Duration("1s", "1h")] = Field(
        60.0, description="HTTP only: a connection without a request for so long is closed."
    )
    max_clients: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Clients at the same time; one more is refused (quota exceeded, 3.1.1: server unavailable, HTTP: "
        "503). An HTTP client is a connection.",
    )
    max_clients_per_address: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Clients at the same time from one network address; one more is refused like one over max_clients.",
    )
    max_connecting: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Connections at the same time that are not let in yet. One more takes the place of the oldest one "
        "of the address that has the most.",
    )
    connect_timeout: Annotated[float, Duration("100ms", "5m")] = Field(
        5.0,
        description="A connection that is not let in by then is closed: TLS, WebSocket, CONNECT (the first request's "
        "head) and log-in together.",
    )
    receive_maximum: int = Field(
        1000,
        ge=1,
        le=65535,
        description="Unacknowledged publishes that an MQTT 5 client may have on the way (Receive Maximum).",
    )
    max_unsettled: Annotated[int, Size("1KiB", "1GiB")] = Field(
        parse_size("256KiB"),
        description="Bytes of one client's events that may wait to be safe; beyond it nothing more is read from it.",
    )
    max_unsent: Annotated[int, Size("1KiB", "1GiB")] = Field(
        parse_size("1MiB"),
        description="Bytes that may wait for a client that does not read; beyond it the client is disconnected. Its "
        "QoS 0 messages are dropped from half of it on.",
    )
    max_keep_alive: Annotated[float, Duration("1s", "18h")] = Field(
        3600.0,
        description="Longest keep-alive. An MQTT 5 client that asks for more, or for none, is told this one; a 3.1.1 "
        "client that asks for none is ended after one and a half times this without a word from it.",
    )
    max_in_flight: int = Field(
        100,
        ge=1,
        le=32767,
        description="Messages of QoS 1 and 2 on the way to one client at a time; less if it asks for less.",
    )
    max_unreleased: int = Field(
        4096,
        ge=1,
        le=65535,
        description="QoS 2 messages of one client between PUBREC and PUBREL; with more it is disconnected (0x97). "
        "Never less than receive_maximum.",
    )
    max_subscriptions: int = Field(
        1000, ge=0, le=1_000_000, description="Subscriptions of one client; one more is refused (0x97)."
    )
    max_filters_size: Annotated[int, Size("0B", "1GiB")] = Field(
        parse_size("64KiB"), description="Bytes of all topic filters of one client; one more is refused (0x97)."
    )
    max_topic_levels: int = Field(
        201,
        ge=1,
        le=65536,
        description="Levels of a topic or a topic filter: 200 times '/', as with mosquitto. A deeper filter is refused "
        "(0x8F); who publishes to a deeper topic is disconnected (0x90).",
    )
    max_user_properties: int = Field(
        1000,
        ge=0,
        le=100_000,
        description="User properties of one packet; with more the client is disconnected (0x97).",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_what_is_meant(cls, written: object) -> object:
        """``auth:`` with every key commented out is not the same as no ``auth:``: it lets nobody in.

        And ``http`` takes the place of ``mqtt``.
        """
        if not isinstance(written, dict):
            return written
        content = {key: {} if key in ("auth", "tls") and below is None else below for key, below in written.items()}
        return {"mqtt": None, **content} if "http" in content else content

    @property
    def admits_anonymous(self) -> bool:
        """Whether a client that does not say who it is may come in: never from elsewhere, certificates or not."""
        return self.auth.anonymous if self.auth is not None else self.is_local

    @property
    def is_open_door(self) -> bool:
        """Whether somebody who is not asked could come in, so that only loopback addresses will do."""
        return self.admits_anonymous or (self.auth is None and not self.names_by_certificate)

    @property
    def names_by_certificate(self) -> bool:
        """Whether a client certificate says who the client is."""
        return self.tls is not None and self.tls.client_ca is not None and self.tls.user_from != "none"

    @property
    def origins_asked(self) -> tuple[str, ...] | None:
        """Web pages that may connect beside those of this host; None is any."""
        if self.origins is not None:
            return self.origins
        return () if self.admits_anonymous or self.names_by_certificate else None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it, as far as the text tells."""
        return is_loopback(self.host)

    @property
    def protocol(self) -> Literal["mqtt", "http"]:
        """What is spoken there; the key that holds the address."""
        return "mqtt" if self.http is None else "http"

    @property
    def address(self) -> str:
        """HOST:PORT, as it is written."""
        return self.http or self.mqtt or _DEFAULT_ADDRESS

    @property
    def host(self) -> str:
        """The address to bind, without brackets."""
        return split_address(self.address).host

    @property
    def port(self) -> int:
        """The port to bind; 0 is any free one."""
        return split_address(self.address).port
