"""What is wrong with the topics on which uplinks hear commands, in view of everything else at the same broker."""

from __future__ import annotations

from collections.abc import Iterator

from fieldgate.config.broker import BrokerConfig
from fieldgate.config.command_topic import OFF, command_filter
from fieldgate.config.finding import Finding
from fieldgate.config.loops import covers, is_same_broker, overlaps, published_filter
from fieldgate.config.model import Config
from fieldgate_devices.files.document import Loc

__all__ = ["command_errors", "command_warnings"]


def command_errors(config: Config) -> Iterator[Finding]:
    """Everything that cannot work."""
    listening: list[str] = []
    for name, mqtt in config.brokers_up.items():
        if mqtt.commands == OFF:
            continue
        here: Loc = ("uplinks", name, "mqtt")
        heard = command_filter(mqtt.commands, config.gateway.id)
        for what, key, topic in _published(config, mqtt):
            if overlaps(heard, published_filter(topic, config.gateway.id)):
                message = (
                    f"commands: {mqtt.commands!r} may be a topic to which {what} publishes ({topic!r}): what this "
                    "gateway says would come back as a command; write another topic"
                )
                yield Finding((*here, "commands"), message, ((*here, "commands"), key))
        for other in listening:
            broker = config.brokers_up[other]
            if is_same_broker(mqtt, broker) and overlaps(heard, command_filter(broker.commands, config.gateway.id)):
                message = (
                    f"commands: {mqtt.commands!r} is where uplinks.{other} hears commands at the same broker already: "
                    "each would be carried out twice; write another topic, or 'off'"
                )
                places = ((*here, "commands"), ("uplinks", other, "mqtt", "commands"))
                yield Finding((*here, "commands"), message, places)
        listening.append(name)
        yield from _sources(config, name, mqtt, heard, are_hopeless=True)


def command_warnings(config: Config) -> Iterator[Finding]:
    """Everything that works and may surprise."""
    for name, mqtt in config.brokers_up.items():
        if mqtt.commands == OFF:
            continue
        if "{gateway}" not in mqtt.commands:
            message = (
                f"commands: {mqtt.commands!r} does not name the gateway: each gateway that listens there takes every "
                "command, and refuses those for devices that it does not know; write {gateway} into it"
            )
            yield Finding(("uplinks", name, "mqtt", "commands"), message)
        heard = command_filter(mqtt.commands, config.gateway.id)
        yield from _sources(config, name, mqtt, heard, are_hopeless=False)


def _published(config: Config, broker: BrokerConfig) -> Iterator[tuple[str, Loc, str]]:
    """What uplinks publish to this broker: who that is, where it is written, and the topic."""
    for name, other in config.brokers_up.items():
        if not is_same_broker(other, broker):
            continue
        who = f"uplinks.{name}"
        yield who, ("uplinks", name, "mqtt", "topic"), other.topic
        if other.status_topic != "off":
            yield who, ("uplinks", name, "mqtt", "status_topic"), other.status_topic
        discovery = config.uplinks[name].home_assistant
        if discovery is not None:
            topic = f"{discovery.prefix}/{{type}}/{{type}}/{{type}}/config"
            yield who, ("uplinks", name, "home_assistant"), topic


def _sources(config: Config, name: str, broker: BrokerConfig, heard: str, *, are_hopeless: bool) -> Iterator[Finding]:
    """Sources that read the commands for this gateway; hopeless where they would read nothing else."""
    for number, source in enumerate(config.sources):
        if source.mqtt is None or not is_same_broker(source.mqtt, broker):
            continue
        for place, one in enumerate(source.mqtt.subscribe):
            loc: Loc = ("sources", number, "mqtt", "subscribe", place)
            reads = (loc, ("sources", number, "mqtt", "url"), ("uplinks", name, "mqtt", "commands"))
            if covers(heard, one.filter) and are_hopeless:
                message = (
                    f"subscribe: {one.filter!r} reads only the commands that uplinks.{name} takes from the same broker "
                    f"({heard!r}), which are no events; subscribe to something else"
                )
                yield Finding(loc, message, reads)
            elif overlaps(heard, one.filter) and not covers(heard, one.filter) and not are_hopeless:
                message = (
                    f"subscribe: {one.filter!r} also reads the commands that uplinks.{name} takes from the same broker "
                    f"({heard!r}); they are no events and are dropped; subscribe to less"
                )
                yield Finding(loc, message, reads)
