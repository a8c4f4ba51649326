"""``uplinks``: where events go, which ones, and in what form."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    model_serializer,
    model_validator,
)

from fieldgate.config.broker import BrokerConfig
from fieldgate.config.command_topic import check_command_topic, true_is_the_default, true_too
from fieldgate.config.secrets import Resolved
from fieldgate.config.section import Glob, LaneName
from fieldgate.config.texts import check_topic_template
from fieldgate.config.webhook import WEBHOOK_MAX_AGE, WebhookConfig
from fieldgate_devices.files.quantities import Duration, Rate, Size
from fieldgate_devices.files.section import Section

__all__ = [
    "UPLINK_KINDS", "BatchConfig", "FilterConfig", "HomeAssistantConfig", "MqttUplinkConfig", "OwnListeners",
    "UplinkConfig",
]  # fmt: skip

UPLINK_KINDS: Final = ("mqtt", "webhook")
"""The keys of which an uplink has exactly one."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


class FilterConfig(Section):
    """Which events an uplink gets."""

    devices: Annotated[tuple[Glob, ...], Field(strict=False, min_length=1)] = Field(
        ("*",),
        description="Globs (*, ?, [abc]) of device names; an event must match one.",
        examples=[["site.a.*", "boiler-?"]],
    )
    topics: Annotated[tuple[Glob, ...], Field(strict=False, min_length=1)] = Field(
        ("*",),
        description="Globs of topics as the source named them; an event must match one. '*' goes over slashes.",
        examples=[["site/*/telemetry"]],
    )
    lanes: Annotated[tuple[LaneName, ...], Field(strict=False, min_length=1)] = Field(
        ("high", "normal", "low"), description="Lanes; an event must be in one of them."
    )


class BatchConfig(Section):
    """How events share a message; format: cloudevents-batch only."""

    max_events: int = Field(100, ge=1, le=10_000, description="Events in one message, at most.")
    max_delay: Annotated[float, Duration("0s", "1m")] = Field(
        0.005,
        description="How long an event may wait for others to share its message. Longer makes fewer messages, which "
        "is what some brokers bill.",
    )
    compression: Literal["none", "zstd"] = Field(
        "none", description="Compress each message; the far side must expect it."
    )


def _check_status_topic(text: str) -> str:
    """A topic that is the same for all events, or the word 'off'."""
    check_topic_template(text)
    for name in ("device", "type", "topic", "lane"):
        if f"{{{name}}}" in text:
            raise ValueError(f"{text!r} is not about one event; allowed: text with {{gateway}}, or 'off'")
    return text


class MqttUplinkConfig(BrokerConfig):
    """The MQTT broker of an uplink."""

    topic: Annotated[str, AfterValidator(check_topic_template)] = Field(
        "fieldgate/{gateway}/{device}/{type}",
        description="Topic of each message: text with {gateway}, {device}, {type}, {topic} (as the source named it) "
        "and {lane}. In a message of many events all but {gateway} read 'batch'.",
    )
    status_topic: Annotated[str, AfterValidator(_check_status_topic)] = Field(
        "fieldgate/{gateway}/status",
        description="Topic of the retained message that says 'online' or 'offline' (the last will as well), with "
        "{gateway} if wanted; 'off' for servers that allow neither (AWS IoT unless its policy does, Azure IoT Hub).",
        examples=["off"],
    )
    commands: Annotated[str, BeforeValidator(true_is_the_default), AfterValidator(check_command_topic)] = Field(
        "off",
        description="Whether commands for devices are taken from this broker: true for the topic "
        "fieldgate/{gateway}/{device}/command/{name}, or a topic of your own with {device} and {name} as one level "
        "each, and {gateway}. Who may publish there commands the devices: that is for the broker's access control. "
        "A broker that forbids the subscription costs no event.",
        examples=[True],
        json_schema_extra=true_too,
    )
    window: int = Field(
        1000, ge=1, le=65535, description="Messages on the way at the same time; the broker's own limit holds too."
    )
    puback_timeout: Annotated[float, Duration("100ms", "1h")] = Field(
        30.0, description="A connection on which no message is acknowledged for this long is given up and made anew."
    )


class OwnListeners(MqttUplinkConfig):
    """``mqtt: self``: no broker, but the local subscribers of this gateway's listeners."""

    url: Resolved = Resolved("self")

    @model_serializer
    def _as_written(self) -> str:
        return "self"


def _take_self(written: object) -> object:
    return OwnListeners() if written == "self" else written


def _self_too(schema: dict[str, Any]) -> None:
    schema["anyOf"].insert(0, {"const": "self"})


