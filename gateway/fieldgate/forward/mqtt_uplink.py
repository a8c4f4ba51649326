"""One MQTT uplink: connecting, timers and reconnecting around `Pump` and `ClientSession`.

Promises: it never gives up (a refused password may be mended upstream); it never tries again without backoff; what was
sent and not acknowledged is sent again on the next connection, in order. ``status`` says where it is, in words.
Wired by ``pipeline.py``, which calls `kick` when the feed may have something.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog

from fieldgate import clock
from fieldgate.config.model import MqttUplinkConfig, UplinkConfig
from fieldgate.errors import UplinkError
from fieldgate.forward.backoff import Backoff
from fieldgate.forward.connect_errors import connect_problem, is_refusal
from fieldgate.forward.dialler import Dialler
from fieldgate.forward.encode import OsBootOf
from fieldgate.forward.endings import Cause, End, end_of
from fieldgate.forward.mqtt_link import Link
from fieldgate.forward.pump import Pump
from fieldgate.forward.status import UplinkState, UplinkStatus
from fieldgate.forward.uplink import Feed
from fieldgate.forward.version_choice import VersionChoice
from fieldgate.mqtt.client_happenings import Connected, Ended, Happening, Refused, Rejected, reason_text
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings

__all__ = ["MqttUplink", "Timing"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast an uplink tries again; a connection was stable if it lasted ``stable_s`` and made progress."""

    base_s: float = 0.5
    cap_s: float = 60.0
    stable_s: float = 5.0


