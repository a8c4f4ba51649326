"""One Modbus bus or server whose units are read: `Schedule` says who is asked what, a `Channel` asks, this joins them.

Promise: each complete poll of a unit is one message, handed over once; a poll that failed is none. A unit that does not
answer costs the others next to nothing, and a bus that is away is back within seconds of its return. While nothing can
be stored nothing is polled. ``status`` says where the source and each unit are; the log has one line per change.

The order of a clean stop is the caller's: `stop_reading`, everything handed over is settled, then `stop`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Final

import msgspec
import structlog
from xxhash import xxh3_64_intdigest

from fieldgate import clock
from fieldgate.config.modbus import ModbusUnitConfig
from fieldgate.config.source import SourceConfig
from fieldgate.ingest.modbus_dialogue import Channel, ChannelDown
from fieldgate.ingest.modbus_plan import PlannedUnit, plan_units
from fieldgate.ingest.modbus_schedule import Ask, Reading, Schedule
from fieldgate.ingest.modbus_status import ModbusStatus, UnitStatus
from fieldgate.ingest.modbus_unit import UnitState, exception_name
from fieldgate.ingest.modbus_wire import Bad, Refused, Words
from fieldgate.ingest.source import Intake, Received
from fieldgate.net.backoff import Backoff
from fieldgate.net.broker_connection import ConnectionState
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Lane
from fieldgate_devices.modbus import Register, Write

__all__ = ["ModbusSource", "WriteOutcome"]

_LOOK_AGAIN_S: Final = 0.25  # whether the intake is open
_RETRY_BASE_S: Final = 0.25
_RETRY_CAP_S: Final = 2.0
_MODBUS: Final = "modbus/"
_MAY_BE_DONE: Final = frozenset({5, 11})  # it takes its time; a gateway heard nothing of the unit

_log = structlog.get_logger("fieldgate")
_encode = msgspec.json.Encoder().encode

WriteOutcome = Callable[[str, bool], None]
"""Told what became of a write: why it failed, empty if it did not, and whether it may have been carried out."""


class ModbusSource:
    """One entry of ``sources`` with ``modbus``. Implements `Settler`."""

    def __init__(
        self,
        config: SourceConfig,
        intake: Intake,
        *,
        catalogue: Catalogue,
        make_channel: Callable[[], Channel],
        rng: Random,
    ) -> None:
        assert config.modbus is not None
        self.name = self.source = config.name
        self._config = config.modbus
        self._intake = intake
        self._lane = Lane[config.lane.upper()]
        self._make_channel = make_channel
        self._backoff = Backoff(rng, base_s=_RETRY_BASE_S, cap_s=_RETRY_CAP_S)
        self._state: ConnectionState = "connecting"
        self._reason = "not started"
        self._since_s = clock.boot_s()
        self._channel: Channel | None = None
        self._connections = 0
        self._position = 0
        self._held: list[Received] = []
        self._unsettled = 0
        self._may_read = True
        self._is_stopping = self._has_run = False
        self._is_paused = False
        self._is_doubted = False  # nothing came of the last connection
        self._changed = asyncio.Event()
        self._down: ChannelDown | None = None
        self._told: dict[int, dict[str, str]] = {}  # what of each unit was said of the registers that it refuses
        self._plan = plan_units(self._config, self.name, catalogue)
        self._schedule = self._scheduled()

    def use(self, catalogue: Catalogue) -> None:
        """From now on by these profiles; where none of the units is concerned, nothing changes."""
        plan = plan_units(self._config, self.name, catalogue)
        if plan == self._plan:
            return
        self._plan = plan
        self._start_anew()
        self._told.clear()
        self._changed.set()

    def _start_anew(self) -> None:
        """Read all units by the plan, from the beginning; what is to be written stays what is to be written."""
        writes = {one.plan.device: one.writes for one in self._schedule.units}
        self._schedule = self._scheduled()
        for unit in self._schedule.units:
            unit.writes = writes[unit.plan.device]  # the same queue: `write` may still take something back

    def _scheduled(self) -> Schedule:
        for one in self._plan:
            if one.problem:
                _log.warning("modbus.unit_not_read", source=self.name, unit=one.plan.number, reason=one.problem)
        return Schedule(
            [one.plan for one in self._plan],
            in_flight=1 if self._config.is_bus else self._config.in_flight,
            retries=self._config.retries,
            asks_at_most_s=self._config.silent_retry,
            now_s=clock.boot_s(),
        )

    # -- Settler ------------------------------------------------------------------------------------------------------

    def settled(self, first: int, count: int) -> None:
        """See `Settler`."""
        del first
        self._unsettled -= count

    def flush(self) -> None:
        """See `Settler`: there is nobody to tell."""

    # -- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, ask, reconnect, until cancelled."""
        if self._has_run:  # a fault of ours ended the last run: nothing is on its way any more
            self._start_anew()
        self._has_run = True
        channel = self._channel = self._make_channel()
        try:
            while not self._is_stopping:
                try:
                    await channel.open()
                except ChannelDown as problem:
                    await asyncio.sleep(self._away(problem))
                    continue
                self._opened(channel)
                await self._serve(channel)
                if not self._is_stopping:
                    await asyncio.sleep(self._away(self._down or ChannelDown("the connection is over")))
            await asyncio.Event().wait()  # until it is cancelled: what ends by itself would be started again
        except ExceptionGroup as group:  # the supervisor decides by the class of what failed
            raise group.exceptions[0] from group
        finally:
            self._channel = None
            self._state, self._reason = "connecting", ""
            await channel.close()

    async def stop_reading(self) -> None:
        """Ask nothing more."""
        self._may_read = False
        _log.info("source.stopped", source=self.name)

    async def stop(self) -> None:
        """Close the way to the units."""
        self._is_stopping = True
        if self._channel is not None:
            await self._channel.close()

    async def _serve(self, channel: Channel) -> None:
        """Ask until the connection is gone."""
        self._down = None
        async with asyncio.TaskGroup() as tasks:
            while self._down is None:
                now_s = clock.boot_s()
                self._is_paused = not self._intake.is_open()
                self._hand_over_held()
                may_read = self._may_read and not self._is_paused
                schedule = self._schedule
                while self._down is None and (ask := schedule.next(now_s, may_read=may_read)) is not None:
                    tasks.create_task(self._ask(channel, schedule, ask), name=f"ask:{self.name}:{ask.unit.plan.number}")
                await self._wait_for_change(schedule, may_read=may_read)

    async def _wait_for_change(self, schedule: Schedule, *, may_read: bool) -> None:
        now_s = clock.boot_s()
        wait_s = schedule.wakes_at_s(now_s) - now_s if may_read else _LOOK_AGAIN_S
        with suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(wait_s) else max(0.0, wait_s)):
                await self._changed.wait()
        self._changed.clear()

    async def _ask(self, channel: Channel, schedule: Schedule, ask: Ask) -> None:
        """One question; never raises."""
        unit = ask.unit
        try:
            answer = await channel.ask(unit.plan.number, ask.what, unit.plan.timeout_s)
        except ChannelDown as problem:
            schedule.lost(ask)
            self._down = self._down or problem
            self._report(ask, str(problem), is_sent=True)
        else:
            self._take(channel, schedule, ask, answer)
        finally:
            self._changed.set()

    def _take(self, channel: Channel, schedule: Schedule, ask: Ask, answer: Words | Refused | Bad | None) -> None:
        self._bore_a_question(channel)
        now_s, unit = clock.boot_s(), ask.unit
        was_silent = unit.is_silent
        reading: Reading | None = None
        match answer:
            case Words(words):
                reading = schedule.answered(ask, words, now_s)
                self._report(ask, "", is_sent=True)
            case Refused(code):
                reading = schedule.refused(ask, code, now_s)
                self._report(ask, f"the unit answers: {exception_name(code)}", is_sent=code in _MAY_BE_DONE)
            case Bad(why):
                schedule.failed(ask, why, now_s, is_bad=True)
                self._report(ask, why, is_sent=True)
            case None:
                why = f"no answer within {unit.plan.timeout_s:g} s"
                schedule.failed(ask, why, now_s)
                self._report(ask, why, is_sent=True)
        self._tell(unit, was_silent=was_silent)
        if reading is not None and schedule is self._schedule:
            self._hand_over(reading)

    @staticmethod
    def _report(ask: Ask, problem: str, *, is_sent: bool) -> None:
        if ask.outcome is not None:
            ask.outcome(problem, is_sent)

    def _hand_over(self, reading: Reading) -> None:
        topic = f"{_MODBUS}{self.name}/{reading.unit.plan.device}"
        payload = _encode(reading.values)
        position = self._position
        self._position += 1
        self._unsettled += 1
        seed = xxh3_64_intdigest(topic.encode(), position)
        self._held.append(Received(topic, payload, xxh3_64_intdigest(payload, seed), len(topic) + len(payload)))
        self._hand_over_held()

    def _hand_over_held(self) -> None:
        """A poll that was on its way when the intake closed waits here; no other one begins meanwhile."""
        if self._held and self._intake.is_open():
            held, self._held = self._held, []
            self._intake.accept(held, self, self._position - len(held), lane=self._lane)

    # -- changes of state ---------------------------------------------------------------------------------------------

    def _opened(self, channel: Channel) -> None:
        self._schedule.reconnected(clock.boot_s())
        if not self._is_doubted:
            self._connected(channel)
        self._is_doubted = True

    def _bore_a_question(self, channel: Channel) -> None:
        """It was answered, or had all its time: this is a connection, not a door that is shut at once."""
        if self._is_doubted:
            self._is_doubted = False
            self._backoff.reset()
            if self._state != "connected":
                self._connected(channel)

    def _connected(self, channel: Channel) -> None:
        self._connections += 1
        self._state, self._reason, self._since_s = "connected", "", clock.boot_s()
        _log.info("source.connected", source=self.name, place=channel.where)

    def _away(self, problem: ChannelDown) -> float:
        """There is no connection; return how long to wait before the next attempt."""
        wait_s = self._backoff.next_s()
        state: ConnectionState = "refused" if problem.is_refusal else "backoff"
        is_lost = self._state == "connected"
        if (state, str(problem)) != (self._state, self._reason):
            name = "source.lost" if is_lost else "source.refused" if problem.is_refusal else "source.unreachable"
            _log.warning(name, source=self.name, reason=str(problem), retry_in_s=round(wait_s, 1))
        if is_lost or self._state == "connecting":
            self._since_s = clock.boot_s()
        self._state, self._reason = state, str(problem)
        return wait_s

    def _tell(self, unit: UnitState, *, was_silent: bool) -> None:
        facts = {"source": self.name, "unit": unit.plan.number, "device": unit.plan.device}
        if unit.is_silent and not was_silent:
            _log.warning("modbus.unit_silent", **facts, reason=unit.reason)
        elif was_silent and not unit.is_silent:
            _log.info("modbus.unit_back", **facts)
        told = self._told.setdefault(unit.plan.number, {})
        for place, why in unit.refusals.items():
            if told.get(place) != why:
                told[place] = why
                _log.warning("modbus.registers_refused", **facts, registers=place, reason=why)

    # -- writing ------------------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether units can be asked."""
        return self._state == "connected"

    @property
    def reason(self) -> str:
        """Why not."""
        return self._reason

    def registers_of(self, device: str) -> tuple[dict[str, Register], bool] | None:
        """Return the registers of a device, and whether single ones are written by functions 15 and 16."""
        unit = next((one for one in self._plan if one.plan.device == device), None)
        return None if unit is None else (unit.registers, unit.writes_multiple)

    def write(self, device: str, writes: Sequence[Write], outcome: WriteOutcome) -> Callable[[], bool]:
        """Write to the unit of a device, one request after the other, before anything else is read of it.

        ``outcome`` is called once. Returns what takes back what has not left; it says whether nothing has.
        """
        unit = self._schedule.unit_of(device)
        assert unit is not None
        left, has_left = list(writes), False

        def ask_next() -> None:
            unit.writes.append((left[0], told))
            self._changed.set()

        def told(problem: str, is_sent: bool) -> None:
            nonlocal has_left
            has_left = has_left or is_sent
            if problem:
                outcome(problem, has_left)
            elif len(left) > 1:
                left.pop(0)
                ask_next()
            else:
                outcome("", True)

        def take_back() -> bool:
            waits = next((one for one in unit.writes if one[1] is told), None)
            if waits is None:
                return False
            unit.writes.remove(waits)
            return not has_left

        ask_next()
        return take_back

    # -- status -------------------------------------------------------------------------------------------------------

    @property
    def status(self) -> ModbusStatus:
        """Where the source is now."""
        now_s = clock.boot_s()
        states = {one.plan.device: one for one in self._schedule.units}
        planned = {one.plan.device: one for one in self._plan}
        return ModbusStatus(
            state=self._state,
            reason=self._reason,
            since_s=self._since_s,
            events=self._position,
            unsettled=self._unsettled,
            reconnects=max(0, self._connections - 1),
            is_paused=self._is_paused,
            late_answers=self._channel.late if self._channel is not None else 0,
            units=[
                _unit_status(one, states[name], planned[name], now_s)
                for one in self._config.units
                for name in (self._config.device_of(one, self.name),)
            ],
        )


def _unit_status(config: ModbusUnitConfig, unit: UnitState, planned: PlannedUnit, now_s: float) -> UnitStatus:
    tally = unit.tally
    return UnitStatus(
        unit=config.unit,
        device=unit.plan.device,
        profile=config.profile,
        state=unit.state,
        reason=unit.reason,
        heard_s_ago=None if unit.heard_s is None else round(now_s - unit.heard_s, 1),
        requests=tally.requests,
        answers=tally.answers,
        polls=tally.polls,
        late=tally.late,
        timeouts=tally.timeouts,
        bad=tally.bad,
        writes=tally.writes,
        exceptions=dict(tally.exceptions),
        refused=dict(unit.refusals),
        problem=planned.problem,
    )
