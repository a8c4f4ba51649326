"""``listen``: the ports on which devices connect."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from fieldgate.config.quantities import Duration, Size, parse_size
from fieldgate.config.section import LaneName, Section
from fieldgate.config.texts import check_event_filter, check_listen_address, split_address

__all__ = ["ListenConfig"]


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

    max_keep_alive: Annotated[float, Duration("1s", "18h")] = Field(
        3600.0,
        description="Longest keep-alive. An MQTT 5 client that asks for more, or for none, is told this one; a 3.1.1 "
        "client that asks for none is ended after one and a half times this without a word from it.",
    )
    max_in_flight: int = Field(
        100,
        ge=1,
        le=65535,
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

    @property
    def host(self) -> str:
        """The address to bind, without brackets."""
        return split_address(self.mqtt).host

    @property
    def port(self) -> int:
        """The port to bind; 0 is any free one."""
        return split_address(self.mqtt).port