class MqttUplink:
    """Implements `fieldgate.forward.uplink.Uplink` over MQTT 3.1.1 and 5.

    ``os_boot_of`` answers the OS boot id of a run, for events whose time is not known.
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
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self._config = config.mqtt
        self._feed = feed
        self._timing = timing or Timing()
        settings = _settings(config.mqtt, client_id=f"fieldgate-{gateway}-{name}")
        self._session = ClientSession(settings, delivered=self._delivered)
        self._pump = Pump(config, feed, self._session, gateway=gateway, os_boot_of=os_boot_of)
        self._version = VersionChoice(config.mqtt.version)
        self._dialler = Dialler(config.mqtt)
        self._backoff = Backoff(rng, base_s=self._timing.base_s, cap_s=self._timing.cap_s)
        self._link: Link | None = None
        self._up: asyncio.Future[End | None] | None = None
        self._end: asyncio.Future[End] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at_s = 0.0
        self._is_busy = False
        self._is_stopping = False
        self._has_run = False
        self._state: UplinkState = "connecting"
        self._reason = "not started"
        self._since_s = clock.boot_s()
        self._logged = ""
        self._acked_events = 0
        self._connections = 0

    @property
    def status(self) -> UplinkStatus:
        """Where the uplink is now."""
        session = self._session
        return UplinkStatus(
            state=self._state,
            reason=self._reason,
            since_s=self._since_s,
            version=None if self._state != "connected" else "5" if session.version == 5 else "3.1.1",
            in_flight=len(session.in_flight),
            sent=session.sent,
            acked=self._acked_events,
            retries=session.resent,
            reconnects=max(0, self._connections - 1),
            parked=self._pump.parked,
            stray_acks=session.stray_acks,
            size_bytes=self._pump.size_bytes,
        )

    # -- Uplink -----------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Take and send what the window allows; a fault in that ends `run`, not the caller."""
        link = self._link
        if link is None or self._is_busy or link.is_full or not self._session.is_connected:
            return
        try:
            self._flush(link, clock.boot_s())
        except Exception as error:  # noqa: BLE001  # `run` raises it to the supervisor
            self._fail(error)

    async def run(self) -> None:
        """Connect, send, reconnect, until cancelled."""
        if self._has_run:  # a fault of ours ended the last run: nothing of it is trusted
            self._pump.start_over()
        self._has_run = True
        while True:
            end = await self._live_once()
            if self._is_stopping:
                break
            if end.is_at_once:
                _log.info("uplink.version_changed", uplink=self.name, reason=end.text)
            else:
                await asyncio.sleep(self._give_way(end))
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Say DISCONNECT and close; what is in flight is sent again by the next process."""
        self._is_stopping = True
        link = self._link
        self._finish(End("stopped"))
        self._drop_link()
        if link is not None:
            await asyncio.wait([link.closed])

    # -- one connection ---------------------------------------------------------------------------------------

    async def _live_once(self) -> End:
        """Connect, and stay connected as long as it lasts; return why it is over."""
        loop = asyncio.get_running_loop()
        self._up, self._end = loop.create_future(), loop.create_future()
        self._enter("connecting", self._logged)
        try:
            end = await self._connect(self._up)
            if end is not None:
                return end
            began_s = clock.boot_s()
            while not self._end.done():
                await asyncio.wait([self._end], timeout=self._session.poll_interval_s)
                self._poll()
            end = self._end.result()
        finally:
            self._drop_link()
            self._feed.is_down(True)
        has_progress = self._pump.lost(is_by_server=end.cause is Cause.SERVER)
        is_stable = has_progress and clock.boot_s() - began_s >= self._timing.stable_s
        if is_stable and not end.is_takeover:
            self._backoff.reset()
        return end

    async def _connect(self, up: asyncio.Future[End | None]) -> End | None:
        """Open a connection and wait for its CONNACK; return None, or why it did not come about."""
        config = self._config
        try:
            async with asyncio.timeout(config.connect_timeout):
                await self._dialler.open(self)
                return await up
        except (OSError, UplinkError) as error:
            host, port, wall_ns = config.host, config.port, clock.wall_ns()
            text = connect_problem(error, host=host, port=port, wall_ns=wall_ns, in_tls=config.is_tls)
            went_silent = isinstance(error, TimeoutError) and self._link is not None  # some answer an unknown level so
            is_at_once = went_silent and self._version.closed()
            return End(text, Cause.REFUSAL if is_refusal(error) else Cause.OTHER, is_at_once=is_at_once)

    def _finish(self, end: End) -> None:
        """The connection is over; `_live_once` goes on from here."""
        if self._up is not None and not self._up.done():
            self._up.set_result(end)
        if self._end is not None and not self._end.done():
            self._end.set_result(end)

    def _fail(self, error: Exception) -> None:
        """A fault of ours: `run` raises it."""
        for future in (self._up, self._end):
            if future is not None and not future.done():
                future.set_exception(error)
                return

    def _drop_link(self) -> None:
        """Say goodbye where that is possible, and close."""
        link, self._link = self._link, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if link is not None:
            self._session.disconnect(clock.boot_s())
            link.write(self._session.output())
            link.close()
        self._session.closed()

    def _give_way(self, end: End) -> float:
        """Say that there is no connection and why; return how long to wait."""
        wait_s = self._backoff.next_s()
        was_connected = self._state == "connected"
        state: UplinkState = "refused" if end.cause is Cause.REFUSAL else "backoff"
        self._enter(state, end.text)
        if was_connected or end.text != self._logged:  # else the same as last time
            failed = "uplink.refused" if state == "refused" else "uplink.unreachable"
            name = "uplink.lost" if was_connected else failed
            _log.warning(name, uplink=self.name, reason=end.text, retry_in_s=round(wait_s, 1))
            self._logged = end.text
        return wait_s

    def _enter(self, state: UplinkState, reason: str) -> None:
        if (state == "connected") != (self._state == "connected"):
            self._since_s = clock.boot_s()
        self._state, self._reason = state, reason

    # -- LinkOwner --------------------------------------------------------------------------------------------

    def link_made(self, link: Link) -> None:
        """Send CONNECT."""
        self._link = link
        if self._is_stopping:
            self._finish(End("stopped"))
            self._drop_link()
            return
        level = self._version.level
        if level != self._session.version:  # what was encoded for the other version is encoded again
            self._pump.start_over()
        self._session.connect(level, clock.boot_s())
        link.write(self._session.output())

    def link_received(self, link: Link, chunk: bytes) -> None:
        """PUBACKs, mostly; what they free is filled again at once."""
        if link is not self._link:
            return
        now_s = clock.boot_s()
        self._is_busy = True
        try:
            happenings = self._session.received(chunk, now_s)
            if happenings:
                self._take(happenings)
            self._pump.acknowledged()
            if not self._flush(link, now_s) and self._session.in_flight.sent_count:
                link.hurry()
        except Exception as error:  # noqa: BLE001  # `run` raises it to the supervisor
            self._fail(error)
        finally:
            self._is_busy = False

    def link_writable(self, link: Link) -> None:
        """Go on where the network was full."""
        if link is self._link:
            self.kick()

    def link_lost(self, link: Link, error: Exception | None) -> None:
        """The socket is closed, not by us."""
        if link is not self._link:
            return
        host, port = self._config.host, self._config.port
        text = f"{host}:{port} closed the connection"
        if error is not None:
            text = connect_problem(error, host=host, port=port, wall_ns=clock.wall_ns())
        if self._up is not None and not self._up.done():
            level = self._version.level
            is_at_once = self._version.closed()
            self._finish(End(f"{text} instead of answering CONNECT in MQTT {_NAMES[level]}", is_at_once=is_at_once))
            return
        by_server = error is None or isinstance(error, ConnectionResetError | BrokenPipeError)
        self._finish(End(text, Cause.SERVER if by_server else Cause.OTHER))

    # -- happenings -------------------------------------------------------------------------------------------

    def _take(self, happenings: Sequence[Happening]) -> None:
        must_pause: Rejected | None = None
        for happening in happenings:
            match happening:
                case Connected():
                    self._connected(is_session_present=happening.is_session_present)
                case Refused():
                    self._finish(self._refused(happening))
                case Rejected():
                    if self._pump.rejected(happening):
                        must_pause = happening
                case Ended():
                    self._finish(end_of(happening, version=self._session.version))
                case _:
                    pass  # an uplink subscribes to nothing
        if must_pause is not None:
            self._session.disconnect(clock.boot_s())
            self._finish(End(f"the server refuses a message for now: {reason_text(must_pause.reason)}"))

    def _connected(self, *, is_session_present: bool) -> None:
        self._version.accepted()
        self._connections += 1
        self._logged = ""
        self._enter("connected", "")
        self._pump.connected(is_session_present=is_session_present)
        _log.info(
            "uplink.connected",
            uplink=self.name,
            version=_NAMES[self._session.version],
            session_present=is_session_present,
            in_flight=len(self._session.in_flight),
        )
        if self._up is not None and not self._up.done():
            self._up.set_result(None)
        self._feed.is_down(False)

    def _refused(self, refused: Refused) -> End:
        if refused.is_version and self._version.refused():
            return End(refused.text, is_at_once=True)
        return end_of(refused, version=self._session.version)

    def _delivered(self, batch: object, start: int, stop: int) -> None:
        self._acked_events += stop - start
        self._feed.delivered(batch, start, stop)

    # -- sending ----------------------------------------------------------------------------------------------

    def _flush(self, link: Link, now_s: float) -> bool:
        """Fill the window, and write everything that is to be written, at once; return whether that was anything."""
        wait_s = None
        if not link.is_full and not self._is_stopping:
            was_busy, self._is_busy = self._is_busy, True
            try:
                wait_s = self._pump.fill(now_s)
            finally:
                self._is_busy = was_busy
        packets = self._session.output()
        link.write(packets)
        if wait_s is not None:
            self._wake_in(wait_s)
        return bool(packets)

    def _wake_in(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        wakes_at_s = loop.time() + wait_s
        if self._timer is not None:
            if self._wakes_at_s <= wakes_at_s:
                return
            self._timer.cancel()
        self._wakes_at_s = wakes_at_s  # kept here: for a time that has come uvloop gives a handle that knows none
        self._timer = loop.call_later(wait_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.kick()

    def _poll(self) -> None:
        link = self._link
        if link is None:
            return
        now_s = clock.boot_s()
        self._take(self._session.poll(now_s))
        self._flush(link, now_s)


_NAMES: Final = {4: "3.1.1", 5: "5"}


def _settings(config: MqttUplinkConfig, *, client_id: str) -> ClientSettings:
    return ClientSettings(
        client_id=config.client_id or client_id,
        username=None if config.username is None else config.username.reveal(),
        password=None if config.password is None else config.password.reveal().encode(),
        keep_alive_s=math.ceil(config.keep_alive),
        window=config.window,
        puback_timeout_s=config.puback_timeout,
    )
