"""Keep one MQTT client session connected: dial, CONNECT, watch, and try again after a pause.

Promises: it never gives up (a refused password may be mended on the far side), it never tries again without backoff,
and ``state`` and ``reason`` say where it is, in words. What is sent and what is made of it is the owner's, an uplink
or a source; the owner is called on the event loop, never while it is being called.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from fieldgate import clock
from fieldgate.config.broker import BrokerConfig
from fieldgate.errors import UplinkError
from fieldgate.mqtt.client_happenings import Announced, Connected, Ended, Happening, Refused, Rejected, Subscribed
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.endings import Cause, End, end_of
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.version_choice import VersionChoice
from fieldgate.net.backoff import Backoff
from fieldgate.net.connection_terms import VERSION_NAMES, ConnectionOwner, ConnectionState, Timing
from fieldgate.net.dialler import Dialler
from fieldgate.net.link import Link
from fieldgate.net.login import Login, login_of
from fieldgate.net.login_proof import LoginProof
from fieldgate.net.refusals import ClosedByServer
from fieldgate.net.takeover import TakeoverWatch

__all__ = ["VERSION_NAMES", "BrokerConnection", "ConnectionState", "Timing"]

_GOODBYE_S: Final = 0.5


class BrokerConnection:
    """One session's connections, one at a time. ``since_s`` (boot time): since when it is connected, or is not."""

    def __init__(
        self,
        config: BrokerConfig,
        session: ClientSession,
        owner: ConnectionOwner,
        *,
        rng: Random,
        timing: Timing | None = None,
    ) -> None:
        self.state: ConnectionState = "connecting"
        self.reason = "not started"
        self.since_s = clock.boot_s()
        self.connections = 0
        self._session = session
        self._owner = owner
        self._timing = timing or Timing()
        self._version = VersionChoice(config.version)
        self._set(config)
        self._is_leaving = False  # to come back at once: nothing new is sent
        self._backoff = Backoff(rng, base_s=self._timing.base_s, cap_s=self._timing.cap_s)
        self._takeover = TakeoverWatch(session.settings.client_id)
        self._link: Link | None = None
        self._up: asyncio.Future[End | None] | None = None
        self._end: asyncio.Future[End] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at_s = 0.0
        self._is_busy = False
        self._is_stopping = False
        self._last_reason = ""
        self.standstill = asyncio.Lock()  # held while no new connection may be made
        self._rest: asyncio.Timeout | None = None  # between two connections

    def _set(self, config: BrokerConfig) -> None:
        settings = self._session.settings
        self._config = config
        self._dialler = Dialler(config, max_packet_bytes=settings.max_packet_bytes)
        self._login = Login(config, client_id=settings.client_id)

    # -- what the owner calls ---------------------------------------------------------------------------------

    def kick(self) -> None:
        """Let the owner fill the connection, if there is one with room; a fault in that ends `run`, not the caller."""
        link = self._link
        if link is None or self._is_busy or link.is_full or not self._session.is_connected:
            return
        try:
            self._flush(link, clock.boot_s())
        except Exception as error:  # noqa: BLE001  # `run` raises it to the supervisor
            self._fail(error)

    def pause_reading(self) -> None:
        """Read nothing more for now; the connection is kept alive. The next one begins with reading."""
        if self._link is not None:
            self._link.pause()
            self._session.set_reading(False, clock.boot_s())

    def resume_reading(self) -> None:
        """Read on."""
        if self._link is not None:
            self._session.set_reading(True, clock.boot_s())
            self._link.resume()

    def give_up(self, end: End) -> None:
        """Leave the server alone for a while."""
        self._session.disconnect(clock.boot_s())
        self._finish(end)

    def mended(self) -> None:
        """What ended the last connections will not come again: the next failure is the first one."""
        self._backoff.reset()

    async def run(self) -> None:
        """Connect and reconnect, until cancelled."""
        while True:
            end = await self._live_once()
            if self._is_stopping:
                break
            await self._pause(end)
        await asyncio.Event().wait()

    async def _pause(self, end: End) -> None:
        """Wait for as long as the server is to be left alone, or until there is another login."""
        try:
            async with asyncio.timeout(None) as self._rest:
                await self._login.pause(self._give_way(end))
        except TimeoutError:
            self._backoff.reset()
        finally:
            self._rest = None
        async with self.standstill:
            pass

    async def stop(self, *, reason: int = Reason.SUCCESS) -> None:
        """Say DISCONNECT (in MQTT 5 with ``reason``) and close, once the server has; it gets a moment for that."""
        self._is_stopping = True
        link = self._link
        if link is not None:
            self._session.disconnect(clock.boot_s(), reason)
            link.write(self._session.output())
            self._link = None
            link.finish()
        self._finish(End("stopped"))
        if link is not None:
            await asyncio.wait([link.closed], timeout=_GOODBYE_S)
            link.close()
            await asyncio.wait([link.closed])

    # -- another login: see `fieldgate.net.rotation` ----------------------------------------------------------

    def proof_of(self, config: BrokerConfig) -> LoginProof | None:
        """Return what finds out whether ``config`` is good; None where the connection that is there is made by it."""
        is_current = config == self._config and not (self.state == "connected" and self._dialler.is_outdated)
        return None if is_current else LoginProof(config, self._session.settings, level=self._version.level)

    def use(self, config: BrokerConfig) -> None:
        """From now on connect by ``config``, and at once, in place of the connection that is there."""
        self._set(config)
        self._session.settings = login_of(config, self._session.settings)
        self._finish(End("back with another login", is_renewal=True))
        self.hurry()

    def hurry(self) -> None:
        """Try again now, if that is waited for."""
        if self._rest is not None:
            self._rest.reschedule(asyncio.get_running_loop().time())

    # -- one connection ---------------------------------------------------------------------------------------

    async def _live_once(self) -> End:
        """Connect, and stay connected as long as it lasts; return why it is over."""
        loop = asyncio.get_running_loop()
        self._up, self._end = loop.create_future(), loop.create_future()
        self._enter("connecting", self._last_reason)
        end = End("the gateway stops")
        began_s, acked = math.inf, self._session.acked
        try:
            refused = await self._connect(self._up)
            if refused is not None:
                end = refused
                return end
            began_s = clock.boot_s()
            while not (await asyncio.wait([self._end], timeout=self._session.poll_interval_s))[0]:
                self._poll()
            is_fruitless = self._session.in_flight.sent_count > 0 and self._session.acked == acked
            lasted_s, acked = clock.boot_s() - began_s, self._session.acked
            end = self._takeover.ended(self._end.result(), lasted_s=lasted_s, acked=acked, is_fruitless=is_fruitless)
        finally:
            self._drop_link()
            has_progress = self._owner.lost(end)
        is_stable = has_progress and clock.boot_s() - began_s >= self._timing.stable_s
        if is_stable and not end.is_takeover:
            self._backoff.reset()
        return end

    async def _connect(self, up: asyncio.Future[End | None]) -> End | None:
        """Open a connection and wait for its CONNACK; return None, or why it did not come about."""
        try:
            self._login.check()
            async with asyncio.timeout(self._config.connect_timeout):
                await self._dialler.open(self)
                return await up
        except (OSError, UplinkError) as error:
            text, is_refusal = self._dialler.problem(error), self._dialler.is_refusal(error)
            went_silent = isinstance(error, TimeoutError) and self._link is not None  # some answer an unknown level so
            is_at_once = went_silent and self._version.closed()
            return End(text, Cause.REFUSAL if is_refusal else Cause.OTHER, is_at_once=is_at_once)

    def _finish(self, end: End) -> None:
        """The connection is over; `_live_once` goes on from here."""
        if self.standstill.locked():  # because a proof has our client id
            end = replace(end, is_renewal=True, is_takeover=False)
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
        if end.is_renewal:
            return 0.0
        if end.is_at_once:
            self._owner.gave_way(end, was_connected=False, is_news=True, wait_s=0.0)
            return 0.0
        wait_s = self._backoff.next_s()
        was_connected = self.state == "connected"
        self._enter("refused" if end.cause is Cause.REFUSAL else "backoff", end.text)
        is_news = was_connected or end.text != self._last_reason
        self._last_reason = end.text
        self._owner.gave_way(end, was_connected=was_connected, is_news=is_news, wait_s=wait_s)
        return wait_s

    def _enter(self, state: ConnectionState, reason: str) -> None:
        if (state == "connected") != (self.state == "connected"):
            self.since_s = clock.boot_s()
        self.state, self.reason = state, reason

    # -- LinkOwner --------------------------------------------------------------------------------------------

    def link_made(self, link: Link) -> None:
        """Send CONNECT."""
        self._link = link
        if self._is_stopping:
            self._finish(End("stopped"))
            self._drop_link()
            return
        try:
            self._begin(clock.boot_s())
            link.write(self._session.output())
        except Exception as error:  # noqa: BLE001  # `run` raises it to the supervisor
            self._fail(error)

    def _begin(self, now_s: float) -> None:
        """Begin a connection of the session, in the version that is to be tried."""
        level = self._version.level
        if level != self._session.version:
            self._owner.version_changed()
        self._is_leaving = False
        self._session.settings = self._login.renewed(self._session.settings, now_s)
        self._session.connect(level, now_s)

    def link_received(self, link: Link, chunk: bytes) -> None:
        """What it frees is filled again at once."""
        if link is not self._link:
            return
        now_s = clock.boot_s()
        self._is_busy = True
        try:
            happenings = self._session.received(chunk, now_s)
            if happenings:
                self._take(happenings)
            if not self._flush(link, now_s) and self._session.in_flight.sent_count:
                link.hurry()
            if self._is_leaving:
                self._leave(now_s)
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
        fault = ClosedByServer(f"{self._dialler.broker} closed the connection") if error is None else error
        text, is_refusal = self._dialler.problem(fault), self._dialler.is_refusal(fault)
        if self._up is not None and not self._up.done():
            level = self._version.level
            is_at_once = not is_refusal and self._version.closed()
            cause = Cause.REFUSAL if is_refusal else Cause.OTHER
            if not is_refusal:
                text = f"{text} instead of answering CONNECT in MQTT {VERSION_NAMES[level]}{self._dialler.tls_hint}"
            self._finish(End(text, cause, is_at_once=is_at_once))
            return
        by_server = isinstance(fault, ConnectionResetError | BrokenPipeError)
        self._finish(End(text, Cause.SERVER if by_server else Cause.OTHER))

    # -- happenings -------------------------------------------------------------------------------------------

    def _take(self, happenings: Sequence[Happening]) -> None:
        pause: End | None = None
        for happening in happenings:
            match happening:
                case Connected():
                    self._connected(is_session_present=happening.is_session_present)
                case Refused():
                    self._finish(self._refused(happening))
                case Ended():
                    self._finish(end_of(happening, version=self._session.version))
                case Rejected() | Subscribed() | Announced():
                    if isinstance(happening, Rejected | Announced) and happening.reason == Reason.NOT_AUTHORIZED:
                        self._takeover.denied(acked=self._session.acked)
                    pause = self._owner.happened(happening) or pause
        if pause is not None:
            self.give_up(pause)

    def _connected(self, *, is_session_present: bool) -> None:
        self._version.accepted()
        self.connections += 1
        self._last_reason = ""
        self._enter("connected", "")
        if self._up is not None and not self._up.done():
            self._up.set_result(None)
        self._owner.connected(is_session_present=is_session_present)

    def _refused(self, refused: Refused) -> End:
        if refused.is_version and self._version.refused():
            return End(refused.text, is_at_once=True)
        return self._login.refused(end_of(refused, version=self._session.version), reason=refused.reason)

    # -- sending ----------------------------------------------------------------------------------------------

    def _flush(self, link: Link, now_s: float) -> bool:
        """Let the owner fill, and write everything that is to be written; return whether that was anything."""
        wait_s = None
        if not link.is_full and not self._is_stopping and not self._is_leaving and self._session.is_connected:
            was_busy, self._is_busy = self._is_busy, True
            try:
                wait_s = self._owner.fill(now_s)
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
        if self._login.is_due(now_s):
            self._leave(now_s)

    def _leave(self, now_s: float) -> None:
        """Leave, to come back with a new password, once everything sent is acknowledged: no copy need follow then."""
        self._is_leaving = True
        if not self._session.in_flight.sent_count or self._login.is_late(now_s):
            self._finish(End("the password ends soon: back with the next one", is_renewal=True))
