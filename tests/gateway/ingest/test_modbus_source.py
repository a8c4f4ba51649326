"""A Modbus source against pymodbus' own server, over TCP and on a serial bus that is a pty."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fieldgate.ingest.modbus_source import ModbusSource
from fieldgate_devices.modbus import writes_of
from fieldgate_simulators.modbus_server import ModbusBus, ModbusServer
from fieldgate_simulators.modbus_unit import ModbusUnit
from listener_kit import HeldIntake, SettlingIntake
from modbus_kit import PUMP, catalogue_of, make_unit, running_modbus
from uplink_kit import until

Serving = Callable[[list[ModbusUnit], Path], AbstractAsyncContextManager[dict[str, Any]]]


@asynccontextmanager
async def _tcp(units: list[ModbusUnit], _folder: Path) -> AsyncIterator[dict[str, Any]]:
    async with ModbusServer(units) as server:
        yield {"url": f"tcp://127.0.0.1:{server.port}"}


@asynccontextmanager
async def _rtu_over_tcp(units: list[ModbusUnit], _folder: Path) -> AsyncIterator[dict[str, Any]]:
    async with ModbusServer(units, is_rtu=True) as server:
        yield {"url": f"rtu+tcp://127.0.0.1:{server.port}"}


@asynccontextmanager
async def _bus(units: list[ModbusUnit], folder: Path) -> AsyncIterator[dict[str, Any]]:
    async with ModbusBus(units, folder / "bus"):
        yield {"port": str(folder / "bus"), "baud": 115200}


on_every_way = pytest.mark.parametrize("serving", [_tcp, _rtu_over_tcp, _bus], ids=["tcp", "rtu+tcp", "bus"])


def heard(intake: HeldIntake, device: str = "bus-1") -> list[dict[str, Any]]:
    return [json.loads(one.payload) for one in intake.heard if one.topic == f"modbus/bus/{device}"]


def unit_status(source: ModbusSource, number: int = 1) -> Any:
    return next(one for one in source.status.units if one.unit == number)


@on_every_way
async def test_a_poll_is_one_message_with_the_values_of_all_registers(serving: Serving, tmp_path: Path) -> None:
    intake, unit = SettlingIntake(), make_unit()
    unit.set("flow", 21.5)
    unit.set("energy", 3127.68)
    unit.set("limit", 65535)
    unit.set("target", -3.5)
    unit.set("is_on", True)
    unit.set("alarm", True)

    async with serving([unit], tmp_path) as place, running_modbus(intake, **place) as source:
        await until(lambda: len(intake.heard) >= 2)
        status = source.status

    wanted = {"flow": 21.5, "energy": 3127.68, "limit": 65535, "target": -3.5, "is_on": True, "alarm": True}
    assert heard(intake)[:2] == [wanted, wanted]
    assert status.state == "connected"
    assert status.unsettled == 0
    assert (status.units[0].state, status.units[0].timeouts, status.units[0].bad) == ("ok", 0, 0)
    assert unit.requests.keys() == {1, 2, 3}  # holding registers 0 to 12 by one request


@on_every_way
async def test_a_dead_unit_costs_the_others_next_to_nothing(serving: Serving, tmp_path: Path) -> None:
    """A meter whose fuse is out must not stop the reading of all others on the bus."""
    units = [make_unit(number) for number in (1, 2, 3)]
    units[1].faults.is_silent = True
    asked = [{"unit": 1}, {"unit": 2}, {"unit": 3}]

    async with (
        serving(units, tmp_path) as place,
        running_modbus(SettlingIntake(), asked, timeout=1.0, **place) as source,
    ):
        await until(lambda: unit_status(source, 2).state == "silent")
        dead = unit_status(source, 2).requests
        before = [unit_status(source, number).polls for number in (1, 3)]
        await until(lambda: unit_status(source, 1).polls >= before[0] + 20)
        polls = [unit_status(source, number).polls - then for number, then in zip((1, 3), before, strict=True)]
        asked_in_vain = unit_status(source, 2).requests - dead

    assert min(polls) >= 15  # they take turns: what one got the other got
    assert asked_in_vain <= 10  # less and less often; the others were asked 60 times each


@on_every_way
async def test_a_unit_that_comes_back_is_read_again(serving: Serving, tmp_path: Path) -> None:
    unit, intake = make_unit(), SettlingIntake()
    unit.faults.is_silent = True

    with capture_logs() as lines:
        async with (
            serving([unit], tmp_path) as place,
            running_modbus(intake, silent_retry=1.0, timeout=1.0, **place) as source,
        ):
            await until(lambda: unit_status(source).state == "silent")
            assert intake.heard == []
            unit.faults.is_silent = False
            await until(lambda: len(intake.heard) >= 2)
            assert unit_status(source).state == "ok"

    names = [one["event"] for one in lines if one["event"].startswith("modbus.")]
    assert names == ["modbus.unit_silent", "modbus.unit_back"]  # one line per change, however often it was asked


@on_every_way
async def test_damaged_answers_are_counted_and_never_values(serving: Serving, tmp_path: Path) -> None:
    if serving is _tcp:
        pytest.skip("Modbus TCP has no checksum of its own: nothing can tell")
    unit, intake = make_unit(), SettlingIntake()
    unit.faults.corrupts = True

    async with serving([unit], tmp_path) as place, running_modbus(intake, timeout=0.3, **place) as source:
        await until(lambda: unit_status(source).bad >= 3)
        assert intake.heard == []
        unit.faults.corrupts = False
        await until(lambda: bool(intake.heard))

    assert heard(intake)[0]["limit"] == 0


@on_every_way
async def test_registers_that_a_unit_does_not_have_are_left_out_and_the_others_read(
    serving: Serving, tmp_path: Path
) -> None:
    """One line of a data sheet that another firmware lacks must not cost the whole device."""
    unit, intake = make_unit(has_gaps=True), SettlingIntake()
    unit.faults.refused = {("holding", 2)}

    with capture_logs() as lines:
        async with serving([unit], tmp_path) as place, running_modbus(intake, **place) as source:
            await until(lambda: len(intake.heard) >= 3)
            status = unit_status(source)

    assert all(set(one) == {"flow", "limit", "target", "is_on", "alarm"} for one in heard(intake))
    assert status.refused == {"holding 2-3": "illegal data address"}
    assert status.exceptions == {"illegal data address": 2}  # once with the gap, once alone: it is remembered
    told = [one for one in lines if one["event"] == "modbus.registers_refused"]
    assert [(one["registers"], one["reason"]) for one in told] == [("holding 2-3", "illegal data address")]


async def test_an_exception_that_passes_costs_that_poll_only(tmp_path: Path) -> None:
    unit, intake = make_unit(), SettlingIntake()
    unit.faults.exception = 6

    async with _tcp([unit], tmp_path) as place, running_modbus(intake, **place) as source:
        await until(lambda: unit_status(source).exceptions.get("server device busy", 0) >= 2)
        assert unit_status(source).state == "ok"
        assert "server device busy" in unit_status(source).reason
        assert intake.heard == []
        unit.faults.exception = None
        await until(lambda: bool(intake.heard))

    assert unit_status(source).refused == {}


async def test_a_gateway_that_says_that_a_unit_is_silent_is_believed(tmp_path: Path) -> None:
    """Modbus Application Protocol V1.1b3, 7: exception 11."""
    unit = make_unit()
    unit.faults.exception = 11

    async with _tcp([unit], tmp_path) as place, running_modbus(SettlingIntake(), **place) as source:
        await until(lambda: unit_status(source).state == "silent")

    assert "gateway target device failed to respond" in unit_status(source).reason


async def test_a_closed_intake_polls_nothing(tmp_path: Path) -> None:
    """Back-pressure: what cannot be stored is better not asked for."""
    unit, intake = make_unit(), SettlingIntake()

    async with _tcp([unit], tmp_path) as place, running_modbus(intake, **place) as source:
        await until(lambda: bool(intake.heard))
        intake.open = False
        await until(lambda: source.status.is_paused)
        count = len(intake.heard)
        asked = unit.requests.total()
        await asyncio.sleep(0.5)  # five turns, of which none may come
        assert len(intake.heard) == count
        assert unit.requests.total() <= asked + 1  # what was on its way
        intake.open = True
        await until(lambda: len(intake.heard) > count)


async def test_a_server_that_restarts_is_read_again_and_said_once(tmp_path: Path) -> None:
    unit, intake = make_unit(), SettlingIntake()
    server = ModbusServer([unit])

    with capture_logs() as lines:
        async with server, running_modbus(intake, url=f"tcp://127.0.0.1:{server.port}") as source:
            await until(lambda: bool(intake.heard))
            await server.stop()
            await until(lambda: source.status.state == "backoff")
            assert "refuses connections: nothing listens there" in source.status.reason
            count = len(intake.heard)
            await server.start()
            await until(lambda: len(intake.heard) > count)

    names = [one["event"] for one in lines if one["event"].startswith("source.")]
    assert names[0] == "source.connected"
    assert names.count("source.connected") == 2
    assert set(names) <= {"source.connected", "source.lost", "source.unreachable", "source.stopped"}


async def test_an_adapter_that_is_plugged_in_again_under_another_name_is_found(tmp_path: Path) -> None:
    """FAULTS.md row 53."""
    unit, intake = make_unit(), SettlingIntake()

    async with ModbusBus([unit], tmp_path / "bus") as bus, running_modbus(intake, port=str(tmp_path / "bus")) as source:
        await until(lambda: bool(intake.heard))
        bus.line.unplug()
        await until(lambda: source.status.state == "backoff")
        count = len(intake.heard)
        bus.line.plug()
        await until(lambda: len(intake.heard) > count)

    assert source.status.reconnects >= 1


async def test_a_source_waits_for_a_port_that_is_not_there(tmp_path: Path) -> None:
    async with running_modbus(SettlingIntake(), port=str(tmp_path / "bus")) as source:
        await until(lambda: source.status.state == "backoff")
        reason = source.status.reason

    assert reason == f"{tmp_path / 'bus'} is not there: is the device plugged in?"


@on_every_way
async def test_a_write_is_confirmed_and_what_stands_in_a_row_goes_together(serving: Serving, tmp_path: Path) -> None:
    unit = make_unit()
    outcomes: list[tuple[str, bool]] = []

    async with serving([unit], tmp_path) as place, running_modbus(SettlingIntake(), **place) as source:
        await until(lambda: unit_status(source).polls > 0)
        known = source.registers_of("bus-1")
        assert known is not None
        for values in ({"limit": 7}, {"limit": 8, "target": -2.5}, {"is_on": True}):
            count = len(outcomes)
            writes = writes_of(values, known[0], always_multiple=False)
            source.write("bus-1", writes, lambda problem, sent: outcomes.append((problem, sent)))
            await until(lambda count=count: len(outcomes) > count)

    assert outcomes == [("", True)] * 3
    assert [(table, address) for table, address, _ in unit.written] == [("holding", 10), ("holding", 10), ("coil", 3)]
    assert unit.requests[16] == 1
    assert (unit.get("limit"), unit.get("target"), unit.get("is_on")) == (8, -2.5, True)


@on_every_way
async def test_a_write_that_nobody_confirms_may_have_been_done_and_is_not_repeated(
    serving: Serving, tmp_path: Path
) -> None:
    """A valve that opened twice because an answer was lost is worse than one of which nobody knows."""
    unit = make_unit()
    outcomes: list[tuple[str, bool]] = []

    async with serving([unit], tmp_path) as place, running_modbus(SettlingIntake(), timeout=0.5, **place) as source:
        await until(lambda: unit_status(source).polls > 0)
        unit.faults.is_silent = True
        known = source.registers_of("bus-1")
        assert known is not None
        writes = writes_of({"limit": 7}, known[0], always_multiple=False)
        source.write("bus-1", writes, lambda problem, sent: outcomes.append((problem, sent)))
        await until(lambda: bool(outcomes))

    assert outcomes == [("no answer within 0.5 s", True)]
    assert len(unit.written) == 1


async def test_a_write_that_the_unit_refuses_was_not_done(tmp_path: Path) -> None:
    unit = make_unit()
    outcomes: list[tuple[str, bool]] = []

    async with _tcp([unit], tmp_path) as place, running_modbus(SettlingIntake(), **place) as source:
        await until(lambda: unit_status(source).polls > 0)
        unit.faults.exception = 4
        known = source.registers_of("bus-1")
        assert known is not None
        writes = writes_of({"limit": 7}, known[0], always_multiple=False)
        source.write("bus-1", writes, lambda problem, sent: outcomes.append((problem, sent)))
        await until(lambda: bool(outcomes))

    assert outcomes == [("the unit answers: server device failure", False)]
    assert unit.written == []


async def test_a_unit_without_a_profile_is_said_and_costs_nobody(tmp_path: Path) -> None:
    units, intake = [make_unit(1), make_unit(2)], SettlingIntake()
    asked = [{"unit": 1}, {"unit": 2, "profile": "nothing"}]

    async with _tcp(units, tmp_path) as place, running_modbus(intake, asked, **place) as source:
        await until(lambda: len(intake.heard) >= 2)
        problem = unit_status(source, 2).problem

    assert problem == "there is no profile 'nothing'"
    assert units[1].requests.total() == 0


async def test_a_changed_profile_is_used_without_a_restart(tmp_path: Path) -> None:
    unit, intake = make_unit(), SettlingIntake()
    changed = PUMP.replace("    flow: {address: 0, type: int16, scale: 0.1}\n", "    flow: {address: 0, type: int16}\n")
    unit.set("flow", 21.5)

    async with _tcp([unit], tmp_path) as place, running_modbus(intake, **place) as source:
        await until(lambda: bool(intake.heard))
        source.use(catalogue_of(changed))
        await until(lambda: heard(intake)[-1]["flow"] == 215)

    assert heard(intake)[0]["flow"] == 21.5
