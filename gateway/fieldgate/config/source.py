"""``sources``: what is read: brokers with what is subscribed to there and what becomes of the topics, serial ports."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from fieldgate.config.broker import BrokerConfig
from fieldgate.config.modbus import ModbusSourceConfig
from fieldgate.config.remap import check_remap_match, check_remap_target, check_remap_to
from fieldgate.config.section import LaneName, Name
from fieldgate.config.serial import SerialSourceConfig
from fieldgate.config.texts import check_event_filter, check_subscription
from fieldgate_devices.catalogue import Assigned
from fieldgate_devices.files.quantities import Duration, Size, parse_size
from fieldgate_devices.files.section import Section
from fieldgate_devices.matching import SERIAL

__all__ = ["KINDS", "MqttSourceConfig", "RemapConfig", "SourceConfig", "SubscribeConfig"]

KINDS: Final = ("mqtt", "serial", "modbus")
"""The keys of which a source has exactly one."""


def _or_a_text(schema: dict[str, Any]) -> None:
    schema["type"] = ["object", "string"]


def _one_kind(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": [kind]} for kind in KINDS]


class SubscribeConfig(Section):
    """A topic filter to subscribe to; a plain text is one with QoS 1."""

    model_config = ConfigDict(json_schema_extra=_or_a_text)

    filter: Annotated[str, AfterValidator(check_subscription)] = Field(
        description="MQTT topic filter, or $share/GROUP/FILTER to share the messages with other clients of that group.",
        examples=["zigbee2mqtt/#"],
    )
    qos: Literal[0, 1, 2] = Field(
        1,
        description="Most that the broker may use: 0 can lose a message on the way, 1 can repeat one, 2 does neither "
        "while this process lives.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_a_text(cls, written: object) -> object:
        return {"filter": written} if isinstance(written, str) else written


class RemapConfig(Section):
    """A rule that gives events another topic."""

    match: Annotated[str, AfterValidator(check_remap_match)] = Field(
        description="Topics that this rule is for: a topic filter; a level may be {NAME} in place of '+'.",
        examples=["zigbee2mqtt/{device}/state"],
    )
    to: Annotated[str, AfterValidator(check_remap_target)] = Field(
        description="The topic that the event gets: text with {NAME}, with {1}, {2} … for the levels that '+' and "
        "{NAME} stand for, counted from the left, and {#} for what '#' stands for.",
        examples=["site/a/{device}/state"],
    )

    @model_validator(mode="after")
    def _check_together(self) -> RemapConfig:
        check_remap_to(self.match, self.to)
        return self


class MqttSourceConfig(BrokerConfig):
    """The MQTT broker that is read."""

    subscribe: Annotated[tuple[SubscribeConfig, ...], Field(strict=False, min_length=1, max_length=1000)] = Field(
        description="What to subscribe to: topic filters, or {filter: …, qos: …}. '#' and filters that begin with '+' "
        "leave out homeassistant/# and fieldgate/#; name these to have them.",
        examples=[["zigbee2mqtt/#", {"filter": "sensors/#", "qos": 1}]],
    )
    client_id: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None,
        description="MQTT client id, by which the broker keeps what was not read yet; no other client of that broker "
        "may use it. Default: fieldgate-GATEWAY-NAME.",
        examples=["fieldgate-plant-7-shop-floor"],
    )
    session_expiry: Annotated[float, Duration("1m", "3650d")] = Field(
        7 * 86_400.0,
        description="How long the broker is asked to keep what comes while the gateway is away (MQTT 5; a 3.1.1 "
        "broker decides by itself, and any broker may keep less).",
    )
    receive_maximum: int = Field(
        1000,
        ge=1,
        le=65535,
        description="Unacknowledged messages that the broker may have on the way (Receive Maximum). Many brokers have "
        "a lower limit of their own, which is learned from 8 on; if it is lower still, write that number here.",
    )
    max_packet: Annotated[int, Size("128B", "256MB")] = Field(
        parse_size("1MiB"),
        description="Largest MQTT packet. An MQTT 5 broker leaves out larger ones; one that sends them all the same "
        "is disconnected, again and again until this is raised.",
    )
    max_unsettled: Annotated[int, Size("1KiB", "1GiB")] = Field(
        parse_size("256KiB"), description="Bytes of events that may wait to be safe; beyond it nothing more is read."
    )


class SourceConfig(Section):
    """Something that is read: exactly one of `KINDS`."""

    model_config = ConfigDict(json_schema_extra=_one_kind)

    name: Name = Field(
        description="Name of your choice, unique among the sources: for status, log and the default client id.",
        examples=["shop-floor"],
    )
    mqtt: MqttSourceConfig | None = Field(
        None,
        description="The MQTT broker that is read.",
        examples=["{url: 'mqtt://broker.local', subscribe: ['zigbee2mqtt/#']}"],
    )
    serial: SerialSourceConfig | None = Field(
        None,
        description="The serial port that is read.",
        examples=["{port: /dev/serial/by-id/usb-…, baud: 9600, framing: lines, profile: scale}"],
    )
    modbus: ModbusSourceConfig | None = Field(
        None,
        description="The Modbus bus or server whose units are read.",
        examples=["{url: 'tcp://192.168.1.10', units: [{unit: 1, profile: sdm120, device: meter-1}]}"],
    )
    events: (
        Annotated[tuple[Annotated[str, AfterValidator(check_event_filter)], ...], Field(strict=False, min_length=1)]
        | None
    ) = Field(
        None,
        description="Topic filters of what is an event, of the topics as the broker names them. Other messages are "
        "acknowledged and dropped. Default: everything that was subscribed to.",
        examples=[["zigbee2mqtt/+/state"]],
    )
    remap: Annotated[tuple[RemapConfig, ...], Field(strict=False, max_length=1000)] = Field(
        (),
        description="Rules that give events another topic before anything else sees it; the first that matches is "
        "taken, a topic that none matches stays as it is.",
        examples=[[{"match": "zigbee2mqtt/{device}/state", "to": "site/a/{device}/state"}]],
    )
    lane: LaneName = Field(
        "normal",
        description="Priority of this source's events: 'high' is sent and kept first, 'low' is dropped first.",
    )

    @property
    def broker(self) -> MqttSourceConfig:
        """The broker of a source that reads one."""
        assert self.mqtt is not None
        return self.mqtt

    @property
    def port(self) -> SerialSourceConfig:
        """The port of a source that reads one."""
        assert self.serial is not None
        return self.serial

    @property
    def topic(self) -> str:
        """The topic of everything that a serial port says."""
        return f"{SERIAL}{self.name}"

    @property
    def assigned(self) -> dict[str, Assigned]:
        """Which profile its messages are of, by topic, where it says so."""
        if self.modbus is not None:
            return self.modbus.assigned(self.name)
        if self.serial is None or self.serial.profile is None:
            return {}
        return {self.topic: Assigned(self.serial.profile, self.serial.device or self.name, self.name)}
