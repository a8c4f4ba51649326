"""What is wrong with sources, or may surprise, in view of each other and of the uplinks."""

from __future__ import annotations

from collections.abc import Iterator

from fieldgate.config.broker_checks import broker_errors, broker_warnings
from fieldgate.config.finding import Finding
from fieldgate.config.loops import covers, is_same_broker, overlaps, published_filter
from fieldgate.config.modbus_checks import modbus_errors
from fieldgate.config.model import Config
from fieldgate.config.remap import read_match
from fieldgate.config.serial_checks import serial_errors, serial_warnings
from fieldgate.config.source import KINDS, SourceConfig
from fieldgate.config.texts import is_loopback
from fieldgate_devices.files.document import Loc

__all__ = ["source_errors", "source_warnings"]


def source_errors(config: Config) -> Iterator[Finding]:
    """Everything that cannot work."""
    seen: dict[str, int] = {}
    for number, source in enumerate(config.sources):
        loc: Loc = ("sources", number)
        if source.name in seen:
            message = f"name: {source.name!r} is taken by sources[{seen[source.name]}] already; allowed: another name"
            yield Finding((*loc, "name"), message, ((*loc, "name"), ("sources", seen[source.name], "name")))
        seen.setdefault(source.name, number)
        yield from _kinds(loc, source)
        if source.mqtt is None:
            continue
        yield from broker_errors((*loc, "mqtt"), source.mqtt)
        yield from _own_listener(config, (*loc, "mqtt", "url"), source)
        yield from _filters_twice((*loc, "mqtt", "subscribe"), source)
        yield from _loops(config, loc, source, are_hopeless=True)
    yield from serial_errors(config)
    yield from modbus_errors(config)


def source_warnings(config: Config) -> Iterator[Finding]:
    """Everything that works and may surprise."""
    for number, source in enumerate(config.sources):
        loc: Loc = ("sources", number)
        if source.mqtt is None:
            continue
        yield from broker_warnings((*loc, "mqtt"), source.mqtt)
        yield from _loops(config, loc, source, are_hopeless=False)
        yield from _unreachable_rules((*loc, "remap"), source)
        yield from _unreachable_events((*loc, "events"), source)
    yield from serial_warnings(config)


def _kinds(loc: Loc, source: SourceConfig) -> Iterator[Finding]:
    """A source is of one kind, and has no keys of another."""
    written = [kind for kind in KINDS if getattr(source, kind) is not None]
    if len(written) != 1:
        said = f"there are {' and '.join(written)}" if written else "there is none"
        yield Finding(loc, f"{source.name}: {said}; a source has exactly one of {', '.join(KINDS)}")
    elif source.mqtt is None:
        for key in ("events", "remap"):
            if key in source.model_fields_set:
                yield Finding((*loc, key), f"{key}: only for sources with mqtt")


def _own_listener(config: Config, url: Loc, source: SourceConfig) -> Iterator[Finding]:
    own = {listen.port: ("listen", number, listen.protocol) for number, listen in enumerate(config.listen)}
    if is_loopback(source.broker.host) and source.broker.port in own:
        message = f"url: {str(source.broker.url)!r} is this gateway's own listener; a source needs another broker"
        yield Finding(url, message, (url, own[source.broker.port]))


def _filters_twice(loc: Loc, source: SourceConfig) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for number, one in enumerate(source.broker.subscribe):
        if one.filter in seen:
            message = f"subscribe: {one.filter!r} stands twice; it is in entry {seen[one.filter] + 1} already"
            yield Finding((*loc, number), message, ((*loc, number), (*loc, seen[one.filter])))
        seen.setdefault(one.filter, number)


def _loops(config: Config, loc: Loc, source: SourceConfig, *, are_hopeless: bool) -> Iterator[Finding]:
    """Filters that read back what an uplink publishes to the same broker; hopeless where nothing else would be left."""
    for name, broker in config.brokers_up.items():
        if not is_same_broker(source.broker, broker):
            continue
        published = published_filter(broker.topic, config.gateway.id)
        for number, one in enumerate(source.broker.subscribe):
            place: Loc = (*loc, "mqtt", "subscribe", number)
            uplink_mqtt: Loc = ("uplinks", name, "mqtt")
            reads = (place, (*loc, "mqtt", "url"), (*uplink_mqtt, "url"), (*uplink_mqtt, "topic"))
            if covers(published, one.filter) and are_hopeless:
                message = (
                    f"subscribe: {one.filter!r} reads only what uplinks.{name} publishes to the same broker "
                    f"({broker.topic!r}): an endless loop; give the uplink a topic of its own"
                )
                yield Finding(place, message, reads)
            elif overlaps(published, one.filter) and not are_hopeless:
                message = (
                    f"subscribe: {one.filter!r} also reads what uplinks.{name} publishes to the same broker "
                    f"({broker.topic!r}): each event comes back and is dropped; subscribe to less"
                )
                yield Finding(place, message, reads)


def _unreachable_events(loc: Loc, source: SourceConfig) -> Iterator[Finding]:
    for number, one in enumerate(source.events or ()):
        if not any(overlaps(one, other.filter) for other in source.broker.subscribe):
            message = f"events: {one!r} has no effect: nothing that is subscribed to matches it"
            yield Finding((*loc, number), message)


def _unreachable_rules(loc: Loc, source: SourceConfig) -> Iterator[Finding]:
    """Rules of ``remap`` for topics that are never read."""
    for number, rule in enumerate(source.remap):
        pattern = read_match(rule.match).filter
        if not any(overlaps(pattern, one.filter) for one in source.broker.subscribe):
            message = f"match: {rule.match!r} has no effect: nothing that is subscribed to matches it"
            yield Finding((*loc, number, "match"), message)
            continue
        earlier = [one for one in source.remap[:number] if covers(read_match(one.match).filter, pattern)]
        if earlier:
            message = f"match: {rule.match!r} has no effect: {earlier[0].match!r} before it takes all of it"
            yield Finding((*loc, number, "match"), message)
