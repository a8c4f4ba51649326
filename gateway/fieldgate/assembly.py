"""The parts of one gateway, made from its configuration and from what the journal holds; ``pipeline.py`` joins them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, cast

import structlog

from fieldgate import clock
from fieldgate.command_desk import CommandDesk, TellSafely
from fieldgate.config import Config, UplinkConfig
from fieldgate.config.journal import JournalConfig
from fieldgate.config.listen import ListenConfig
from fieldgate.config.local import LocalConfig
from fieldgate.config.loops import own_filters
from fieldgate.config.source import SourceConfig
from fieldgate.config.uplink import OwnListeners
from fieldgate.decide.orders import Executor
from fieldgate.decide.publish_executor import PublishExecutor
from fieldgate.decide.replies import Replies
from fieldgate.device_directory import DeviceDirectory
from fieldgate.device_watch import DeviceWatch, Tell
from fieldgate.hearing import Hearing
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.ingest.registry import Registry
from fieldgate.ingest.source import Intake
from fieldgate.journal.command_keeper import CommandKeeper, open_command_file
from fieldgate.journal.dead_letter_keeper import DeadLetters, open_dead_letters
from fieldgate.journal.device_keeper import DeviceKeeper, open_device_file
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.journal import Journal
from fieldgate.journal.keeper import Keeper, KeeperLimits
from fieldgate.journal.outbox import Outbox
from fieldgate.journal.parking import Parking, parked_limit_bytes
from fieldgate.journal.session_keeper import SessionKeeper, open_session_file
from fieldgate.journal.uplink_state import Route, decode_states, highest_seq, state_of_unknown
from fieldgate.journal.writer import Writer
from fieldgate.mqtt.local_broker import BrokerLimits, LocalBroker
from fieldgate.mqtt.memory import BrokerMemory
from fieldgate.trace_assembly import traced
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.command import Publication, RegisterWrite, SerialWrite
from fieldgate_devices.event import LANES, Event, Lane, Stamp

if TYPE_CHECKING:  # each is loaded where it is made: a gateway has few of these, and lives for months
    from fieldgate.forward.home_assistant import HomeAssistant
    from fieldgate.forward.local_uplink import LocalUplink
    from fieldgate.forward.mqtt_uplink import MqttUplink
    from fieldgate.forward.webhook_uplink import WebhookUplink
    from fieldgate.ingest.http_listener import HttpListener
    from fieldgate.ingest.modbus_source import ModbusSource
    from fieldgate.ingest.mqtt_source import MqttSource
    from fieldgate.ingest.serial_source import SerialSource
    from fieldgate.ingest.source_commands import SourceCommands
    from fieldgate.observe.tracing import Tracer

__all__ = [
    "keeper_limits",
    "make_broker",
    "make_commands",
    "make_dead_letters",
    "make_devices",
    "make_outbox",
    "make_source",
    "make_uplink",
    "remember_sessions",
    "route_of",
    "source_executors",
]

log = structlog.get_logger("fieldgate")

_MQTT: Final = "mqtt/"  # before the name of a source that is a broker
_OF_KIND: Final = {
    "modbus": RegisterWrite,
    "serial": SerialWrite,
}  # what devices of a kind of source get


def make_outbox(
    config: Config, journal: Journal, *, attention: Callable[[], None], now_stamp: Callable[[], Stamp]
) -> Outbox:
    """Make the outbox, which goes on where the last process left each uplink."""
    opened = journal.opened
    stored_to = [lane.last_seq or 0 for lane in journal.stats().lanes]
    states = decode_states(opened.uplink_states)
    for name in opened.uplink_states.keys() - states.keys():  # no reason not to start (P5)
        log.error("uplink.began_again", uplink=name, meaning="its place and its counts cannot be read")
        states[name] = state_of_unknown(stored_to)
    boots = {one.os_boot for one in opened.runs}
    outbox = Outbox(
        [route_of(name, uplink) for name, uplink in config.uplinks.items()],
        gateway=config.gateway.id,
        is_relay=config.journal.durability == "relay",
        keeps_history=config.journal.keep is not None,
        hold_s=config.journal.hold_s,
        commit_delay_s=config.journal.commit_delay_s,
        next_seq=max(opened.next_seq, highest_seq(states) + 1),
        stored_to=stored_to,
        states=states,
        os_boot=clock.os_boot_id(),
        stored_boot=boots.pop() if len(boots) == 1 else "",
        job_bytes=config.journal.max_size_bytes // 16,
        parking=Parking(opened.parked, max_bytes=parked_limit_bytes(config.journal.max_size_bytes)),
        attention=attention,
        now_stamp=now_stamp,
    )
    for name in filter(None, outbox.forgotten):  # unless there is none at all for now
        log.warning("uplink.forgotten", uplink=name, meaning="it is not configured any more; nothing is kept for it")
    retrying = journal.parked(lambda head: head.is_retrying)
    for name, feed in outbox.feeds.items():  # what the last process was told to send again
        feed.shelf.go_on([one.event for one in retrying if one.uplink == name])
    return outbox


def keeper_limits(config: JournalConfig) -> KeeperLimits:
    """Return what the journal may hold."""
    return KeeperLimits(
        max_size_bytes=config.max_size_bytes,
        drops_oldest=config.when_full == "drop_oldest",
        keeps_history=config.keep is not None,
        keep_age_s=config.keep.age if config.keep else None,
        keep_size_bytes=config.keep.size if config.keep else None,
    )


def make_broker(config: LocalConfig) -> LocalBroker:
    """Make the broker that all listeners share."""
    return LocalBroker(
        BrokerLimits(
            max_sessions=config.max_sessions,
            max_session_s=config.max_session_expiry,
            max_subscriptions=config.max_subscriptions,
            max_retained=config.max_retained,
            max_retained_bytes=config.max_retained_size,
            max_away_bytes=config.max_queued,
        )
    )


def remember_sessions(
    config: Config, journal: Journal, broker: LocalBroker, *, writer: Writer, now_s: float
) -> SessionKeeper:
    """Give the broker back what an earlier process stored of it, and store what changes."""
    keeper = SessionKeeper(open_session_file(config.journal.path), writer)
    memory = BrokerMemory(broker, base_s=journal.journal_s(0))
    max_bytes = max([listen.max_unsent for listen in config.listen if listen.protocol == "mqtt"], default=0)
    memory.restore(keeper.take_state(), max_bytes=max_bytes, now_s=now_s)
    keeper.watch(memory, now_s)
    return keeper


def make_listener(
    config: ListenConfig, intake: Intake, broker: LocalBroker, *, guard: EchoGuard
) -> MqttListener | HttpListener:
    """Make one way in that devices come to."""
    if config.http is not None:
        from fieldgate.ingest.http_listener import HttpListener  # with a driver that few need

        return HttpListener(config, intake, broker, guard=guard)
    return MqttListener(config, intake, broker, guard=guard)


def make_dead_letters(config: Config, journal: Journal, *, writer: Writer) -> DeadLetters:
    """Make what keeps the messages that are no events."""
    limits = config.devices.dead_letters
    return DeadLetters(
        open_dead_letters(config.journal.path, max_size_bytes=limits.max_size),
        writer,
        rate_per_s=limits.rate,
        largest_bytes=limits.largest_bytes,
        base_s=journal.journal_s(0),
        commit_delay_s=config.journal.commit_delay_s,
    )


def make_uplink(
    name: str,
    config: UplinkConfig,
    feed: UplinkFeed,
    *,
    gateway: str,
    run: int,
    os_boots: Mapping[int, str],
    broker: LocalBroker,
    hearing: Hearing,
    tracer: Tracer | None = None,
) -> MqttUplink | LocalUplink | WebhookUplink:
    """Make one way out, which is a way in for commands where it is configured so."""
    from fieldgate.forward.expiry import Expiry

    expiry = Expiry(run=run, os_boot_of=os_boots.get, wall_ns=lambda: clock.wall_ns() if clock.is_synced() else None)
    home_assistant = _make_home_assistant(config, feed, gateway=gateway)
    way_out = feed if tracer is None else traced(feed, tracer, name)
    if isinstance(config.mqtt, OwnListeners):
        from fieldgate.forward.local_uplink import LocalUplink

        return LocalUplink(
            name, config, way_out, gateway=gateway, subscribers=broker, expiry=expiry, home_assistant=home_assistant,
            os_boot_of=os_boots.get,
        )  # fmt: skip
    if config.webhook is not None:
        from fieldgate.forward.webhook_uplink import WebhookUplink

        return WebhookUplink(
            name,
            config.webhook,
            way_out,
            gateway=gateway,
            rng=random.Random(),
            os_boot_of=os_boots.get,
            rate=config.rate,
        )
    from fieldgate.forward.mqtt_uplink import MqttUplink

    commands, memory = hearing.of(name, config.broker, gateway=gateway)
    return MqttUplink(
        name,
        config,
        way_out,
        gateway=gateway,
        rng=random.Random(),
        os_boot_of=os_boots.get,
        run=run,
        expiry=expiry,
        home_assistant=home_assistant,
        commands=commands,
        memory=memory,
    )


def _make_home_assistant(config: UplinkConfig, feed: UplinkFeed, *, gateway: str) -> HomeAssistant | None:
    if config.home_assistant is None:
        return None
    from fieldgate.forward.home_assistant import HomeAssistant

    is_own = isinstance(config.mqtt, OwnListeners)
    return HomeAssistant(
        config,
        prefix=config.home_assistant.prefix,
        topic=config.topic if is_own else config.broker.topic,
        gateway=gateway,
        status_topic=None if is_own or config.broker.status_topic == "off" else config.broker.status_topic,
        is_wanted=feed.route.is_wanted,
    )


def make_devices(
    config: Config, journal: Journal, *, writer: Writer, catalogue: Catalogue, tell: Tell, now_s: float
) -> DeviceWatch:
    """Make the registry of all devices, with what an earlier process stored of it."""
    registry = Registry(max_devices=config.devices.max_devices, os_boot=clock.os_boot_id(), base_s=journal.journal_s(0))
    return DeviceWatch(
        registry,
        DeviceKeeper(open_device_file(config.journal.path), writer, now_s=now_s),
        catalogue=catalogue,
        offsets_ns={one.os_boot: one.offset_ns for one in journal.opened.boots},
        tell=tell,
    )


def make_commands(
    config: Config,
    journal: Journal,
    devices: DeviceWatch,
    broker: LocalBroker,
    sessions: SessionKeeper,
    *,
    catalogue: Catalogue,
    writer: Writer,
    loop: asyncio.AbstractEventLoop,
    tell: TellSafely,
    replies: Replies,
    by_source: Mapping[str, Executor],
) -> CommandDesk:
    """Make the desk of commands, with what an earlier process recorded.

    ``by_source`` has those who reach the devices of a source, by the beginning of the topics of these; those of brokers
    by ``mqtt/`` and the name of the source.
    """
    publisher = PublishExecutor(broker, replies, clock.boot_s)
    broker.returning = publisher.returning

    def choose(request: object, topic: str) -> Executor | None:
        if isinstance(request, Publication):
            return _publisher_of(request, topic)
        kind, _, rest = topic.partition("/")
        executor = by_source.get(f"{kind}/{rest.partition('/')[0]}")
        return executor if isinstance(request, _OF_KIND.get(kind, ())) else None

    def _publisher_of(request: Publication, topic: str) -> Executor:
        """The listeners' clients, unless none of them is meant and the device was heard from another broker."""
        if broker.reach(request.topic, request.qos):
            return publisher
        brokers = [cast("SourceCommands", one) for source, one in by_source.items() if source.startswith(_MQTT)]
        return next((one for one in brokers if one.reaches(topic)), publisher)

    return CommandDesk(
        CommandKeeper(open_command_file(config.journal.path), writer, loop),
        DeviceDirectory(devices, catalogue, assigned=config.assigned, choose=choose),
        publisher,
        sessions,
        replies,
        gateway=config.gateway.id,
        tell=tell,
        base_s=journal.journal_s(0),
    )


