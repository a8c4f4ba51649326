"""A Modbus source whose way to the units is not there, or is not what it seems."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from structlog.testing import capture_logs

from fieldgate.ingest import modbus_source
from fieldgate.ingest.modbus_dialogue import Channel, ChannelDown
from fieldgate.ingest.modbus_source import ModbusSource
from fieldgate_devices.modbus import Request, Write
from fieldgate_simulators.modbus_server import ModbusServer
from listener_kit import SettlingIntake
from modbus_kit import PUMP, catalogue_of, make_unit, modbus_config, running_modbus
from uplink_kit import until

BACK_WITHIN_S = 3.0
SOURCE = "modbus-away"


class Unlucky(Random):
    """Of all waits the longest."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Door(Channel):
    """A channel that cannot be opened, or (``opens``) shuts at the first question. It ends the test by itself."""

    def __init__(self, *, opens: bool, tries: int) -> None:
        self.opens, self.left, self.is_over = opens, tries, asyncio.Event()

    async def open(self) -> None:
        self.left -= 1
        if not self.left:
            self.is_over.set()
        if not self.opens:
            raise ChannelDown("nobody there")

    async def ask(self, unit: int, what: Request | Write, timeout_s: float) -> None:
        raise ChannelDown("it shut the door")

    async def close(self) -> None:
        return


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What the source would have slept; whoever else runs in this process sleeps as it wants."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def at_once(wait_s: float) -> None:
        task = asyncio.current_task()
        if task is None or task.get_name() != SOURCE:
            await sleep(wait_s)
            return
        slept.append(wait_s)
        await sleep(0)

    monkeypatch.setattr(modbus_source.asyncio, "sleep", at_once)
    return slept


async def knock(door: Door) -> ModbusSource:
    source = ModbusSource(
        modbus_config(url="tcp://127.0.0.1:1"),
        SettlingIntake(),
        catalogue=catalogue_of(),
        make_channel=lambda: door,
        rng=Unlucky(),
    )
    task = asyncio.create_task(source.run(), name=SOURCE)
    try:
        async with asyncio.timeout(30):
            await door.is_over.wait()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return source


async def test_however_long_it_was_away_it_is_back_within_three_seconds(waits: list[float]) -> None:
    """An hour's outage must not become an hour and a minute: the waits are counted, at their worst."""
    await knock(Door(opens=False, tries=200))

    assert len(waits) >= 199
    assert max(waits) <= BACK_WITHIN_S - 0.5  # half a second for the port, or the connection, itself
    assert min(waits) > 0


async def test_waits_that_grow_on_would_break_the_three_seconds(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(modbus_source, "_RETRY_CAP_S", 60.0)
    await knock(Door(opens=False, tries=200))

    assert max(waits) > BACK_WITHIN_S


async def test_who_opens_and_shuts_at_once_is_tried_less_and_less_often_and_said_once(waits: list[float]) -> None:
    """A server that is full accepts connections and closes them: no reason to spin, nor to fill the log."""
    with capture_logs() as lines:
        await knock(Door(opens=True, tries=100))

    assert len(waits) >= 99
    assert waits[:5] == [0.25, 0.5, 1.0, 2.0, 2.0]
    assert [one["event"] for one in lines] == ["source.connected", "source.lost"]


async def test_a_server_that_opens_and_shuts_is_read_once_it_stays() -> None:
    count, intake = 0, SettlingIntake()

    async def shut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        writer.close()
        await writer.wait_closed()

    full = await asyncio.start_server(shut, "127.0.0.1", 0)
    port = full.sockets[0].getsockname()[1]
    with capture_logs() as lines:
        async with running_modbus(intake, url=f"tcp://127.0.0.1:{port}") as source:
            await until(lambda: count >= 4)
            assert source.status.state == "backoff"
            assert "the connection" in source.status.reason
            full.close()
            async with ModbusServer([make_unit()], port=port):
                await until(lambda: bool(intake.heard))
                assert source.is_connected

    names = [one["event"] for one in lines if one["event"].startswith("source.")]
    assert names[:2] == ["source.connected", "source.lost"]
    assert names.count("source.connected") == 2


async def test_a_write_that_waits_over_a_change_of_profiles_is_the_same_write() -> None:
    """It is carried out once, or taken back: never both."""
    source = ModbusSource(
        modbus_config(url="tcp://127.0.0.1:1"),
        SettlingIntake(),
        catalogue=catalogue_of(),
        make_channel=lambda: Door(opens=False, tries=1),
        rng=Random(1),
    )
    outcomes: list[tuple[str, bool]] = []
    limit = Write("holding", 10, (7,), is_single=True)
    take_back = source.write("bus-1", [limit], lambda problem, sent: outcomes.append((problem, sent)))

    source.use(catalogue_of(PUMP.replace("scale: 0.1", "scale: 0.2")))

    assert take_back()
    assert [list(unit.writes) for unit in source._schedule.units] == [[]]
    assert outcomes == []


async def test_a_write_in_steps_goes_on_over_a_change_of_profiles() -> None:
    unit = make_unit()
    outcomes: list[tuple[str, bool]] = []
    writes = [Write("holding", address, (7,), is_single=True) for address in (10, 0)]

    async with (
        ModbusServer([unit]) as server,
        running_modbus(SettlingIntake(), url=f"tcp://127.0.0.1:{server.port}") as source,
    ):
        await until(lambda: source.status.units[0].polls > 0)
        source.write("bus-1", writes, lambda problem, sent: outcomes.append((problem, sent)))
        await until(lambda: source.status.units[0].writes == 1 or bool(outcomes))
        source.use(catalogue_of(PUMP.replace("scale: 0.1", "scale: 0.2")))
        await until(lambda: bool(outcomes))

    assert outcomes == [("", True)]
    assert [address for _, address, _ in unit.written] == [10, 0]
