"""What only several keys together, or the machine, can say: contradictions, dangers and costs.

Each check yields findings; one whose keys were wrong by themselves is left out by `loader`. Errors are what
cannot work; warnings are what works and may surprise.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldgate.config.broker import BrokerConfig
from fieldgate.config.broker_checks import broker_errors, broker_warnings
from fieldgate.config.command_checks import command_errors, command_warnings
from fieldgate.config.devices_checks import devices_errors, devices_warnings
from fieldgate.config.finding import Finding
from fieldgate.config.listen_checks import listen_errors, listen_warnings
from fieldgate.config.loops import broker_place
from fieldgate.config.metrics_checks import metrics_errors, metrics_warnings
from fieldgate.config.model import Config
from fieldgate.config.places import kind_of
from fieldgate.config.rules_checks import rules_errors, rules_warnings
from fieldgate.config.source_checks import source_errors, source_warnings
from fieldgate.config.texts import is_loopback
from fieldgate.config.tracing_checks import tracing_errors, tracing_warnings
from fieldgate.config.uplink import OwnListeners, UplinkConfig
from fieldgate.config.webhook_checks import kind_errors, webhook_errors, webhook_warnings
from fieldgate_devices.files.document import Document, Loc
from fieldgate_devices.files.model_tree import dotted
from fieldgate_devices.files.quantities import format_size

__all__ = ["Finding", "find_errors", "find_warnings"]

# Measured: bytes written to flash per event of 120 bytes, at 200 events per commit and with 50 devices at 1 Hz.
_BUSY_BYTES: Final = 120
_QUIET_BYTES: Final = 600
_QUIET_DAY_GB: Final = 50 * 86_400 * _QUIET_BYTES / 10**9


def find_errors(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything that cannot work. ``document`` tells what was written from what is a default."""
    yield from listen_errors(config, document)
    yield from _clients_used_twice(config)
    for name, uplink in config.uplinks.items():
        yield from _uplink_errors(config, ("uplinks", name), uplink, document)
    yield from command_errors(config)
    yield from source_errors(config)
    yield from devices_errors(config)
    yield from rules_errors(config)
    yield from metrics_errors(config, document)
    yield from tracing_errors(config, document)
    yield from _journal_errors(config)


