"""One MQTT uplink: `Pump` decides what is sent, `BrokerConnection` keeps the connection, this joins and reports them.

Promise: what was sent and not acknowledged is sent again on the next connection, in order. ``status`` says where the
uplink is, in words. Wired by ``pipeline.py``, which calls `kick` when the feed may have something.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Literal

import msgspec
import structlog

from fieldgate import clock
from fieldgate.config.uplink import MqttUplinkConfig, UplinkConfig
from fieldgate.forward.encode import OsBootOf
from fieldgate.forward.expiry import Expiry
from fieldgate.forward.home_assistant import HomeAssistant
from fieldgate.forward.presence import Presence
from fieldgate.forward.pump import Pump
from fieldgate.forward.status import UplinkStatus
from fieldgate.forward.uplink import Feed
from fieldgate.forward.uplink_memory import UplinkMemory
from fieldgate.mqtt.client_happenings import Announced, Rejected, Subscribed, reason_text, says
from fieldgate.mqtt.client_inbox import ClientInbox
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.endings import Cause, End
from fieldgate.mqtt.framing import packet_size
from fieldgate.mqtt.packets import Publish, Reason
from fieldgate.net.broker_connection import VERSION_NAMES, BrokerConnection, Timing
from fieldgate.net.login import client_settings
from fieldgate.net.rotation import Became, Rotation

if TYPE_CHECKING:
    from fieldgate.forward.command_port import CommandPort

__all__ = ["MqttUplink"]

_log = structlog.get_logger()


class MqttUplink:
    """Implements `fieldgate.forward.uplink.Uplink` over MQTT 3.1.1 and 5.

    ``os_boot_of`` answers the OS boot id of a run, for events whose time is not known; ``expiry`` says when events end,
    for ``honour_expiry``; ``home_assistant`` what is told beside the events, ``commands`` what is heard,
    ``memory`` what the server may keep.
    """

    def __init__(
        self,
        name: str,
        config: UplinkConfig,
        feed: Feed,
        *,
        gateway: str,
        rng: Random,
        os_boot_of: OsBootOf = lambda _run: None,
        run: int = 0,
        expiry: Expiry | None = None,
        home_assistant: HomeAssistant | None = None,
        timing: Timing | None = None,
        commands: CommandPort | None = None,
        memory: UplinkMemory | None = None,
    ) -> None:
        self.name = name
        self._feed = feed
        mqtt = _spoken(config)
        self._presence: Presence | None = None
        if mqtt.status_topic != "off":
            self._presence = Presence(mqtt.status_topic, gateway=gateway, uplink=name, run=run)
        settings = client_settings(
            mqtt,
            client_id=f"fieldgate-{gateway}-{name}",
            window=mqtt.window,
            puback_timeout_s=mqtt.puback_timeout,
            will=self._presence.will() if self._presence is not None else None,
        )
        if commands is not None:
            settings = msgspec.structs.replace(settings, receive_maximum=commands.receive_maximum)
        open_inbox = None if commands is None else self._open_inbox
        self._session = ClientSession(settings, delivered=self._delivered, open_inbox=open_inbox)
        timing = timing or Timing()
        self._pump = Pump(
            config,
            feed,
            self._session,
            gateway=gateway,
            os_boot_of=os_boot_of,
            rng=rng,
            expiry=expiry if config.honour_expiry else None,
            retry_base_s=timing.base_s,
            retry_cap_s=timing.cap_s,
        )
        self._connection = BrokerConnection(mqtt, self._session, self, rng=rng, timing=timing)
        self._rotation = Rotation(self._connection, told=self._login_told, rng=rng, timing=timing)
        self.rotate = self._rotation.run
        self.kick, self.hurry = self._connection.kick, self._connection.hurry
        self._commands = commands
        if commands is not None:
            commands.changed = self.kick
            commands.read_on = self._read_on
        self._memory = memory
        if memory is not None:
            if memory.is_outdated:
                self._session.forget()
            if commands is not None:
                commands.heard = memory.heard
        self.home_assistant = home_assistant
        self._telling = 0  # packet id of the discovery that waits for its PUBACK
        self._is_discovery_refused = False
        self._has_run = False
        self._acked_events = 0
        self._is_birth_refused = False

    @property
    def status(self) -> UplinkStatus:
        """Where the uplink is now."""
        session, connection = self._session, self._connection
        return UplinkStatus(
            state=connection.state,
            reason=connection.reason,
            quiet=self._pump.quiet(clock.boot_s()) if connection.state == "connected" else "",
            since_s=connection.since_s,
            version=VERSION_NAMES[session.version] if connection.state == "connected" else None,
            in_flight=len(session.in_flight),
            sent=session.sent,
            acked=self._acked_events,
            retries=session.resent,
            reconnects=max(0, connection.connections - 1),
            parked=self._pump.parked,
            stray_acks=session.stray_acks,
            size_bytes=self._pump.size_bytes,
            commands=None if self._commands is None else self._commands.status,
            login=self._rotation.problem,
        )

    # -- Uplink -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, send, reconnect, until cancelled."""
        if self._has_run:  # a fault of ours ended the last run: nothing of it is trusted
            self._pump.start_over()
        self._has_run = True
        if self._commands is not None:
            self._commands.join()
        if self._memory is None:
            await self._connection.run()
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._memory.run(), name=f"record:{self.name}")
                await self._connection.run()
        except ExceptionGroup as group:  # the supervisor decides by the class of what failed
            raise group.exceptions[0] from group

    async def stop(self) -> None:
        """Say that it is offline and DISCONNECT; what is in flight is sent again by the next process."""
        if self._memory is not None and self._connection.state == "connected":
            self._memory.stop()
        is_told = self._announce("offline")
        await self._connection.stop(reason=Reason.SUCCESS if is_told else Reason.DISCONNECT_WITH_WILL)

    def reconfigure(self, config: UplinkConfig) -> None:
        """From now on by these settings, of which only those differ that may (`fieldgate.config.changes`)."""
        self._pump.pace.use(config.rate)
        self._rotation.propose(_spoken(config))

    def _login_told(self, became: Became, reason: str) -> None:
        if became == "changed":
            _log.info("uplink.login_changed", uplink=self.name)
            return
        name = "uplink.login_refused" if became == "refused" else "uplink.login_not_proven"
        _log.warning(name, uplink=self.name, reason=reason)

    def _open_inbox(self, _version: int, is_session_present: bool) -> ClientInbox:
        assert self._commands is not None
        return self._commands.open_inbox(self._session, is_session_present=is_session_present)

    def _read_on(self, is_reading: bool) -> None:
        if is_reading:
            self._connection.resume_reading()
        else:
            self._connection.pause_reading()

    # -- ConnectionOwner --------------------------------------------------------------------------------------

    def version_changed(self) -> None:
        """What was encoded for the other version is encoded again."""
        self._pump.start_over()

    def connected(self, *, is_session_present: bool) -> None:
        """See `ConnectionOwner`."""
        self._pump.connected(is_session_present=is_session_present)
        _log.info(
            "uplink.connected",
            uplink=self.name,
            version=VERSION_NAMES[self._session.version],
            session_present=is_session_present,
            in_flight=len(self._session.in_flight),
        )
        self._telling = 0
        if self._commands is not None:
            self._commands.connected()
        if self._memory is not None:
            self._memory.connected()
        self._announce("online")
        if self.home_assistant is not None:
            self.home_assistant.begin()
        self._feed.is_down(False)

    def happened(self, happening: Rejected | Subscribed | Announced) -> None:
        """See `ConnectionOwner`."""
        if isinstance(happening, Rejected):
            self._pump.rejected(happening, clock.boot_s())
        elif isinstance(happening, Announced):
            self._answered(happening)
        elif self._commands is not None:
            self._commands.subscribed(happening, version=self._session.version, now_s=clock.boot_s())

    def _answered(self, happening: Announced) -> None:
        """The server has taken, or refused, a message that is no event."""
        if self._commands is not None and self._commands.announced(happening, clock.boot_s()):
            return
        was_telling = happening.packet_id == self._telling
        if was_telling:
            self._telling = 0
            if self.home_assistant is not None:
                self.home_assistant.answered()
        if happening.reason >= Reason.UNSPECIFIED_ERROR:
            self._refused(happening, is_discovery=was_telling)

    def _announce(self, state: Literal["online", "offline"]) -> bool:
        """Say on the status topic, where there is one, how it is; return whether nothing is left to be said."""
        if self._presence is None:
            return True
        message = self._presence.message(
            state,
            wall_ns=clock.wall_ns(),
            is_synced=clock.is_synced(),
            is_retained=self._session.terms.is_retain_available,
        )
        return self._session.announce(message, clock.boot_s()) > 0

    def _refused(self, answer: Announced, *, is_discovery: bool) -> None:
        """Events are not held up by that; it is said once."""
        why = reason_text(answer.reason) + says(answer.text)
        if is_discovery:
            if not self._is_discovery_refused:
                self._is_discovery_refused = True
                _log.warning("uplink.discovery_refused", uplink=self.name, reason=why)
        elif not self._is_birth_refused and self._presence is not None:
            self._is_birth_refused = True
            _log.warning("uplink.status_refused", uplink=self.name, topic=self._presence.topic, reason=why)

    def _discover(self, discovery: HomeAssistant, now_s: float) -> None:
        """Tell Home Assistant of the next field, if there is one, room for it, and nothing else waits."""
        session = self._session
        if self._telling or not discovery.is_behind or not self._pump.may_add(now_s):
            return
        limit = session.terms.max_packet_bytes
        while (message := discovery.next()) is not None:
            topic, payload = message
            if limit is None or packet_size(topic.encode(), b"", payload) + 2 <= limit:
                publish = Publish(topic, payload, qos=1, retain=session.terms.is_retain_available)
                self._telling = session.announce(publish, now_s)
                return

    def fill(self, now_s: float) -> float | None:
        """See `ConnectionOwner`."""
        wait_s = None if self._commands is None else self._commands.fill(self._session, now_s)
        self._pump.acknowledged()
        if self.home_assistant is not None:
            self._discover(self.home_assistant, now_s)
        pump_wait_s = self._pump.fill(now_s)
        if wait_s is None or pump_wait_s is None:
            return pump_wait_s if wait_s is None else wait_s
        return min(wait_s, pump_wait_s)

    def lost(self, end: End) -> bool:
        """See `ConnectionOwner`."""
        self._pump.acknowledged()
        self._feed.is_down(True)
        convicted = self._pump.convicted
        is_by_server = end.cause is Cause.SERVER
        if self._commands is not None and self._commands.lost(self._session, end, clock.boot_s()):
            is_by_server = False  # no event is to be suspected of it
        has_progress = self._pump.lost(is_by_server=is_by_server, is_too_large=end.is_too_large)
        if self._pump.convicted > convicted:
            self._connection.mended()
        return has_progress

    def gave_way(self, end: End, *, was_connected: bool, is_news: bool, wait_s: float) -> None:
        """See `ConnectionOwner`."""
        if end.is_at_once:
            _log.info("uplink.version_changed", uplink=self.name, reason=end.text)
        elif is_news:
            failed = "uplink.refused" if end.cause is Cause.REFUSAL else "uplink.unreachable"
            name = "uplink.lost" if was_connected else failed
            _log.warning(name, uplink=self.name, reason=end.text, retry_in_s=round(wait_s, 1))

    def _delivered(self, batch: object, start: int, stop: int) -> None:
        self._acked_events += stop - start
        self._feed.delivered(batch, start, stop)


def _spoken(config: UplinkConfig) -> MqttUplinkConfig:
    """The broker, in the version that the format needs: 3.1.1 cannot carry the attributes of binary events."""
    mqtt = config.broker
    return mqtt.model_copy(update={"version": "5"}) if config.format == "cloudevents-binary" else mqtt
