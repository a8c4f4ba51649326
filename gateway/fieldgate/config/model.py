"""What ``fieldgate.yaml`` may say: every key with its type, unit, default, limits and meaning.

A field is declared here once; the sample file, the JSON Schema and the error messages come from it.
Durations are seconds (``float``), sizes bytes (``int``), rates events per second (``float``). What concerns
more than one key is checked in `checks`; relative paths and references are resolved while loading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from fieldgate.config.places import default_gateway_id, default_state_folder
from fieldgate.config.quantities import Duration, Rate, Size, parse_size
from fieldgate.config.secrets import Resolved, Secret
from fieldgate.config.texts import (
    check_event_filter,
    check_listen_address,
    check_name,
    check_topic_template,
    check_uplink_url,
    split_address,
    split_url,
)

__all__ = [
    "BatchConfig",
    "Config",
    "FilterConfig",
    "GatewayConfig",
    "JournalConfig",
    "KeepConfig",
    "LaneName",
    "ListenConfig",
    "MqttUplinkConfig",
    "Section",
    "UplinkConfig",
]

LaneName = Literal["high", "normal", "low"]


def _from_config_folder(path: Path, info: ValidationInfo) -> Path:
    """A relative path in a file is meant from that file's folder; ``~`` is the home of who runs the gateway."""
    path = path.expanduser()
    folder = (info.context or {}).get("folder")
    return folder / path if folder is not None else path


def _nothing_for_zero(written: object) -> object:
    """``keep: 0`` is how a person says that nothing is kept."""
    return None if written == 0 and not isinstance(written, bool) else written


def _five_is_a_text(written: object) -> object:
    """``version: 5`` needs no quotes."""
    return "5" if written == 5 else written


def _number_too(schema: dict[str, Any]) -> None:
    del schema["type"]
    schema["enum"].append(5)


def _zero_too(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"const": 0})


Name = Annotated[str, AfterValidator(check_name)]
Glob = Annotated[str, Field(min_length=1, max_length=1024)]
FilePath = Annotated[Path, Field(strict=False), AfterValidator(_from_config_folder)]


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, values are not converted, nothing changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _take_an_empty_section(cls, written: object) -> object:
        """``journal:`` with every key commented out is the same as no ``journal:`` at all."""
        return {} if written is None else written


class GatewayConfig(Section):
    """This gateway."""

    id: Name = Field(
        default_factory=default_gateway_id,
        description="Name of this gateway: part of every event's id and of the topics upstream. "
        "Never change it while events are stored. Default: the host's name.",
        examples=["plant-7"],
    )


