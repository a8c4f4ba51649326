"""``fieldgate simulate``: the fleet on its own tells what the broker acknowledged, and what is wrong when it cannot."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner

from fieldgate.cli import demo, simulate
from fieldgate_simulators.broker import Broker

PROGRAM = """
import typer
from fieldgate.cli import simulate
app = typer.Typer(rich_markup_mode=None)
app.callback()(lambda: None)
simulate.register(app)
app()
"""


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker() as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    """Start the command as a user does: a process of its own."""
    started: list[subprocess.Popen[str]] = []
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", str(program), "simulate", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


async def test_the_summary_counts_what_the_broker_acknowledged(broker, start):
    """The rate is that of the whole fleet: 5 devices at 50 events per second make 25 events in half a second."""
    process = start("--target", broker.url, "--devices", "5", "--rate", "50", "--seconds", "0.5", "--json")

    output, errors = process.communicate(timeout=10)

    summary = json.loads(output)
    assert (process.returncode, errors) == (0, "")
    assert (summary["made"], summary["acknowledged"], summary["unacknowledged"]) == (25, 25, 0)


async def test_a_rate_that_is_not_reached_is_said(broker, start):
    """Else somebody believes that their broker took 40 million readings a minute."""
    process = start("--target", broker.url, "--devices", "1", "--rate", "700000", "--seconds", "1")

    output, _ = process.communicate(timeout=20)

    assert "  asked for          700,000   (the rate was not reached)" in output


async def test_ctrl_c_gives_the_summary_too(broker, start):
    """Without --seconds it is the only way to end it."""
    async with aiomqtt.Client(broker.host, broker.port) as upstream, asyncio.timeout(30):
        await upstream.subscribe("sensors/#")
        process = start("--target", broker.url, "--devices", "3", "--rate", "100")
        await anext(aiter(upstream.messages))

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)

    assert process.returncode == 0
    assert f"3 devices → {broker.url}" in output
    assert "acknowledged" in output


def test_a_target_that_refuses_is_one_clear_line(start):
    """No traceback: the address is what a person gets wrong first."""
    process = start("--target", "mqtt://127.0.0.1:1", "--seconds", "1")

    output, errors = process.communicate(timeout=10)

    assert (process.returncode, output) == (1, "")
    assert errors.startswith("error: mqtt://127.0.0.1:1 cannot be reached: ")
    assert errors.count("\n") == 1


def app() -> typer.Typer:
    commands = typer.Typer(rich_markup_mode=None)
    commands.callback()(lambda: None)
    simulate.register(commands)
    demo.register(commands)
    return commands


def test_help_says_that_the_rate_is_of_the_whole_fleet():
    """50 devices at 10 events per second could mean 500."""
    shown = CliRunner().invoke(app(), ["simulate", "--help"]).output

    assert "Events per second of the whole fleet together" in " ".join(shown.split())


def test_minutes_and_seconds_together_are_refused():
    """One of them would have to be ignored."""
    result = CliRunner().invoke(app(), ["simulate", "--target", "mqtt://a", "--minutes", "1", "--seconds", "1"])

    assert result.exit_code == 2
    assert "not both" in result.output


@pytest.mark.parametrize("command", [["simulate", "--target", "mqtt://a"], ["demo"]])
def test_without_the_simulators_the_command_says_so(monkeypatch, command):
    """A package of the gateway alone has no fleet."""
    monkeypatch.setattr(simulate, "entry_points", lambda **_: [])

    result = CliRunner().invoke(app(), command)

    assert result.exit_code == 1
    assert "simulators are not installed" in result.output


def test_a_serial_device_says_what_to_write_and_counts(start, tmp_path):
    """The port that it names can be read by anything that reads ports."""
    process = start("serial", "scale", "--link", str(tmp_path / "scale"), "--rate", "200", "--seed", "4")
    assert process.stdout is not None
    introduction = []
    while not introduction or not introduction[-1].startswith("examples:"):
        introduction.append(process.stdout.readline())

    with (tmp_path / "scale").open("rb", buffering=0) as port:
        heard = b""
        while heard.count(b"\n") < 3:
            heard += port.read(100)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)

    assert (process.returncode, errors) == (0, "")
    written = YAML(typ="safe", pure=True).load("".join(introduction[introduction.index("sources:\n") :][:2]))
    assert written["sources"][0]["serial"]["port"] == str(tmp_path / "scale")
    assert "into devices.d/sim_scale.yaml" in "".join(introduction)
    assert re.search(rb"ST,GS,\+[0-9.]+kg,[0-9]{6}\r\n", heard)
    sent = re.search(r"^  sent +([0-9]+) ", output, re.MULTILINE)
    assert sent is not None
    assert int(sent[1]) >= 3
    assert not (tmp_path / "scale").is_symlink()


def test_a_serial_device_counts_in_json(start, tmp_path):
    """For scripts; what a person reads goes to the other stream."""
    process = start("serial", "gnss", "--link", str(tmp_path / "gnss"), "--seconds", "0.2", "--rate", "50", "--json")

    output, errors = process.communicate(timeout=20)

    counts = json.loads(output)
    assert process.returncode == 0
    assert counts["source"] == {
        "name": "gnss",
        "serial": {"port": str(tmp_path / "gnss"), "baud": 9600, "framing": "nmea", "profile": "nmea_gnss"},
    }
    assert counts["made"] == counts["unheard"] > 0
    assert "sources:" in errors


def test_a_replay_ends_when_all_is_said(start, tmp_path):
    """A log of a real device, in any pieces."""
    (tmp_path / "log").write_bytes(b"$GPGGA,1\r\n" * 100)
    process = start("serial", "--replay", str(tmp_path / "log"), "--link", str(tmp_path / "port"), "--baud", "0")
    assert process.stdout is not None
    first = process.stdout.readline()

    with (tmp_path / "port").open("rb", buffering=0) as port:
        heard = b""
        while len(heard) < 1000:
            heard += port.read(4096)
        output, _ = process.communicate(timeout=10)

    assert first.startswith("replay of 1,000 bytes at ")
    assert heard == b"$GPGGA,1\r\n" * 100
    assert (process.returncode, "bytes          1,000   of 1,000" in output) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a device"),
        (["scale", "--replay", "x"], "name a device"),
        (["scale", "--baud", "9600"], "--baud is the speed of a --replay"),
        (["--replay", "x", "--replug-every", "1"], "--replug-every is for devices"),
    ],
)
def test_a_serial_device_is_told_one_thing(arguments, says):
    """No option is taken and ignored."""
    result = CliRunner().invoke(app(), ["simulate", "serial", *arguments])

    assert result.exit_code == 2
    assert says in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["toaster"], "error: there is no simulated device 'toaster'; there are scale, gnss, p1, sml, cobs"),
        (["--replay", "/nowhere/log"], "error: '/nowhere/log' cannot be read: No such file or directory"),
        (["scale", "--link", "/nowhere/port"], "error: the link '/nowhere/port' cannot be made"),
    ],
)
def test_what_a_serial_device_cannot_do_is_one_line(arguments, says):
    """No traceback: a name is what a person gets wrong first."""
    result = CliRunner().invoke(app(), ["simulate", "serial", *arguments])

    assert result.exit_code == 1
    assert says in result.output


def test_without_a_target_the_fleet_says_that_it_needs_one():
    """It was an option that typer asked for, before there were serial devices."""
    result = CliRunner().invoke(app(), ["simulate", "--rate", "5"])

    assert result.exit_code == 2
    assert "--target is needed" in result.output
