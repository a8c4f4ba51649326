"""Which topics an uplink publishes to, and whether a source of the same broker would read them back."""

from __future__ import annotations

import re
from typing import Final

from fieldgate.config.broker import BrokerConfig
from fieldgate.config.command_topic import OFF, answer_filter, command_filter
from fieldgate.config.model import Config
from fieldgate.config.texts import is_loopback
from fieldgate.mqtt.topics import split_share

__all__ = ["broker_place", "covers", "is_same_broker", "overlaps", "own_filters", "published_filter"]

_FIELD: Final = re.compile(r"\{[a-z]+\}")


def is_same_broker(one: BrokerConfig, other: BrokerConfig) -> bool:
    """Whether both lead to the same place, as far as their URLs tell; the names of this machine count as one."""
    return broker_place(one) == broker_place(other)


def broker_place(broker: BrokerConfig) -> tuple[str, int]:
    """Return what tells one broker from another; see `is_same_broker`."""
    return "" if is_loopback(broker.host) else broker.host.lower(), broker.port


def published_filter(template: str, gateway: str) -> str:
    """Return a topic filter that matches whatever ``template`` makes; it may match more than that."""
    levels = template.replace("{gateway}", gateway).split("/")
    filter_: list[str] = []
    for level in levels:
        if "{topic}" in level:  # any number of levels
            filter_.append("#")
            break
        filter_.append("+" if _FIELD.search(level) else level)
    return "/".join(filter_)


def own_filters(config: Config, broker: BrokerConfig) -> list[str]:
    """Return filters of everything that this gateway publishes to ``broker``, and of the commands it takes there."""
    gateway = config.gateway.id
    templates = [one.topic for one in config.brokers_up.values() if is_same_broker(one, broker)]
    told = [
        f"{one.home_assistant.prefix}/+/+/+/config"
        for name, one in config.uplinks.items()
        if one.home_assistant is not None and name in config.brokers_up and is_same_broker(one.broker, broker)
    ]
    orders = [
        make(one.commands, gateway)
        for one in config.brokers_up.values()
        if one.commands != OFF and is_same_broker(one, broker)
        for make in (command_filter, answer_filter)
    ]
    return [
        *(published_filter(template, gateway) for template in ("fieldgate/{gateway}/{topic}", *templates)),
        *told,
        *orders,
    ]


def overlaps(one: str, other: str) -> bool:
    """Whether any topic matches both filters; a ``$share`` prefix does not count."""
    return _compare(_levels(one), _levels(other), is_cover=False)


def covers(one: str, other: str) -> bool:
    """Whether every topic that matches ``other`` matches ``one``."""
    return _compare(_levels(one), _levels(other), is_cover=True)


def _levels(topic_filter: str) -> list[str]:
    return split_share(topic_filter)[1].split("/")


def _compare(one: list[str], other: list[str], *, is_cover: bool) -> bool:
    if (one[0] in ("+", "#") and other[0].startswith("$")) or (other[0] in ("+", "#") and one[0].startswith("$")):
        return False  # a leading wildcard matches no topic that begins with $ [MQTT-4.7.2-1]
    for place, mine in enumerate(one):
        if mine == "#":
            return True
        if place >= len(other):
            return False
        theirs = other[place]
        if theirs == "#":
            return not is_cover
        if mine not in ("+", theirs) and (is_cover or theirs != "+"):
            return False
    return len(one) == len(other) or (not is_cover and other[len(one) :] == ["#"])