def source_executors(
    config: Config, sources: Sequence[MqttSource | SerialSource | ModbusSource], replies: Replies
) -> dict[str, Executor]:
    """Return who carries out commands for the devices of sources; see `make_commands`."""
    executors: dict[str, Executor] = {}
    for one, source in zip(config.sources, sources, strict=True):
        if one.mqtt is not None:
            commands = cast("MqttSource", source).commands
            commands.replies = replies
            executors[f"{_MQTT}{source.name}"] = commands
        elif one.modbus is not None:
            from fieldgate.decide.register_executor import RegisterExecutor  # what few need, as the sources below

            executors[f"modbus/{source.name}"] = RegisterExecutor(cast("ModbusSource", source))
        else:
            from fieldgate.ingest.serial_executor import SerialExecutor

            executors[one.topic] = SerialExecutor(cast("SerialSource", source), one.topic, replies)
    return executors


def make_source(
    source: SourceConfig, config: Config, *, intake: Intake, guard: EchoGuard, keeper: Keeper, catalogue: Catalogue
) -> MqttSource | SerialSource | ModbusSource:
    """Make one thing that is read."""
    if source.modbus is not None:
        from fieldgate.ingest.modbus_assembly import make_modbus_source

        return make_modbus_source(source, intake, catalogue=catalogue)
    if source.serial is not None:
        from fieldgate.ingest.serial_source import SerialSource
        from fieldgate_devices.framing.spec import framer_of

        return SerialSource(source, intake, framer=framer_of(source.serial.framing), rng=random.Random())

    from fieldgate.ingest.mqtt_source import MqttSource
    from fieldgate.ingest.source_record import SourceRecord

    async def save(work: Callable[[], None]) -> None:
        await keeper.call(lambda _journal: work())

    mqtt = source.broker
    client_id = mqtt.client_id or f"fieldgate-{config.gateway.id}-{source.name}"
    return MqttSource(
        source,
        intake,
        gateway=config.gateway.id,
        own=own_filters(config, mqtt),
        guard=guard,
        record=SourceRecord(
            config.journal.path / "sources" / f"{source.name}.json", who=f"{client_id} at {mqtt.host}:{mqtt.port}"
        ),
        save=save,
        rng=random.Random(),
    )


def route_of(name: str, uplink: UplinkConfig) -> Route:
    """Return what the outbox must know of this uplink."""
    only = uplink.only
    wants_all = only.devices == ("*",) and only.topics == ("*",) and len(only.lanes) == len(LANES)

    def is_wanted(event: Event) -> bool:
        address = event.address
        return (
            Lane(event.lane).name.lower() in only.lanes
            and any(fnmatchcase(address.device, glob) for glob in only.devices)
            and any(fnmatchcase(address.topic, glob) for glob in only.topics)
        )

    is_told_only = uplink.webhook is not None
    return Route(
        name,
        filter=("told " if is_told_only else "") + ("" if wants_all else only.model_dump_json()),
        is_required=uplink.required,
        is_live_first=uplink.drain == "live_first",
        is_wanted=None if wants_all else is_wanted,
        starts_at_oldest=uplink.start == "oldest",
        max_size_bytes=uplink.max_size,
        max_age_s=uplink.max_age,
        is_told_only=is_told_only,
    )
