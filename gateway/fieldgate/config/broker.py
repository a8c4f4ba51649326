"""How to reach an MQTT broker and who to be there: what uplinks and sources have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fieldgate.config.quantities import Duration
from fieldgate.config.secrets import Resolved, Secret
from fieldgate.config.section import FilePath, Section
from fieldgate.config.texts import check_broker_url, split_url

__all__ = ["BrokerConfig"]


def _five_is_a_text(written: object) -> object:
    """``version: 5`` needs no quotes."""
    return "5" if written == 5 else written


def _number_too(schema: dict[str, Any]) -> None:
    del schema["type"]
    schema["enum"].append(5)


class BrokerConfig(Section):
    """An MQTT broker elsewhere."""

    url: Annotated[Resolved, AfterValidator(check_broker_url)] = Field(
        description="mqtt://HOST[:PORT] (port 1883) or mqtts://HOST[:PORT] (TLS, port 8883).",
        examples=["mqtts://broker.example:8883"],
    )
    username: Resolved | None = Field(
        None, description="User name, or where it is: ${credential:…}, ${file:…}, ${env:…}.", examples=["plant-7"]
    )
    password: Secret | None = Field(
        None,
        description="Where the password is: ${credential:NAME} (systemd LoadCredential=NAME:/path), ${file:/PATH} "
        "(mode 0600) or ${env:NAME}. It is never printed.",
        examples=["${credential:cloud-password}"],
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
    ca: FilePath | None = Field(
        None,
        description="PEM file of the authority that signed the broker's certificate. Default: the system's. "
        "Certificate and host name are always verified.",
        examples=["/etc/fieldgate/ca.pem"],
    )
    keep_alive: Annotated[float, Duration("1s", "18h")] = Field(
        60.0, description="MQTT keep-alive; a silent connection is given up after one and a half times this."
    )
    connect_timeout: Annotated[float, Duration("100ms", "5m")] = Field(
        10.0, description="Time for connecting, TLS and CONNACK together."
    )

    @property
    def host(self) -> str:
        """The broker's host, without brackets."""
        return split_url(self.url.reveal()).host

    @property
    def port(self) -> int:
        """The broker's port."""
        return split_url(self.url.reveal()).port

    @property
    def is_tls(self) -> bool:
        """Whether the URL is ``mqtts://``."""
        return split_url(self.url.reveal()).is_tls
