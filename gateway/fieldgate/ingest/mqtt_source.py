"""One broker that is read: `BrokerConnection` keeps the connection, `SourceInbox` takes the messages, this joins them.

Promise (P1): the broker gets its PUBACK (PUBREC for QoS 2) when the event is safe, not before; what was not
acknowledged it sends again, as long as it keeps the session. ``status`` says where the source is, in words.

The order of a clean stop is the caller's: `stop_reading`, everything handed over is settled, then `stop`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final

import msgspec
import structlog

from fieldgate import clock
from fieldgate.config.source import MqttSourceConfig, SourceConfig
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.source import Intake
from fieldgate.ingest.source_commands import SourceCommands
from fieldgate.ingest.source_inbox import SourceInbox, SourceLimits, SourceState
from fieldgate.ingest.source_record import SourceRecord
from fieldgate.ingest.source_status import SourceStatus
from fieldgate.ingest.source_topics import SourceTopics
from fieldgate.ingest.subscriptions import Subscriptions
from fieldgate.mqtt.client_happenings import Announced, Rejected, Subscribed
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.endings import Cause, End
from fieldgate.net.broker_connection import VERSION_NAMES, BrokerConnection, Timing
from fieldgate.net.login import client_settings
from fieldgate.net.rotation import Became, Rotation
from fieldgate_devices.catalogue import Catalogue

__all__ = ["MqttSource", "Save"]

_RETRY_HELD_S: Final = 0.25
_LANES: Final = {"high": 0, "normal": 1, "low": 2}

Save = Callable[[Callable[[], None]], Awaitable[None]]
"""Does a small piece of file work in a thread that may block."""

_log = structlog.get_logger("fieldgate")


class MqttSource:
    """One entry of ``sources``. ``own`` are filters of what the gateway publishes to this broker."""

    def __init__(
        self,
        config: SourceConfig,
        intake: Intake,
        *,
        gateway: str,
        own: Sequence[str],
        guard: EchoGuard,
        record: SourceRecord,
        save: Save,
        rng: Random,
        timing: Timing | None = None,
    ) -> None:
        self.name = config.name
        mqtt = config.broker
        settings = _settings(mqtt, client_id=f"fieldgate-{gateway}-{config.name}")
        self._intake = intake
        self._limits = SourceLimits(mqtt.receive_maximum, mqtt.max_unsettled)
        self._record = record
        self._save = save
        topics = SourceTopics(config, own=own)
        self._state = SourceState(settings.client_id, topics, guard, lane=_LANES[config.lane], name=config.name)
        self._wanted = mqtt.subscribe
        self.commands = SourceCommands(config.name, topics, is_remapped=bool(config.remap))
        self._subscriptions = Subscriptions(mqtt.subscribe, record.load())
        self._session = ClientSession(settings, delivered=_nothing_is_sent, open_inbox=self._open_inbox)
        self._connection = BrokerConnection(mqtt, self._session, self, rng=rng, timing=timing)
        self._rotation = Rotation(self._connection, told=self._login_told, rng=rng, timing=timing)
        self.rotate, self.hurry = self._rotation.run, self._connection.hurry
        self.commands.kick = self._connection.kick
        self._inbox: SourceInbox | None = None
        self._record_changed = asyncio.Event()
        self._may_subscribe = False  # the record of what is about to be subscribed is saved
        self._may_read = True
        self._is_connected = False
        self._has_run = False
        self._is_record_lost = False
        self._kept_s: int | None = None
        self._is_expiry_told = False
        self._told: tuple[dict[str, str], dict[str, int]] = ({}, {})

    @property
    def status(self) -> SourceStatus:
        """Where the source is now."""
        connection, tally, subscriptions = self._connection, self._state.tally, self._subscriptions
        inbox = self._inbox
        return SourceStatus(
            state=connection.state,
            reason=connection.reason,
            since_s=connection.since_s,
            version=VERSION_NAMES[self._session.version] if connection.state == "connected" else None,
            received=tally.received,
            events=tally.events,
            joined=tally.joined,
            skipped_retained=tally.skipped_retained,
            looped=tally.looped,
            not_events=tally.not_events,
            unsaved=tally.unsaved,
            unacknowledged=inbox.unacknowledged if inbox is not None else 0,
            is_paused=inbox is not None and inbox.is_paused,
            reconnects=max(0, connection.connections - 1),
            kept_s=self._kept_s,
            subscriptions=len(self._wanted),
            subscribed=subscriptions.subscribed,
            refused=dict(subscriptions.refused),
            lowered=subscriptions.lowered,
            login=self._rotation.problem,
        )

    def reconfigure(self, config: SourceConfig) -> None:
        """From now on by these settings, of which only those differ that may (`fieldgate.config.changes`)."""
        self._rotation.propose(config.broker)

    def _login_told(self, became: Became, reason: str) -> None:
        if became == "changed":
            _log.info("source.login_changed", source=self.name)
            return
        name = "source.login_refused" if became == "refused" else "source.login_not_proven"
        _log.warning(name, source=self.name, reason=reason)

    # -- running ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, subscribe, read, reconnect, until cancelled."""
        if self._has_run:  # a fault of ours ended the last run: nothing of it is trusted
            self._state.forget_session()
        self._has_run = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_record(), name=f"record:{self.name}")
                await self._connection.run()
        except ExceptionGroup as group:  # the supervisor decides by the class of what failed
            raise group.exceptions[0] from group

    def use(self, catalogue: Catalogue) -> None:
        """From now on by these profiles: what is read does not depend on them."""

    async def stop_reading(self) -> None:
        """Read nothing more; acknowledgements still go out as events are settled."""
        self._may_read = False
        self._connection.pause_reading()
        _log.info("source.stopped", source=self.name)

    async def stop(self) -> None:
        """Say DISCONNECT and close; the broker keeps the session."""
        await self._connection.stop()

    async def _keep_record(self) -> None:
        """Save what is subscribed to: before it is asked for, and once it is answered."""
        subscriptions = self._subscriptions
        while True:
            await self._record_changed.wait()
            self._record_changed.clear()
            if not subscriptions.is_saved and self._may_read:
                subscriptions.is_saved = True
                await self._save_record(dict(subscriptions.record))
            if not self._record_changed.is_set():  # else what is to be sent now is not what was saved
                self._may_subscribe = True
                self._connection.kick()

    async def _save_record(self, filters: dict[str, int]) -> None:
        try:
            await self._save(lambda: self._record.save(filters))
            self._is_record_lost = False
        except OSError as error:
            if not self._is_record_lost:
                meaning = "what is taken out of 'subscribe' now may stay subscribed at the broker"
                _log.warning("source.not_noted", source=self.name, problem=str(error), meaning=meaning)
            self._is_record_lost = True

    # -- Throttle ---------------------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """See `Throttle`."""
        self._connection.pause_reading()

    def resume_reading(self) -> None:
        """See `Throttle`."""
        if self._may_read:
            self._connection.resume_reading()

    def kick(self) -> None:
        """See `Throttle`."""
        self._connection.kick()

    # -- ConnectionOwner --------------------------------------------------------------------------------------

    def _open_inbox(self, _version: int, is_session_present: bool) -> SourceInbox:
        if not is_session_present:
            self._state.forget_session()
        inbox = SourceInbox(self, self._state, intake=self._intake, limits=self._limits)
        self._inbox = inbox
        return inbox

    def version_changed(self) -> None:
        """See `ConnectionOwner`."""

    def connected(self, *, is_session_present: bool) -> None:
        """See `ConnectionOwner`."""
        _log.info(
            "source.connected",
            source=self.name,
            version=VERSION_NAMES[self._session.version],
            session_present=is_session_present,
        )
        self._tell_expiry()
        self._is_connected = True
        self.commands.connected(max_packet_bytes=self._session.terms.max_packet_bytes)
        if not self._may_read:
            self._connection.pause_reading()
        self._may_subscribe = False
        self._subscriptions.connected(
            is_session_present=is_session_present, max_packet_bytes=self._session.terms.max_packet_bytes
        )
        self._record_changed.set()

    def happened(self, happening: Rejected | Subscribed | Announced) -> End | None:
        """See `ConnectionOwner`."""
        if isinstance(happening, Announced):
            self.commands.announced(happening)
        if not isinstance(happening, Subscribed):
            return None  # no events are published
        subscriptions = self._subscriptions
        problem = subscriptions.answered(
            happening.packet_id, happening.reasons, version=self._session.version, now_s=clock.boot_s()
        )
        if problem is not None:
            return End(f"the broker broke the protocol: {problem}")
        if not subscriptions.is_saved:
            self._record_changed.set()
        if subscriptions.is_complete:
            self._tell_subscriptions()
        return None

    def fill(self, now_s: float) -> float | None:
        """See `ConnectionOwner`. The connection asks once a second at least; that is often enough for all deadlines."""
        session, subscriptions, inbox = self._session, self._subscriptions, self._inbox
        is_holding = inbox is not None and inbox.has_held
        if inbox is not None and is_holding:
            inbox.retry()
        session.acknowledge(now_s)
        self.commands.fill(session, now_s)
        if subscriptions.retry(now_s, max_packet_bytes=session.terms.max_packet_bytes):
            self._may_subscribe = False
            self._record_changed.set()
        if self._may_subscribe:
            self._ask(now_s)
        if (problem := subscriptions.overdue(now_s)) is not None:
            self._connection.give_up(End(problem))
        return _RETRY_HELD_S if is_holding else None

    def _ask(self, now_s: float) -> None:
        session, subscriptions = self._session, self._subscriptions
        while (ask := subscriptions.next_ask()) is not None:
            if ask.subscribe:
                packet_id = session.subscribe(ask.subscribe, now_s)
            else:
                packet_id = session.unsubscribe(ask.unsubscribe, now_s)
            subscriptions.sent(ask, packet_id, now_s)

    def lost(self, end: End) -> bool:
        """See `ConnectionOwner`."""
        del end
        self.commands.lost()
        self._inbox = None
        was_connected, self._is_connected = self._is_connected, False
        return was_connected and self._subscriptions.is_complete

    def gave_way(self, end: End, *, was_connected: bool, is_news: bool, wait_s: float) -> None:
        """See `ConnectionOwner`."""
        if end.is_at_once:
            _log.info("source.version_changed", source=self.name, reason=end.text)
        elif is_news:
            failed = "source.refused" if end.cause is Cause.REFUSAL else "source.unreachable"
            name = "source.lost" if was_connected else failed
            _log.warning(name, source=self.name, reason=end.text, retry_in_s=round(wait_s, 1))

    def _tell_expiry(self) -> None:
        """Say when the broker keeps the session for less than was asked: a longer outage loses messages."""
        kept_s, wanted_s = self._session.terms.kept_s, self._session.settings.session_expiry_s
        self._kept_s = kept_s if kept_s is not None and kept_s < wanted_s else None
        if self._kept_s is not None and not self._is_expiry_told:
            self._is_expiry_told = True
            _log.warning("source.session_shortened", source=self.name, kept_s=self._kept_s, wanted_s=wanted_s)

    def _tell_subscriptions(self) -> None:
        """Say what the broker does not grant as wanted, when that has changed."""
        subscriptions = self._subscriptions
        refused, lowered = dict(subscriptions.refused), subscriptions.lowered
        if (refused, lowered) == self._told:
            return
        self._told = refused, lowered
        for topic_filter, why in refused.items():
            _log.warning("source.subscription_refused", source=self.name, filter=topic_filter, reason=why)
        for topic_filter, qos in lowered.items():
            _log.warning("source.qos_lowered", source=self.name, filter=topic_filter, qos=qos)


def _settings(mqtt: MqttSourceConfig, *, client_id: str) -> ClientSettings:
    """Who to be at this broker; no events are published there."""
    return msgspec.structs.replace(
        client_settings(mqtt, client_id=client_id, window=0),
        session_expiry_s=math.ceil(mqtt.session_expiry),
        receive_maximum=mqtt.receive_maximum,
        max_packet_bytes=mqtt.max_packet,
    )


def _nothing_is_sent(batch: object, start: int, stop: int) -> None:
    raise AssertionError("a source has published something")
