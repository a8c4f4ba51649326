"""``fieldgate simulate``: the fleet on its own tells what the broker acknowledged, and what is wrong when it cannot."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import pytest
import typer
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