def find_warnings(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything that works and may surprise."""
    if not config.listen and not config.sources:
        yield Finding(("listen",), "there is neither a listener nor a source: nothing can come in")
    if not config.uplinks:
        yield Finding(
            ("uplinks",),
            "no uplink is configured: events are kept until there is one; "
            "write uplinks: {cloud: {mqtt: {url: 'mqtts://HOST'}}}",
        )
    yield from listen_warnings(config, document)
    yield from _status_topics_shared(config)
    for name, uplink in config.uplinks.items():
        yield from _uplink_warnings(config, ("uplinks", name), uplink)
    yield from command_warnings(config)
    yield from source_warnings(config)
    yield from devices_warnings(config, document)
    yield from rules_warnings(config, document)
    yield from metrics_warnings(config)
    yield from tracing_warnings(config)
    yield from _journal_warnings(config, document)


def _clients(config: Config) -> Iterator[tuple[str, Loc, BrokerConfig]]:
    """Every client that connects somewhere: its name, where its ``mqtt`` stands, and that."""
    for name, broker in config.brokers_up.items():
        yield name, ("uplinks", name, "mqtt"), broker
    for number, source in enumerate(config.sources):
        if source.mqtt is not None:
            yield source.name, ("sources", number, "mqtt"), source.mqtt


def _clients_used_twice(config: Config) -> Iterator[Finding]:
    seen: dict[tuple[str, int, str], Loc] = {}
    for name, loc, mqtt in _clients(config):
        client = (*broker_place(mqtt), mqtt.client_id or f"fieldgate-{config.gateway.id}-{name}")
        if client in seen:
            other = seen[client]
            yield Finding(
                (*loc, "client_id"),
                f"client_id: {client[2]!r} is used by {dotted(other[:-1])} at the same broker already; "
                "two clients of one id throw each other out",
                tuple((*place, key) for place in (loc, other) for key in ("url", "client_id")),
            )
        seen.setdefault(client, loc)


def _status_topics_shared(config: Config) -> Iterator[Finding]:
    seen: dict[tuple[str, int, str], str] = {}
    for name, mqtt in config.brokers_up.items():
        if mqtt.status_topic == "off":
            continue
        place = (*broker_place(mqtt), mqtt.status_topic)
        if place in seen:
            loc: Loc = ("uplinks", name, "mqtt", "status_topic")
            message = (
                f"status_topic: {mqtt.status_topic!r} is where uplinks.{seen[place]} says whether it is there, at the "
                "same broker; the one that goes would speak for both: write another topic, or 'off'"
            )
            yield Finding(loc, message, (loc, ("uplinks", seen[place], "mqtt", "status_topic")))
        seen.setdefault(place, name)


def _uplink_errors(config: Config, loc: Loc, uplink: UplinkConfig, document: Document | None) -> Iterator[Finding]:
    yield from kind_errors(str(loc[1]), uplink)
    if uplink.webhook is not None:
        yield from webhook_errors(config, (*loc, "webhook"), uplink.webhook)
    mqtt = uplink.mqtt
    if mqtt is None:
        return
    yield from _home_assistant_errors(loc, uplink)
    if isinstance(mqtt, OwnListeners):
        yield from _own_listeners_errors(config, loc, uplink)
        return
    if uplink.topic != UplinkConfig.model_fields["topic"].default:
        message = "topic: has a meaning here with mqtt: self only; write it into mqtt: {…}"
        yield Finding((*loc, "topic"), message, ((*loc, "topic"), (*loc, "mqtt")))
    if uplink.retain:
        message = "retain: has a meaning with mqtt: self only; a broker elsewhere gets no retained events"
        yield Finding((*loc, "retain"), message, ((*loc, "retain"), (*loc, "mqtt")))
    own = {listen.port: ("listen", number, listen.protocol) for number, listen in enumerate(config.listen)}
    if is_loopback(mqtt.host) and mqtt.port in own:
        message = f"url: {str(mqtt.url)!r} is this gateway's own listener; an uplink needs another broker"
        url = (*loc, "mqtt", "url")
        yield Finding(url, message, (url, own[mqtt.port]))
    batch = (*loc, "batch")
    if uplink.format != "cloudevents-batch" and document is not None and document.node(batch) is not None:
        message = f"batch: has no meaning with format {uplink.format!r}; it belongs to format: cloudevents-batch"
        yield Finding(batch, message, ((*loc, "format"),))
    if uplink.format == "cloudevents-binary" and mqtt.version == "3.1.1":
        message = (
            "format: 'cloudevents-binary' needs MQTT 5: the attributes are its user properties; "
            "write version: '5' or format: cloudevents"
        )
        yield Finding((*loc, "format"), message, ((*loc, "format"), (*loc, "mqtt", "version")))
    yield from broker_errors((*loc, "mqtt"), mqtt)


def _home_assistant_errors(loc: Loc, uplink: UplinkConfig) -> Iterator[Finding]:
    if uplink.home_assistant is None:
        return
    here = (*loc, "home_assistant")
    if uplink.format not in ("cloudevents", "cloudevents-binary"):
        message = (
            f"home_assistant: has no use with format {uplink.format!r}, whose messages do not hold the fields of one "
            "event each; write format: cloudevents or cloudevents-binary"
        )
        yield Finding(here, message, ((*loc, "format"),))
    is_own = isinstance(uplink.mqtt, OwnListeners)
    topic, where = (uplink.topic, (*loc, "topic")) if is_own else (uplink.broker.topic, (*loc, "mqtt", "topic"))
    if "{lane}" in topic or not ("{topic}" in topic or ("{device}" in topic and "{type}" in topic)):
        message = (
            f"home_assistant: needs a topic for each device's own events; {topic!r} must hold {{device}} and {{type}}, "
            "or {topic}, and no {lane}"
        )
        yield Finding(here, message, (where,))


def _own_listeners_errors(config: Config, loc: Loc, uplink: UplinkConfig) -> Iterator[Finding]:
    if not any(listen.protocol == "mqtt" for listen in config.listen):
        message = "mqtt: 'self' needs an MQTT listener whose subscribers get the events, and there is none"
        yield Finding((*loc, "mqtt"), message, ((*loc, "mqtt"), ("listen",)))
    if uplink.format == "cloudevents-batch":
        message = "format: 'cloudevents-batch' has no meaning with mqtt: self, whose messages cost no round trip"
        yield Finding((*loc, "format"), message, ((*loc, "format"), (*loc, "mqtt")))
    others = [name for name, other in config.uplinks.items() if isinstance(other.mqtt, OwnListeners)]
    if others[0] != loc[1]:
        message = f"mqtt: 'self' is what uplinks.{others[0]} has already; one is enough"
        yield Finding((*loc, "mqtt"), message, ((*loc, "mqtt"), ("uplinks", others[0], "mqtt")))


def _journal_errors(config: Config) -> Iterator[Finding]:
    journal = config.journal
    if journal.keep is not None:
        loc: Loc = ("journal", "keep")
        if journal.keep.age is None and journal.keep.size is None:
            message = "keep: has neither age nor size; write {age: 7d}, {size: 500MB} or both"
            yield Finding(loc, message)
        elif journal.keep.size is not None and journal.keep.size >= journal.max_size:
            message = (
                f"size: {format_size(journal.keep.size)!r} leaves no room in the journal; "
                f"allowed: less than max_size, {format_size(journal.max_size)}"
            )
            yield Finding((*loc, "size"), message, ((*loc, "size"), ("journal", "max_size")))
    if kind_of(journal.path) == "file":
        yield Finding(("journal", "path"), f"path: {str(journal.path)!r} is not a folder")


def _uplink_warnings(config: Config, loc: Loc, uplink: UplinkConfig) -> Iterator[Finding]:
    if uplink.webhook is not None:
        yield from webhook_warnings(config, (*loc, "webhook"), uplink.webhook)
    mqtt = uplink.mqtt
    if mqtt is None:
        return
    if isinstance(mqtt, OwnListeners):
        yield from _own_listeners_warnings(config, loc, uplink)
        return
    if uplink.format == "raw" and mqtt.version != "5":
        over = "over MQTT 3.1.1" if mqtt.version == "3.1.1" else "if the broker speaks MQTT 3.1.1 only"
        message = f"format: 'raw' {over} carries no event id, so copies cannot be told apart; write version: '5'"
        yield Finding((*loc, "format"), message)
    yield from broker_warnings((*loc, "mqtt"), mqtt)
    if uplink.max_size is not None and uplink.max_size > config.journal.max_size:
        limit = format_size(config.journal.max_size)
        message = f"max_size: {format_size(uplink.max_size)!r} is more than the journal may hold ({limit})"
        yield Finding((*loc, "max_size"), message)


def _own_listeners_warnings(config: Config, loc: Loc, uplink: UplinkConfig) -> Iterator[Finding]:
    if all(one.webhook is not None or isinstance(one.mqtt, OwnListeners) for one in config.uplinks.values()):
        message = (
            "mqtt: 'self' is the only uplink: an event is delivered, and its device told so, once the subscribers that "
            "are there now were handed it; nothing is kept for others"
        )
        yield Finding((*loc, "mqtt"), message, ((*loc, "mqtt"), ("uplinks",)))
    if uplink.format == "raw" and uplink.topic.startswith("{topic}"):
        message = f"topic: {uplink.topic!r} is where the devices publish: subscribers there get each message twice"
        yield Finding((*loc, "topic"), message)


def _journal_warnings(config: Config, document: Document | None) -> Iterator[Finding]:
    journal = config.journal
    if journal.keep is not None:
        message = (
            f"keep: every event is written to flash: about {_BUSY_BYTES} bytes each when 200 share a write, "
            f"{_QUIET_BYTES} in quiet traffic; 50 devices at 1 event/s write about {_QUIET_DAY_GB:.1f} GB a day"
        )
        yield Finding(("journal", "keep"), message)
    hold: Loc = ("journal", "hold")
    if journal.durability == "journal" and document is not None and document.node(hold) is not None:
        message = "hold: has no effect with durability: journal, which writes every event"
        yield Finding(hold, message)
    folder = _existing(journal.path)
    free_bytes = shutil.disk_usage(folder).free + _used_bytes(journal.path)
    if free_bytes < journal.max_size:
        message = (
            f"max_size: {format_size(journal.max_size)!r} is more than what is free at {str(folder)!r}, "
            f"{free_bytes / 10**9:.1f} GB"
        )
        yield Finding(("journal", "max_size"), message)


def _existing(folder: Path) -> Path:
    """``folder``, or what exists of the way to it."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if kind_of(place) == "folder")


def _used_bytes(folder: Path) -> int:
    """What the journal holds of its limit already."""
    try:
        return sum(entry.stat().st_size for entry in folder.iterdir() if entry.is_file())
    except OSError:
        return 0