def _one_kind(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": [kind]} for kind in UPLINK_KINDS]


def _check_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(
            f"{text!r} is no beginning of a topic; allowed: letters, digits, '_', '-' and '/' between them"
        )
    return text


class HomeAssistantConfig(Section):
    """Messages by which Home Assistant finds the devices."""

    prefix: Annotated[str, Field(max_length=256), AfterValidator(_check_prefix)] = Field(
        "homeassistant",
        description="What their topics begin with: the discovery prefix that Home Assistant listens to.",
    )


class UplinkConfig(Section):
    """One way out, with its own place in the journal: exactly one of `UPLINK_KINDS`."""

    model_config = ConfigDict(json_schema_extra=_one_kind)

    mqtt: Annotated[SerializeAsAny[MqttUplinkConfig] | None, BeforeValidator(_take_self)] = Field(
        None,
        description="The MQTT broker that gets the events; or 'self': the local subscribers of this gateway's "
        "listeners get them.",
        examples=["{url: 'mqtts://broker.example:8883'}"],
        json_schema_extra=_self_too,
    )
    webhook: WebhookConfig | None = Field(
        None,
        description="The HTTP server that is told of alerts: it gets the events only that a rule tells it of "
        "(notify), one request each.",
        examples=[{"url": "https://alerts.example/hooks/plant-7"}],
    )
    topic: Annotated[str, AfterValidator(check_topic_template)] = Field(
        "fieldgate/{gateway}/{device}/{type}",
        description="With mqtt: self only: topic of each message; as mqtt.topic of another broker.",
        examples=["local/{device}/{type}"],
    )
    retain: bool = Field(
        False, description="With mqtt: self only: whether subscribers that come later get the last message of a topic."
    )
    format: Literal["cloudevents", "cloudevents-batch", "cloudevents-binary", "raw"] = Field(
        "cloudevents",
        description="Envelope: CloudEvents 1.0 JSON, one event per message or many; CloudEvents in binary mode (the "
        "data as payload, attributes as MQTT 5 user properties; MQTT 5 only); or the device's own bytes (the event's "
        "id then goes along as an MQTT 5 user property; over 3.1.1 there is none).",
    )
    home_assistant: HomeAssistantConfig | None = Field(
        None,
        description="Tell Home Assistant, by MQTT discovery, which devices and fields there are (retained messages, no "
        "events); format: cloudevents or cloudevents-binary.",
        examples=[{"prefix": "homeassistant"}],
    )
    batch: BatchConfig = Field(
        default_factory=BatchConfig, description="How events share a message; format: cloudevents-batch only."
    )
    required: bool = Field(
        True,
        description="Whether an event is kept until this uplink has it. The backlog of one that is not required is "
        "dropped first. Default for a webhook: false.",
    )
    max_size: Annotated[int, Size("64KiB", "1000TB")] | None = Field(
        None,
        description="Most bytes of the journal that this uplink's backlog may hold. Default: the journal's own limit.",
        examples=["500MB"],
    )
    max_age: Annotated[float, Duration("1s", "3650d")] | None = Field(
        None,
        description="Events older than this are no longer sent to this uplink. Default: no limit; for a webhook 24h.",
        examples=["7d"],
    )
    honour_expiry: bool = Field(
        False,
        description="Whether an event is no longer sent when the Message Expiry Interval of its publisher (MQTT 5) has "
        "ended; what is left of it goes along. By default it concerns local subscribers only.",
    )
    rate: Annotated[float, Rate("1/h", "1000000/s")] | None = Field(
        None,
        description="Most events per second, so that a long backlog does not overrun a broker.",
        examples=["500/s"],
    )
    drain: Literal["strict", "live_first"] = Field(
        "strict",
        description="After an outage: all in order ('strict'), or new events ahead of stored ones ('live_first').",
    )
    only: FilterConfig = Field(default_factory=FilterConfig, description="Which events this uplink gets; default all.")
    start: Literal["oldest", "now"] = Field(
        "oldest", description="Where a new uplink begins: at the oldest event that is stored, or with the next one."
    )

    @model_validator(mode="before")
    @classmethod
    def _webhooks_are_no_archive(cls, written: object) -> object:
        """What a webhook is for has defaults of its own: it holds up nothing, and what is old is of no use to it."""
        if isinstance(written, dict) and written.get("webhook") is not None:
            return {"required": False, "max_age": WEBHOOK_MAX_AGE, **written}
        return written

    @property
    def kind(self) -> Literal["mqtt", "self", "webhook"]:
        """What rules must know of it: what can be sent there."""
        if self.webhook is not None:
            return "webhook"
        return "self" if isinstance(self.mqtt, OwnListeners) else "mqtt"

    @property
    def broker(self) -> MqttUplinkConfig:
        """The broker of an uplink that has one."""
        assert self.mqtt is not None
        return self.mqtt
