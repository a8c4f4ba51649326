"""The flow, wired top to bottom. Start reading here.

    listeners ─┬─► accept ─► decode ─► decide ─► outbox ─► uplinks
    sources ───┘                                   │  ▲
       ▲                                           │  │
       └──────────────── settled ◄─────────────────┤  │
                                                journal (only what is not delivered in time)

A batch is everything of one read; every stage is a plain call on it. One turn of the loop after the reads settles,
commits and kicks the uplinks for all of them together.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase

import msgspec
import structlog

from fieldgate import clock
from fieldgate.config import Config, UplinkConfig
from fieldgate.config.loops import own_filters
from fieldgate.config.source import SourceConfig
from fieldgate.config.uplink import OwnListeners
from fieldgate.decide.passthrough import Decide, pass_all
from fieldgate.forward.expiry import Expiry
from fieldgate.forward.local_uplink import LocalUplink
from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.ingest.decode import Decode, PassThrough
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.ingest.mqtt_source import MqttSource
from fieldgate.ingest.source import Received, Settler
from fieldgate.ingest.source_record import SourceRecord
from fieldgate.journal.journal import Journal
from fieldgate.journal.keeper import Keeper, KeeperLimits
from fieldgate.journal.outbox import Outbox
from fieldgate.journal.parking import Parking, parked_limit_bytes
from fieldgate.journal.records import BootRecord
from fieldgate.journal.session_keeper import SessionKeeper, open_session_file
from fieldgate.journal.times import BootClock
from fieldgate.journal.uplink_state import Route, decode_states, highest_seq, state_of_unknown
from fieldgate.journal.writer import Writer
from fieldgate.mqtt.local_broker import BrokerLimits, LocalBroker
from fieldgate.mqtt.memory import BrokerMemory
from fieldgate.observe.health import RateMeter
from fieldgate_devices.event import LANES, Address, Event, Lane, Stamp, TimeQuality

__all__ = ["Pipeline", "route_of"]

log = structlog.get_logger("fieldgate")

_CLOCK_EVERY_S = 1.0


class Pipeline:
    """All parts of one gateway, not yet running; implements `fieldgate.ingest.source.Intake`."""

    def __init__(self, config: Config, journal: Journal, *, run: int) -> None:
        self.config = config
        self.journal = journal
        self.run_id = run
        self.started_s = clock.boot_s()
        self._boot_clock = BootClock(
            clock.os_boot_id(),
            runs=[one for one in journal.opened.runs if one.run != run],
            boots=journal.opened.boots,
            is_synced=clock.is_synced(),
            offset_ns=clock.wall_ns() - clock.boot_ns(),
        )
        self._decode: Decode = PassThrough()
        self._decide: Decide = pass_all
        self._loop = asyncio.get_running_loop()
        self._os_boots = {one.run: one.os_boot for one in journal.opened.runs} | {run: clock.os_boot_id()}
        self.outbox = self._make_outbox()
        self._accept = self.outbox.accept
        writer = Writer(journal, self._loop)
        self._go_on_with_retries()
        self.keeper = Keeper(
            self.outbox,
            writer,
            KeeperLimits(
                max_size_bytes=config.journal.max_size_bytes,
                drops_oldest=config.journal.when_full == "drop_oldest",
                keeps_history=config.journal.keep is not None,
                keep_age_s=config.journal.keep.age if config.journal.keep else None,
                keep_size_bytes=config.journal.keep.size if config.journal.keep else None,
            ),
        )
        local = config.local
        self.broker = LocalBroker(
            BrokerLimits(
                max_sessions=local.max_sessions,
                max_session_s=local.max_session_expiry,
                max_subscriptions=local.max_subscriptions,
                max_retained=local.max_retained,
                max_retained_bytes=local.max_retained_size,
                max_away_bytes=local.max_queued,
            )
        )
        self.session_keeper = self._remember_sessions(writer)
        self.uplinks = [self._make_uplink(name, uplink) for name, uplink in config.uplinks.items()]
        guard = EchoGuard(config.gateway.id, self._os_boots)
        self.listeners = [MqttListener(listen, self, self.broker, guard=guard) for listen in config.listen]
        self.sources = [self._make_source(source) for source in config.sources]
        self.rate_in = RateMeter()
        self._kicks = [uplink.kick for uplink in self.uplinks]
        self.keeper.after_turn = self.kick
        self._say_what_is_forgotten()
        for loss in journal.opened.losses:
            self.keeper.book_loss(loss)

    # -- the flow -----------------------------------------------------------------------------------------------

    def accept(self, received: Sequence[Received], settler: Settler, first: int, *, lane: int) -> None:
        """Take one read's messages: decode, decide, into the outbox. What follows happens at the next turn."""
        stamp = self.now_stamp()
        events = self._decide(self._decode(received, stamp, lane))
        size_bytes = 0
        for message in received:
            size_bytes += message.size_bytes
        self._accept(events, settler, first, now_s=stamp.boot_ns / 1e9, size_bytes=size_bytes)

    def is_open(self) -> bool:
        """Whether sources may hand over more."""
        return self.outbox.is_open()

    def stalled(self, *, is_far: bool = False) -> None:
        """A device or broker waits for its PUBACKs."""
        self.outbox.stalled(is_far=is_far)

    def kick(self) -> None:
        """Let every uplink take what it can."""
        for kick in self._kicks:
            kick()

    def now_stamp(self) -> Stamp:
        """Return the stamp for events received now."""
        return Stamp(self.run_id, clock.wall_ns(), clock.boot_ns(), self._boot_clock.quality)

    # -- running ------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what must be kept running, by task name."""
        parts: dict[str, Callable[[], Awaitable[None]]] = {}
        for listener in self.listeners:
            parts[f"ingest:{listener.name}"] = listener.run
        for source in self.sources:
            parts[f"ingest:{source.name}"] = source.run
        for uplink in self.uplinks:
            parts[f"forward:{uplink.name}"] = uplink.run
        parts["sessions"] = self.session_keeper.run
        parts["clock"] = self._watch_clock
        return parts

    async def stop(self) -> None:
        """Stop reading, write what is unsettled, acknowledge it, say goodbye both ways."""
        for listener in self.listeners:
            await listener.stop()
        for source in self.sources:
            await source.stop_reading()
        await self.session_keeper.stop()
        await self.keeper.stop()
        for listener in self.listeners:
            await listener.close_clients()
        async with asyncio.TaskGroup() as goodbyes:  # together: a dead broker takes its time
            for source in self.sources:
                goodbyes.create_task(source.stop(), name=f"stop:{source.name}")
            for uplink in self.uplinks:
                goodbyes.create_task(uplink.stop(), name=f"stop:{uplink.name}")

    async def _watch_clock(self) -> None:
        """Sample the rates, and notice when the time becomes known."""
        while True:
            self.rate_in.sample(self.outbox.accepted, clock.boot_s())
            match self._boot_clock.look(is_synced=clock.is_synced()):
                case "known":
                    self._time_became_known()
                case "lost":
                    self.outbox.time_became_unknown()
                    log.warning(
                        "clock.became_unknown", meaning="events are marked unsynced until the clock is set again"
                    )
            await asyncio.sleep(_CLOCK_EVERY_S)

    def _time_became_known(self) -> None:
        """Correct what is still stored, and say once per OS boot how far its clock was off (P6)."""
        os_boot = clock.os_boot_id()
        offset_ns = clock.wall_ns() - clock.boot_ns()
        log.info("clock.became_known", offset_s=round(offset_ns / 1e9, 3), os_boot=os_boot)
        if not self._boot_clock.is_told:
            self._boot_clock.is_told = True
            data = msgspec.json.encode({"osboot": os_boot, "offsetns": offset_ns})
            address = Address(self.config.gateway.id, "clock", "fieldgate/clock")
            event = Event(address, self.now_stamp(), data, True, 0, Lane.NORMAL)
            self._accept([event], None, 0, now_s=clock.boot_s(), size_bytes=len(data))
        self.keeper.time_became_known(BootRecord(os_boot, offset_ns, TimeQuality.SYNCED))

    @property
    def quality(self) -> TimeQuality:
        """How far the clock can be trusted now."""
        return self._boot_clock.quality

    def filters(self) -> dict[str, Callable[[Event], bool] | None]:
        """Return by the name of each state that is kept which events it is about; None is all."""
        return {feed.name: feed.route.is_wanted for feed in self.outbox.all_feeds()}

    # -- building -----------------------------------------------------------------------------------------------

    def _say_what_is_forgotten(self) -> None:
        """Of uplinks that are not configured any more nothing is kept, unless there is none at all for now."""
        for name in filter(None, self.outbox.forgotten):
            log.warning(
                "uplink.forgotten", uplink=name, meaning="it is not configured any more; nothing is kept for it"
            )

    def _make_uplink(self, name: str, config: UplinkConfig) -> MqttUplink | LocalUplink:
        feed, gateway, os_boot_of = self.outbox.feeds[name], self.config.gateway.id, self._os_boots.get
        expiry = Expiry(
            run=self.run_id, os_boot_of=os_boot_of, wall_ns=lambda: clock.wall_ns() if clock.is_synced() else None
        )
        if isinstance(config.mqtt, OwnListeners):
            return LocalUplink(
                name, config, feed, gateway=gateway, subscribers=self.broker, expiry=expiry, os_boot_of=os_boot_of
            )
        return MqttUplink(
            name,
            config,
            feed,
            gateway=gateway,
            rng=random.Random(),
            os_boot_of=os_boot_of,
            run=self.run_id,
            expiry=expiry,
        )

    def _go_on_with_retries(self) -> None:
        """Parked events that the last process was told to send again are sent again by this one."""
        retrying = self.journal.parked(lambda head: head.is_retrying)
        for name, feed in self.outbox.feeds.items():
            feed.shelf.go_on([one.event for one in retrying if one.uplink == name])

    def _make_source(self, source: SourceConfig) -> MqttSource:
        config, mqtt = self.config, source.mqtt
        gateway = config.gateway.id
        client_id = mqtt.client_id or f"fieldgate-{gateway}-{source.name}"
        return MqttSource(
            source,
            self,
            gateway=gateway,
            own=own_filters(config, mqtt),
            runs=self._os_boots,
            record=SourceRecord(
                config.journal.path / "sources" / f"{source.name}.json", who=f"{client_id} at {mqtt.host}:{mqtt.port}"
            ),
            save=self._save,
            rng=random.Random(),
        )

    async def _save(self, work: Callable[[], None]) -> None:
        """Do a small piece of file work where it may block."""
        await self.keeper.call(lambda _journal: work())

    def _make_outbox(self) -> Outbox:
        config, opened = self.config, self.journal.opened
        stats = self.journal.stats()
        stored_to = [lane.last_seq or 0 for lane in stats.lanes]
        states = decode_states(opened.uplink_states)
        for name in opened.uplink_states.keys() - states.keys():  # no reason not to start (P5)
            log.error("uplink.began_again", uplink=name, meaning="its place and its counts cannot be read")
            states[name] = state_of_unknown(stored_to)
        routes = [route_of(name, uplink) for name, uplink in config.uplinks.items()]
        boots = {one.os_boot for one in opened.runs}
        return Outbox(
            routes,
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
            attention=self._attention,
            now_stamp=self.now_stamp,
        )

    def _remember_sessions(self, writer: Writer) -> SessionKeeper:
        """Give the broker back what an earlier process stored of it, and store what changes."""
        keeper = SessionKeeper(open_session_file(self.config.journal.path), writer)
        memory = BrokerMemory(self.broker, base_s=self.journal.journal_s(0))
        max_bytes = max([listen.max_unsent for listen in self.config.listen], default=0)
        memory.restore(keeper.take_state(), max_bytes=max_bytes, now_s=self.started_s)
        keeper.watch(memory)
        return keeper

    def _attention(self) -> None:
        self._loop.call_soon(self.keeper.turn)


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

    return Route(
        name,
        filter="" if wants_all else only.model_dump_json(),
        is_required=uplink.required,
        is_live_first=uplink.drain == "live_first",
        is_wanted=None if wants_all else is_wanted,
        starts_at_oldest=uplink.start == "oldest",
        max_size_bytes=uplink.max_size,
        max_age_s=uplink.max_age,
    )