class ListenConfig(Section):
    """A port on which devices connect."""

    mqtt: Annotated[str, AfterValidator(check_listen_address)] = Field(
        "127.0.0.1:1883",
        description="HOST:PORT of an MQTT listener (3.1.1 and 5). Only a loopback address is possible: devices are "
        "not asked who they are. Port 0 takes any free one.",
    )
    events: Annotated[tuple[Annotated[str, AfterValidator(check_event_filter)], ...], Field(strict=False)] = Field(
        ("#",),
        description="MQTT topic filters: a publish that matches one of them is an event. Others reach local "
        "subscribers only. '#' leaves out $…, homeassistant/# and fieldgate/#.",
        examples=[["site/+/boiler/#", "alarms/#"]],
    )
    lane: LaneName = Field(
        "normal",
        description="Priority of this listener's events: 'high' is sent and kept first, 'low' is dropped first.",
    )
    max_packet: Annotated[int, Size("128B", "256MB")] = Field(
        parse_size("256KiB"), description="Largest MQTT packet; a client that sends a larger one is disconnected."
    )
    max_clients: int = Field(1000, ge=1, le=100_000, description="Connections at the same time.")
    max_clients_per_address: int = Field(
        1000, ge=1, le=100_000, description="Connections at the same time from one network address."
    )
    connect_timeout: Annotated[float, Duration("100ms", "5m")] = Field(
        5.0, description="A connection that has not sent its CONNECT by then is closed."
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

    @property
    def host(self) -> str:
        """The address to bind, without brackets."""
        return split_address(self.mqtt).host

    @property
    def port(self) -> int:
        """The port to bind; 0 is any free one."""
        return split_address(self.mqtt).port


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


class MqttUplinkConfig(Section):
    """The MQTT broker of an uplink."""

    url: Annotated[Resolved, AfterValidator(check_uplink_url)] = Field(
        description="mqtt://HOST[:PORT] (port 1883) or mqtts://HOST[:PORT] (TLS, port 8883).",
        examples=["mqtts://broker.example:8883"],
    )
    topic: Annotated[str, AfterValidator(check_topic_template)] = Field(
        "fieldgate/{gateway}/{device}/{type}",
        description="Topic of each message: text with {gateway}, {device}, {type}, {topic} (as the source named it) "
        "and {lane}. In a message of many events all but {gateway} read 'batch'.",
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
        description="MQTT client id; no other client of that broker may use it. Default: fieldgate-GATEWAY-UPLINK.",
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
    window: int = Field(
        1000, ge=1, le=65535, description="Messages on the way at the same time; the broker's own limit holds too."
    )
    connect_timeout: Annotated[float, Duration("100ms", "5m")] = Field(
        10.0, description="Time for connecting, TLS and CONNACK together."
    )
    puback_timeout: Annotated[float, Duration("100ms", "1h")] = Field(
        30.0, description="A connection on which no message is acknowledged for this long is given up and made anew."
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


class UplinkConfig(Section):
    """One way out, with its own place in the journal."""

    mqtt: MqttUplinkConfig = Field(
        description="The MQTT broker that gets the events.", examples=["{url: 'mqtts://broker.example:8883'}"]
    )
    format: Literal["cloudevents", "cloudevents-batch", "raw"] = Field(
        "cloudevents",
        description="Envelope: CloudEvents 1.0 JSON, one event per message or many, or the device's own bytes (the "
        "event's id then goes along as an MQTT 5 user property; over 3.1.1 there is none).",
    )
    batch: BatchConfig = Field(
        default_factory=BatchConfig, description="How events share a message; format: cloudevents-batch only."
    )
    required: bool = Field(
        True,
        description="Whether an event is kept until this uplink has it. The backlog of one that is not required is "
        "dropped first.",
    )
    max_size: Annotated[int, Size("64KiB", "1000TB")] | None = Field(
        None,
        description="Most bytes of the journal that this uplink's backlog may hold. Default: the journal's own limit.",
        examples=["500MB"],
    )
    max_age: Annotated[float, Duration("1s", "3650d")] | None = Field(
        None,
        description="Events older than this are no longer sent to this uplink. Default: no limit.",
        examples=["7d"],
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


class KeepConfig(Section):
    """How long delivered events are kept for replay; what comes first, age or size."""

    age: Annotated[float, Duration("1m", "3650d")] | None = Field(
        None, description="Keep events at most this long.", examples=["7d"]
    )
    size: Annotated[int, Size("1MiB", "1000TB")] | None = Field(
        None, description="Keep at most this many bytes of events; part of the journal's max_size.", examples=["500MB"]
    )


class JournalConfig(Section):
    """The disk buffer."""

    path: FilePath = Field(
        default_factory=default_state_folder,
        description="Folder of the journal. Default: $STATE_DIRECTORY, else /var/lib/fieldgate where it can be "
        "written, else ~/.local/state/fieldgate.",
        examples=["/var/lib/fieldgate"],
    )
    durability: Literal["relay", "journal"] = Field(
        "relay",
        description="'relay' writes only what the uplinks have not acknowledged within 'hold'; 'journal' writes "
        "every event. Either way nothing is acknowledged to a device before it is safe.",
    )
    hold: Annotated[float, Duration("0s", "10s")] = Field(
        0.2, description="How long an event may wait for the uplinks before it is written (durability: relay)."
    )
    commit_delay: Annotated[float, Duration("0s", "10s")] = Field(
        0.05,
        description="How long a write waits for more events to share it; longer, up to 500ms, while there are few.",
    )
    max_size: Annotated[int, Size("8MiB", "1000TB")] = Field(
        parse_size("2GB"), description="Most bytes of disk for the journal, everything included."
    )
    when_full: Literal["drop_oldest", "reject_new"] = Field(
        "drop_oldest",
        description="When max_size is reached: drop the oldest events of the lowest lane and say so upstream, or "
        "leave new events unacknowledged at the devices.",
    )
    keep: Annotated[KeepConfig | None, BeforeValidator(_nothing_for_zero)] = Field(
        None,
        description="Also keep delivered events, for replay; 0 keeps none. Every event is then written to flash: "
        "'fieldgate check' says what that costs.",
        examples=[0],
        json_schema_extra=_zero_too,
    )

    @property
    def hold_s(self) -> float:
        """``hold`` in seconds."""
        return self.hold

    @property
    def commit_delay_s(self) -> float:
        """``commit_delay`` in seconds."""
        return self.commit_delay

    @property
    def max_size_bytes(self) -> int:
        """``max_size`` in bytes."""
        return self.max_size


def _no_sources(sources: tuple[object, ...]) -> tuple[object, ...]:
    if sources:
        raise ValueError("this version has no sources; allowed: sources: []")
    return sources


class Config(Section):
    """Everything that ``fieldgate.yaml`` says."""

    gateway: GatewayConfig = Field(default_factory=GatewayConfig, description="This gateway.")
    listen: Annotated[tuple[ListenConfig, ...], Field(strict=False)] = Field(
        default_factory=lambda: (ListenConfig(),), description="Ports on which devices connect."
    )
    sources: Annotated[tuple[object, ...], Field(strict=False), AfterValidator(_no_sources)] = Field(
        (),
        description="Brokers and serial ports to read from: not in this version, leave it empty.",
        json_schema_extra={"maxItems": 0},
    )
    uplinks: dict[Name, UplinkConfig] = Field(
        default_factory=dict,
        max_length=7,
        description="Where events go, by a name of your choice; seven at most. Without one they are kept until there "
        "is one.",
    )
    journal: JournalConfig = Field(default_factory=JournalConfig, description="The disk buffer.")
