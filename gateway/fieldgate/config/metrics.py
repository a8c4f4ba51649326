"""``metrics``: where Prometheus reads what the gateway counts, and who may."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from fieldgate.config.listen import MIN_TOKEN_LENGTH, ListenAuthConfig, ListenConfig, ListenTlsConfig
from fieldgate.config.secrets import Secret
from fieldgate.config.section import FilePath
from fieldgate.config.texts import check_listen_address, is_loopback, split_address
from fieldgate_devices.files.section import Section

__all__ = ["TOKEN_READER", "MetricsAuthConfig", "MetricsConfig"]

TOKEN_READER = "bearer-token"
"""Who shows the token, as the log calls it."""

_MAX_CLIENTS = 16


class MetricsAuthConfig(Section):
    """Who may read the metrics."""

    users: FilePath | None = Field(
        None,
        description="File of user names and password hashes, made by 'fieldgate user add'; that of a listener will do. "
        "Changes count at once.",
        examples=["/etc/fieldgate/users"],
    )
    readers: Annotated[tuple[str, ...], Field(strict=False, max_length=100)] = Field(
        (),
        description="Which of those users may read the metrics; others are refused, whatever else they may do. With "
        "tls.client_ca: which names in a client's certificate.",
        examples=[["prometheus"]],
    )
    token: Secret | None = Field(
        None,
        description="Instead of a password: 'Authorization: Bearer TOKEN'. At least "
        f"{MIN_TOKEN_LENGTH} letters, digits, '-', '_', '.' or '~'; 'openssl rand -hex 16' makes one.",
        examples=["${credential:metrics-token}"],
    )


class MetricsConfig(Section):
    """What the gateway counts, for Prometheus."""

    listen: Annotated[str, AfterValidator(check_listen_address)] | None = Field(
        None,
        description="HOST:PORT at which Prometheus finds /metrics. Other than a loopback address needs 'auth' or "
        "'tls.client_ca'. Without it there is no such port: nothing listens that nobody has asked for.",
        examples=["127.0.0.1:9469"],
    )
    tls: ListenTlsConfig | None = Field(
        None,
        description="TLS 1.2 and 1.3. Without it the port is plain.",
        examples=[
            {
                "certificate": "/etc/fieldgate/server.pem",
                "key": "/etc/fieldgate/server.key",
                "client_ca": "/etc/fieldgate/monitoring-ca.pem",
                "crl": "/etc/fieldgate/monitoring.crl",
                "require_client_certificate": True,
                "user_from": "cn",
            }
        ],
    )
    auth: MetricsAuthConfig | None = Field(
        None,
        description="Who may read. Without it (loopback only) everybody on this machine may.",
        examples=[
            {
                "users": "/etc/fieldgate/users",
                "readers": ["prometheus"],
                "token": "${credential:metrics-token}",
            }
        ],
    )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it, as far as the text tells."""
        return self.listen is None or is_loopback(split_address(self.listen).host)

    @property
    def names_by_certificate(self) -> bool:
        """Whether a client certificate says who somebody is."""
        return self.tls is not None and self.tls.client_ca is not None and self.tls.user_from != "none"

    @property
    def door(self) -> ListenConfig:
        """The same port as a listener has it: who comes in is judged alike, and TLS files are followed alike."""
        given: dict[str, Any] = {"http": self.listen}  # a key without a value would mean something
        if self.tls is not None:
            given["tls"] = self.tls
        if (auth := self.auth) is not None:
            tokens = {} if auth.token is None else {TOKEN_READER: auth.token}
            given["auth"] = ListenAuthConfig(users=auth.users, tokens=tokens)
        for limit in ("max_clients", "max_clients_per_address", "max_connecting"):
            given[limit] = _MAX_CLIENTS
        return ListenConfig(**given)
