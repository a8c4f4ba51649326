"""``uplinks.NAME.webhook``: an HTTP server that is told of alerts, one request each."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from fieldgate.config.broker import check_header_name, check_header_value, check_server_name
from fieldgate.config.key_files import PemFile
from fieldgate.config.proxy import OptionalProxy
from fieldgate.config.secrets import Resolved, Secret, once_resolved
from fieldgate.config.urls import BrokerUrl, WebhookUrl, check_webhook_url, split_webhook_url
from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section

__all__ = ["WEBHOOK_MAX_AGE", "WebhookConfig"]

WEBHOOK_MAX_AGE: Final = "24h"
"""``max_age`` of a webhook that says nothing else: an alert of yesterday wakes nobody up."""

_OWN_HEADERS: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "upgrade", "expect", "te"}
)


def _check_header(name: str) -> str:
    check_header_name(name)
    if name.lower() in _OWN_HEADERS:
        raise ValueError(f"the header {name!r} belongs to the request itself; allowed: others")
    if name.lower() == "authorization":
        raise ValueError(f"the header {name!r} is written as 'authorization', beside 'headers'")
    return name


class WebhookConfig(Section):
    """An HTTP server that is told of alerts."""

    url: Annotated[Resolved, AfterValidator(once_resolved(check_webhook_url))] = Field(
        description="https://HOST[:PORT]/PATH that takes the requests, or where it is: a URL that holds a token is a "
        "secret, ${credential:NAME}. http:// sends everything unencrypted. Redirects are not followed.",
        examples=["https://alerts.example/hooks/plant-7"],
    )
    format: Literal["cloudevents", "text", "slack"] = Field(
        "cloudevents",
        description="Body: the event as CloudEvents 1.0 JSON; one line of plain text (ntfy and the like); or "
        '{"text": "that line"}, as Slack, Mattermost, Rocket.Chat, Google Chat and Teams take it.',
    )
    method: Literal["POST", "PUT"] = Field("POST", description="Method of the requests.")
    authorization: Annotated[Secret, AfterValidator(once_resolved(check_header_value))] | None = Field(
        None,
        description="The Authorization header, with where its secret is. It is never printed.",
        examples=["Bearer ${credential:pager-token}"],
    )
    headers: dict[
        Annotated[str, AfterValidator(_check_header)],
        Annotated[Secret, AfterValidator(once_resolved(check_header_value))],
    ] = Field(
        default_factory=dict,
        max_length=32,
        description="Further headers, such as those by which ntfy takes a title; Content-Type to have another one than "
        "that of the format. Their values are never printed.",
        examples=[{"Title": "Plant 7"}],
    )
    timeout: Annotated[float, Duration("100ms", "5m")] = Field(
        10.0, description="Time for connecting, proxy, TLS, request and answer together."
    )
    ca: PemFile | None = Field(
        None,
        description="PEM file of the authority that signed the server's certificate. Default: the system's. "
        "Certificate and host name are always verified.",
        examples=["/etc/fieldgate/ca.pem"],
    )
    certificate: PemFile | None = Field(
        None,
        description="PEM file of our own certificate, with its chain, for servers that ask for one.",
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
        description="Name that the server's certificate must bear and that is asked for (SNI), where it is not the "
        "URL's host.",
        examples=["alerts.example"],
    )
    proxy: OptionalProxy = Field(
        None,
        description="HTTP proxy through which to connect (CONNECT); as of a broker.",
        examples=["http://proxy.example:3128"],
    )

    @property
    def where(self) -> WebhookUrl:
        """The URL in its parts."""
        return split_webhook_url(self.url.reveal())

    # -- as `fieldgate.net` connects to it; see `fieldgate.config.far_side` --------------------------------------

    @property
    def place(self) -> BrokerUrl:
        """Where TCP and TLS lead."""
        where = self.where
        return BrokerUrl(where.host, where.port, where.is_tls, "")

    @property
    def host(self) -> str:
        """The server's host, without brackets."""
        return self.where.host

    @property
    def port(self) -> int:
        """The server's port."""
        return self.where.port

    @property
    def is_tls(self) -> bool:
        """Whether the URL is ``https://``."""
        return self.where.is_tls

    @property
    def alpn(self) -> tuple[str, ...]:
        """The only protocol that is spoken."""
        return ("http/1.1",)

    @property
    def connect_timeout(self) -> float:
        """Connecting has all the time there is."""
        return self.timeout
