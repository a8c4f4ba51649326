"""``fieldgate modbus`` and ``fieldgate simulate modbus``: for whoever connects a device, with and without one."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from command_kit import fieldgate
from fieldgate_devices.files.document import read_yaml
from fieldgate_simulators.modbus_server import ModbusBus, ModbusServer
from modbus_kit import make_unit


async def test_registers_are_shown_with_what_they_may_mean() -> None:
    """The data sheet says float, and not in which order: the person sees which one makes sense."""
    unit = make_unit()
    unit.set("flow", 21.5)
    unit.set("energy", 3127.68)
    async with ModbusServer([unit]) as server:
        url = f"tcp://127.0.0.1:{server.port}"
        shown = await fieldgate("modbus", "read", url, "--count", 4)
        facts = json.loads((await fieldgate("modbus", "read", url, "--address", "0x0002", "--count", 2, "--json")).out)
        coils = await fieldgate("modbus", "read", url, "--table", "coil", "--count", 4)

    assert shown.code == 0
    assert shown.out.splitlines()[1].split()[:4] == ["0", "00D7", "215", "215"]
    assert "(3127.68)" in shown.out
    assert facts["words"] == [0x7AE1, 0x4543]
    assert facts["registers"][0]["float32_little"] == 3127.68
    assert coils.out.split() == ["0", "0", "1", "0", "2", "0", "3", "0"]


async def test_a_unit_that_refuses_or_is_silent_is_said_in_words() -> None:
    unit, silent = make_unit(1, has_gaps=True), make_unit(2)
    silent.faults.is_silent = True
    async with ModbusServer([unit, silent]) as server:
        url = f"tcp://127.0.0.1:{server.port}"
        refused = await fieldgate("modbus", "read", url, "--address", 500, "--count", 1)
        nothing = await fieldgate("modbus", "read", url, "--unit", 2, "--timeout", "200ms")
        port = server.port
    gone = await fieldgate("modbus", "read", f"tcp://127.0.0.1:{port}")
    no_port = await fieldgate("modbus", "read", "/dev/ttyNowhere")
    mistaken = await fieldgate("modbus", "read", "http://127.0.0.1")

    assert [one.code for one in (refused, nothing, gone, no_port, mistaken)] == [1, 1, 1, 1, 2]
    assert "unit 1 answers holding 500 with an exception: illegal data address" in refused.err
    assert "unit 2 does not answer" in nothing.err
    assert "refuses connections: nothing listens there" in gone.err
    assert "/dev/ttyNowhere is not there: is the device plugged in?" in no_port.err
    assert "is no Modbus server" in mistaken.err


async def test_a_scan_names_the_units_that_answer_on_a_bus(tmp_path: Path) -> None:
    units = [make_unit(number) for number in (2, 5)]
    async with ModbusBus(units, tmp_path / "bus"):
        found = await fieldgate("modbus", "scan", tmp_path / "bus", "--units", "1-6", "--json")

    assert found.code == 0
    assert [json.loads(line)["unit"] for line in found.out.splitlines()] == [2, 5]


async def test_a_scan_without_an_answer_ends_with_1() -> None:
    async with ModbusServer([make_unit(9)]) as server:
        nobody = await fieldgate("modbus", "scan", f"tcp://127.0.0.1:{server.port}", "--units", "1-2")

    assert nobody.code == 1
    assert nobody.out == "0 units of 2 answer\n"


async def test_the_simulator_says_what_to_write_and_is_what_it_says(tmp_path: Path) -> None:
    """What it prints is pasted into fieldgate.yaml, and must be right."""
    link = tmp_path / "bus"
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fieldgate", "simulate", "modbus", "--link", link, "--units", "2", "--silent", "2",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert run.stdout is not None
    try:
        lines = [(await run.stdout.readline()).decode() for _ in range(3)]
        read = await fieldgate("modbus", "read", link, "--table", "input", "--count", 2, "--json")
    finally:
        run.terminate()
        rest = (await run.communicate())[0].decode()

    (entry,) = read_yaml("".join(lines[1:]).encode(), "printed").root.value()["sources"]
    assert entry["modbus"]["port"] == str(link)
    assert [one["profile"] for one in entry["modbus"]["units"]] == ["sdm120", "sdm120"]
    assert 207 <= json.loads(read.out)["registers"][0]["float32"] <= 253
    assert "unit 1: 1 requests" in rest


async def test_a_profile_is_tried_with_words_and_shows_its_registers(tmp_path: Path) -> None:
    """The numbers of a data sheet, or of 'modbus read', go through the profile without a device."""
    words = ("--registers", "input 0=4366 199A", "--registers", "input 0x48=4543 7AE1")

    tried = await fieldgate("devices", "try", "--profile", "sdm120", *words, "--json")
    shown = await fieldgate("devices", "show", "sdm120")
    wrong = await fieldgate("devices", "try", "--profile", "sdm120", "--registers", "input=4366")
    other = await fieldgate("devices", "try", "--profile", "tasmota", "--registers", "input 0=4366")

    assert json.loads(tried.out)["events"][0]["data"] == {"voltage": 230.1, "energy_import": 3127.68}
    assert "by 3 requests: input 0-37, input 70-87, input 342-345" in shown.out
    assert (wrong.code, other.code) == (2, 1)
    assert "'input' is no place" in wrong.err
