"""``tracing``: to which collector the gateway sends spans, and of how many messages."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from fieldgate.config.broker import check_header_name, check_header_value
from fieldgate.config.key_files import PemFile
from fieldgate.config.secrets import Resolved, Secret, once_resolved
from fieldgate.config.urls import check_webhook_url
from fieldgate_devices.files.quantities import Rate, parse_rate
from fieldgate_devices.files.section import Section

__all__ = ["TracingConfig"]


class TracingConfig(Section):
    """What becomes of messages inside the gateway, as spans of OpenTelemetry."""

    otlp: Annotated[Resolved, AfterValidator(once_resolved(check_webhook_url))] | None = Field(
        None,
        description="Collector that takes OTLP over HTTP: http[s]://HOST[:PORT], to which /v1/traces is added. Needs "
        "the extra: pip install 'fieldgate[otel]'. Without it no spans are made; what devices say of traces is passed "
        "on all the same.",
        examples=["https://otel.example:4318"],
    )
    sample: float = Field(
        0.01,
        ge=0.0,
        le=1.0,
        description="Of how many messages a trace is begun here, from 0 (none) to 1 (all). Messages whose device says "
        "in its traceparent whether it is recorded are not asked about.",
    )
    rate: Annotated[float, Rate("1/s", "1000/s")] = Field(
        parse_rate("20/s"),
        description="How many messages are recorded at most, whoever asks for it: each costs about 1 ms of CPU. What "
        "comes above it is passed on, counted and not recorded.",
    )
    headers: dict[
        Annotated[str, AfterValidator(check_header_name)],
        Annotated[Secret, AfterValidator(once_resolved(check_header_value))],
    ] = Field(
        default_factory=dict,
        max_length=32,
        description="Headers that go to the collector, with where their secrets are. They are never printed.",
        examples=[{"Authorization": "Bearer ${credential:otlp-token}"}],
    )
    ca: PemFile | None = Field(
        None,
        description="PEM file of the authorities that the collector's certificate is checked with, in place of the "
        "system's.",
        examples=["/etc/fieldgate/ca.pem"],
    )
