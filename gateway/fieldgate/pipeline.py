"""The flow, wired top to bottom. Start reading here.

    listeners ─┬─► accept ─► decode ─► decide ─► outbox ─► uplinks
    sources ───┘               │                   │  ▲
       ▲                       ▼                   │  │
       │                  dead letters             │  │
       │                       │                   │  │
       └──────── settled ◄─────┴───────────────────┤  │
                                                journal (only what is not delivered in time)

A batch is everything of one read; every stage is a plain call on it. One turn of the loop after the reads settles,
commits and kicks the uplinks for all of them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

import msgspec
import structlog

from fieldgate import clock
from fieldgate.assembly import (
    keeper_limits,
    make_broker,
    make_commands,
    make_dead_letters,
    make_devices,
    make_listener,
    make_outbox,
    make_source,
    make_uplink,
    remember_sessions,
    source_executors,
)
from fieldgate.config import Config
from fieldgate.config.uplink import OwnListeners
from fieldgate.decide.orders import Executor
from fieldgate.decide.replies import Replies
from fieldgate.hearing import Hearing
from fieldgate.ingest.decode import ContractDecoder
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.profile_files import ProfileFiles, ProfileWatch
from fieldgate.ingest.source import Damaged, Received, Settler
from fieldgate.journal.dead_letter import DeadLetter
from fieldgate.journal.dead_letter_box import Replay
from fieldgate.journal.journal import Journal
from fieldgate.journal.keeper import Keeper
from fieldgate.journal.records import BootRecord
from fieldgate.journal.times import BootClock
from fieldgate.journal.writer import Writer
from fieldgate.observe.health import RateMeter
from fieldgate.odd_reads import OddReads
from fieldgate.rule_assembly import make_rules
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Address, Event, Lane, Stamp, TimeQuality
from fieldgate_devices.matching import SERIAL

if TYPE_CHECKING:
    from fieldgate.forward.mqtt_uplink import MqttUplink
    from fieldgate.ingest.mqtt_source import MqttSource
    from fieldgate.ingest.serial_executor import SerialExecutor

__all__ = ["Pipeline"]

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
        files = ProfileFiles(config.devices.path, config.assigned)
        profiles = files.load()
        keeps_raw = any(one.format == "raw" for one in config.uplinks.values())
        self._decode = ContractDecoder(profiles.catalogue, unknown=config.devices.unknown, keeps_raw=keeps_raw)
        self._loop = asyncio.get_running_loop()
        self._os_boots = {one.run: one.os_boot for one in journal.opened.runs} | {run: clock.os_boot_id()}
        self.outbox = make_outbox(config, journal, attention=self._attention, now_stamp=self.now_stamp)
        self._accept = self.outbox.accept
        writer = Writer(journal, self._loop)
        self.keeper = Keeper(self.outbox, writer, keeper_limits(config.journal))
        self.dead_letters = make_dead_letters(config, journal, writer=writer)
        self._odd = OddReads(self.outbox, self.dead_letters)
        self.devices = make_devices(
            config,
            journal,
            writer=writer,
            catalogue=profiles.catalogue,
            tell=self._tell,
            now_s=self.started_s,
        )
        self.profiles = ProfileWatch(files, profiles, self._use_profiles)
        self.broker = make_broker(config.local)
        self.session_keeper = remember_sessions(config, journal, self.broker, writer=writer, now_s=self.started_s)
        replies = Replies()
        by_source: dict[str, Executor] = {}
        self.commands = make_commands(
            config,
            journal,
            self.devices,
            self.broker,
            self.session_keeper,
            catalogue=profiles.catalogue,
            writer=writer,
            loop=self._loop,
            tell=self._tell,
            replies=replies,
            by_source=by_source,
        )
        gateway, feeds, boots = config.gateway.id, self.outbox.feeds, self._os_boots
        hearing = Hearing(config.journal.path, self.keeper, desk=self.commands, devices=self.devices)
        self.uplinks = [
            make_uplink(
                name,
                one,
                feeds[name],
                gateway=gateway,
                run=run,
                os_boots=boots,
                broker=self.broker,
                hearing=hearing,
            )
            for name, one in config.uplinks.items()
        ]
        for uplink in self.uplinks:
            if uplink.home_assistant is not None:
                self.devices.tells(uplink.home_assistant, uplink.kick)
        guard = EchoGuard(gateway, boots)
        self.listeners = [make_listener(one, self, self.broker, guard=guard) for one in config.listen]
        for listener in self.listeners:
            listener.use(profiles.catalogue)
        self.sources = [
            make_source(one, config, intake=self, guard=guard, keeper=self.keeper, catalogue=profiles.catalogue)
            for one in config.sources
        ]
        by_source.update(source_executors(config, self.sources, replies))
        self._writers = [cast("SerialExecutor", one) for topic, one in by_source.items() if topic.startswith(SERIAL)]
        self.rate_in = RateMeter()
        self._kicks = [uplink.kick for uplink in self.uplinks]
        self.keeper.after_turn = self.kick
        self.rules = make_rules(
            config,
            writer=writer,
            loop=self._loop,
            broker=self.broker,
            desk=self.commands,
            uplinks=self.uplinks,
            keeper=self.keeper,
            catalogue=profiles.catalogue,
            now_stamp=self.now_stamp,
            take=self._odd.take_made,
            tell=self._tell,
            formerly={one.gateway for one in journal.opened.runs},
        )
        self._decide = self.rules.decide
        self.devices.notice = self.rules.happened
        for loss in journal.opened.losses:
            self.keeper.book_loss(loss)
        self.commands.begin()
        self.rules.begin()

    # -- the flow -----------------------------------------------------------------------------------------------

    def accept(self, received: Sequence[Received], settler: Settler, first: int, *, lane: int) -> None:
        """Take one read's messages: decode, decide, into the outbox. What follows happens at the next turn."""
        stamp = self.now_stamp()
        if self.commands.awaits_replies:
            self.commands.hear(received)
        decoded = self._decode(received, stamp, lane)
        events = decoded.events
        decided = self._decide(events, stamp, decoded.known)
        if decided is not None or decoded.odd is not None or decoded.is_mixed:
            self.devices.take_odd(decoded, received, stamp)
            self._odd.take(events, decoded.odd, received, settler, first, stamp=stamp, decided=decided)
            if decided is not None:
                self.rules.done(decided, stamp)
            return
        size_bytes = 0
        for message in received:
            size_bytes += message.size_bytes
        self.devices.take(events, size_bytes)
        self._accept(events, settler, first, now_s=stamp.boot_ns / 1e9, size_bytes=size_bytes)

    def refuse(self, damaged: Sequence[Damaged], settler: Settler, first: int, *, lane: int) -> None:
        """Take what is no message: into the dead letters."""
        stamp = self.now_stamp()
        received = [one.message for one in damaged]
        decoded = self._decode.refused(damaged, lane)
        self.devices.take_odd(decoded, received, stamp)
        self._odd.take([], decoded.odd, received, settler, first, stamp=stamp)

    def replay(self, letters: Sequence[DeadLetter]) -> Replay:
        """Send dead letters through the flow again; return who hears what becomes of them.

        Each is a read of its own, with the time at which it was received, if that was known. It is of the past: the
        registry, which says how devices are now, does not hear of it; rules are asked now, by the clock of now.
        """
        replay = self.dead_letters.box.replay(letters)
        for place, letter in enumerate(letters):
            now = stamp = self.now_stamp()
            if letter.is_synced:
                stamp = Stamp(stamp.run, letter.received_wall_ns, stamp.boot_ns)
            size_bytes = len(letter.topic) + len(letter.payload)
            received = [Received(letter.topic, letter.payload, letter.content_id, size_bytes)]
            if letter.is_damaged:  # stays what it is
                decoded = self._decode.refused([Damaged(received[0], letter.reason, letter.detail)], letter.lane)
            else:
                decoded = self._decode(received, stamp, letter.lane, is_replayed=True)
            decided = self._decide(decoded.events, now)
            self._odd.take(decoded.events, decoded.odd, received, replay, place, stamp=stamp, decided=decided)
            if decided is not None:
                self.rules.done(decided, now)
        return replay

    def is_open(self) -> bool:
        """Whether sources may hand over more."""
        return self.outbox.is_open()

    def stalled(self, *, is_far: bool = False) -> None:
        """A device or broker waits for its PUBACKs."""
        self.outbox.stalled(is_far=is_far)
        self.dead_letters.box.stalled()

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
        for client in self._clients():
            parts[f"login:{client.name}"] = client.rotate
        parts["profiles"] = self.profiles.run
        parts["sessions"] = self.session_keeper.run
        parts["devices"] = self.devices.run
        parts["commands"] = self.commands.run
        parts["rules"] = self.rules.run
        for one in self._writers:
            parts[f"commands:{one.name}"] = one.run
        parts["clock"] = self._watch_clock
        return parts

    def _clients(self) -> Iterator[MqttSource | MqttUplink]:
        """Who connects to brokers."""
        for config, source in zip(self.config.sources, self.sources, strict=True):
            if config.mqtt is not None:
                yield cast("MqttSource", source)
        for uplink in self.uplinks:
            if uplink.name in self.config.brokers_up:
                yield cast("MqttUplink", uplink)

    async def stop(self) -> None:
        """Stop reading, write what is unsettled, acknowledge it, say goodbye both ways."""
        await self.commands.stop()  # while devices are still heard; what it tells is an event
        for listener in self.listeners:
            await listener.stop()
        async with asyncio.TaskGroup() as ends:  # together: a port may have to be waited for
            for source in self.sources:
                ends.create_task(source.stop_reading(), name=f"stop:{source.name}")
        for uplink in self.uplinks:
            if isinstance(
                self.config.uplinks[uplink.name].mqtt, OwnListeners
            ):  # what it hands over waits in sessions, which are saved below
                await uplink.stop()
        try:
            try:
                await self.rules.stop()  # what is due by now is an event, too
                await self.keeper.stop()
            finally:  # what was replayed is an event now, and no dead letter any more
                await self.dead_letters.stop()
            await self.session_keeper.stop()  # with the QoS 2 ids that were acknowledged just now
            await self.devices.stop()  # last: nobody was promised anything of it
        finally:
            await self.keeper.close()
        for listener in self.listeners:
            await listener.close_clients()
        async with asyncio.TaskGroup() as goodbyes:  # together: a dead broker takes its time
            for source in self.sources:
                goodbyes.create_task(source.stop(), name=f"stop:{source.name}")
            for uplink in self.uplinks:
                goodbyes.create_task(uplink.stop(), name=f"stop:{uplink.name}")

    async def _watch_clock(self) -> None:
        """Sample the rates, and notice when the time becomes known."""
        was_nowhere = False
        while True:
            self.rate_in.sample(self.outbox.accepted, clock.boot_s())
            if self.outbox.routing.nowhere and not was_nowhere:
                was_nowhere = True
                log.warning("events.routed_nowhere", meaning="rules route events to uplinks of which none takes them")
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
        for client in self._clients():  # a certificate that was not valid yet may be so now
            client.hurry()
        if not self._boot_clock.is_told:
            self._boot_clock.is_told = True
            data = msgspec.json.encode({"osboot": os_boot, "offsetns": offset_ns})
            self._tell("clock", self.config.gateway.id, data, Lane.NORMAL)
        self.rules.happened("time_known", offset_s=offset_ns / 1e9)
        self.keeper.time_became_known(BootRecord(os_boot, offset_ns, TimeQuality.SYNCED))

    def _tell(
        self, kind: str, device: str, data: bytes, lane: int, settler: Settler | None = None, position: int = 0
    ) -> None:
        """Make an event of the gateway's own; ``settler`` hears when it is safe."""
        event = Event(Address(device, kind, f"fieldgate/{kind}"), self.now_stamp(), data, True, 0, lane)
        self._accept([event], settler, position, now_s=clock.boot_s(), size_bytes=len(data))

    def tell_vitals(self, data: bytes, lane: int, settler: Settler, position: int) -> None:
        """Say how the gateway is."""
        self._tell("vitals", self.config.gateway.id, data, lane, settler, position)

    def _use_profiles(self, catalogue: Catalogue) -> None:
        self._decode.use(catalogue)
        self.devices.use(catalogue)
        self.commands.directory.use(catalogue)
        self.rules.use_profiles(catalogue)
        for listener in self.listeners:
            listener.use(catalogue)
        for source in self.sources:
            source.use(catalogue)

    @property
    def quality(self) -> TimeQuality:
        """How far the clock can be trusted now."""
        return self._boot_clock.quality

    def filters(self) -> dict[str, Callable[[Event], bool]]:
        """Return by the name of each state that is kept which events it is about."""
        return {feed.name: feed.route.takes for feed in self.outbox.all_feeds()}

    def _attention(self) -> None:
        self.keeper.wake()
