"""What ``fieldgate.yaml`` may say: every key with its type, unit, default, limits and meaning; a file per section.

A field is declared here once; the sample file, the JSON Schema and the error messages come from it.
Durations are seconds (``float``), sizes bytes (``int``), rates events per second (``float``). What concerns
more than one key is checked in `checks`; relative paths and references are resolved while loading.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from fieldgate.config.devices import DevicesConfig
from fieldgate.config.journal import JournalConfig
from fieldgate.config.listen import ListenConfig
from fieldgate.config.local import LocalConfig
from fieldgate.config.metrics import MetricsConfig
from fieldgate.config.places import default_gateway_id
from fieldgate.config.rules import RulesConfig
from fieldgate.config.section import Name
from fieldgate.config.source import SourceConfig
from fieldgate.config.tracing import TracingConfig
from fieldgate.config.uplink import MqttUplinkConfig, OwnListeners, UplinkConfig
from fieldgate.config.vitals import VitalsConfig
from fieldgate_devices.catalogue import Assigned
from fieldgate_devices.files.section import Section

__all__ = ["Config", "GatewayConfig"]


class GatewayConfig(Section):
    """This gateway."""

    id: Name = Field(
        default_factory=default_gateway_id,
        description="Name of this gateway: part of every event's id and of the topics upstream. "
        "Never change it while events are stored. Default: the host's name.",
        examples=["plant-7"],
    )


class Config(Section):
    """Everything that ``fieldgate.yaml`` says."""

    gateway: GatewayConfig = Field(default_factory=GatewayConfig, description="This gateway.")
    listen: Annotated[tuple[ListenConfig, ...], Field(strict=False)] = Field(
        default_factory=lambda: (ListenConfig(),), description="Ports on which devices connect."
    )
    sources: Annotated[tuple[SourceConfig, ...], Field(strict=False, max_length=100)] = Field(
        (), description="What is read: brokers, serial ports, Modbus units. Devices that connect here need none."
    )
    uplinks: dict[Name, UplinkConfig] = Field(
        default_factory=dict,
        max_length=7,
        description="Where events go, by a name of your choice; seven at most. Without one they are kept until there "
        "is one.",
    )
    devices: DevicesConfig = Field(default_factory=DevicesConfig, description="What devices may say.")
    rules: RulesConfig = Field(default_factory=RulesConfig, description="What is done about events.")
    local: LocalConfig = Field(
        default_factory=LocalConfig, description="What is kept for the clients of all listeners together."
    )
    journal: JournalConfig = Field(default_factory=JournalConfig, description="The disk buffer.")
    metrics: MetricsConfig = Field(
        default_factory=MetricsConfig, description="What the gateway counts, for Prometheus: GET /metrics."
    )
    tracing: TracingConfig = Field(
        default_factory=TracingConfig, description="What becomes of single messages, as spans for OpenTelemetry."
    )
    vitals: VitalsConfig = Field(
        default_factory=VitalsConfig, description="How the gateway is, told upstream as events of its own."
    )

    @model_validator(mode="before")
    @classmethod
    def _look_beside_the_file(cls, written: object) -> object:
        """A default that is a place beside the file is only found if its section is read like one of the file."""
        return {"devices": {}, "rules": {}, **written} if isinstance(written, dict) else written

    @property
    def assigned(self) -> dict[str, Assigned]:
        """What sources say of the profiles of their messages, by topic."""
        return {topic: one for source in self.sources for topic, one in source.assigned.items()}

    @property
    def brokers_up(self) -> dict[str, MqttUplinkConfig]:
        """The brokers elsewhere that uplinks connect to, by the uplink's name."""
        return {
            name: one.mqtt
            for name, one in self.uplinks.items()
            if one.mqtt is not None and not isinstance(one.mqtt, OwnListeners)
        }
