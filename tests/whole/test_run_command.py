"""``fieldgate run`` as its user meets it: the first start, the end, what is not possible, and what is said of it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from command_kit import fieldgate, log_lines
from fieldgate.control import ask
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Publisher, eventually, free_port, running


@asynccontextmanager
async def process(*args: object, env: dict[str, str] | None = None, cwd: Path, log: Path) -> AsyncIterator[Any]:
    with log.open("wb") as file:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldgate", *[str(arg) for arg in args], stdout=file, stderr=file, env=env, cwd=cwd
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def says(log: Path, name: str) -> dict[str, str] | None:
    return next((line for line in log_lines(log.read_text()) if line["event"] == name), None)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def test_without_any_configuration_it_runs_and_says_what_to_write(tmp_path: Path) -> None:
    """The first minute: no file, no folder, no rights. What it tells to write must be right when it is pasted."""
    if not is_free(1883) or Path("/etc/fieldgate/fieldgate.yaml").exists():
        pytest.skip("port 1883 is taken here, or this machine has a configuration")
    home = tmp_path / "home"
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    home.mkdir()
    log = tmp_path / "log"
    state = home / ".local/state/fieldgate"
    if os.access("/var/lib/fieldgate", os.W_OK):
        state = Path("/var/lib/fieldgate")

    async with process("run", env=env, cwd=home, log=log) as child:
        told = await eventually("it says what to write", lambda: says(log, "gateway.no_uplink"))
        await eventually("it listens", lambda: says(log, "listener.started"))
        status = await ask(state / "control.sock", {"do": "status"})
        child.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(child.wait(), 30)

    (home / "fieldgate.yaml").write_text(told["write"] + "\n")
    checked = await fieldgate("check", env=env, cwd=home)
    assert code == 0
    assert status["listeners"][0]["name"] == "127.0.0.1:1883"
    assert status["uplinks"] == {}
    assert "fieldgate.yaml" in told["into"]
    assert checked.code == 0, checked.out + checked.err


async def test_a_port_in_use_is_said_once_tried_again_and_the_rest_runs(tmp_path: Path) -> None:
    """P8: one listener that cannot start stops neither the others nor the uplinks."""
    taken = socket.create_server(("127.0.0.1", 0))
    gateway = Gateway(tmp_path, uplinks={})
    gateway.settings["listen"].append({"mqtt": f"127.0.0.1:{taken.getsockname()[1]}"})

    async with running(gateway):
        problem = (await eventually("status knows", lambda: _problem(gateway)))[0]
        await eventually("it is in the log", lambda: says(gateway.log, "task.restarting"))
        shown = await fieldgate("status", config=gateway.config)
        lines = [line for line in log_lines(gateway.log_text()) if line["event"] == "task.restarting"]
        taken.close()
        await eventually("it listens there too", lambda: _listens(gateway, 1))

    assert problem.endswith(
        "the port is already in use, by another program (a mosquitto?) or gateway; end that one, or write another port "
        "into 'listen'"
    )
    assert len(lines) == 1
    assert "NOT LISTENING" in shown.out
    assert shown.code == 1
    assert "already in use" in shown.out
    assert "Traceback" not in gateway.log_text()


async def _problem(gateway: Gateway) -> list[str]:
    status = await gateway.status_or_none()
    return [one["problem"] for one in status["listeners"] if one["problem"]] if status else []


async def _listens(gateway: Gateway, number: int) -> bool:
    return bool((await gateway.status())["listeners"][number]["listening"])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lisen": []}, "fieldgate.yaml:1:"),
        ({"listen": [{"mqtt": "0.0.0.0:1883"}]}, "0.0.0.0"),
        ({"journal": {"path": "/proc/nowhere"}}, "/proc/nowhere"),
    ],
)
async def test_what_cannot_be_used_ends_with_78_and_a_sentence(
    tmp_path: Path, settings: dict[str, Any], text: str
) -> None:
    """systemd must not start it again and again; the person must see what to mend."""
    config = tmp_path / "fieldgate.yaml"
    config.write_text(json.dumps({"journal": {"path": str(tmp_path / "state")}, **settings}))

    ended = await fieldgate("run", config=config)

    assert ended.code == 78
    assert text in ended.err
    assert ended.out == ""


async def test_a_foreign_folder_ends_with_78(tmp_path: Path) -> None:
    """FAULTS 31: the folder belongs to root, the gateway does not."""
    if os.geteuid() == 0:
        # root may do anything; a file where the folder should be is as good
        (tmp_path / "state").write_text("")
    else:
        (tmp_path / "state").mkdir(mode=0o500)
    config = tmp_path / "fieldgate.yaml"
    config.write_text(json.dumps({"journal": {"path": str(tmp_path / "state")}, "listen": []}))

    ended = await fieldgate("run", config=config)

    assert ended.code == 78
    assert str(tmp_path / "state") in ended.err


@pytest.mark.parametrize("args", [["--log-level", "loud"], ["--verbose"], ["-c"]])
async def test_a_wrong_call_ends_with_2(tmp_path: Path, args: list[str]) -> None:
    """Nothing is started on a guess."""
    assert (await fieldgate("run", *args, cwd=tmp_path)).code == 2


async def test_a_storm_of_signals_ends_it_once_and_well(tmp_path: Path) -> None:
    """FAULTS 9: systemd, a terminal and an impatient person may all want it to end, also while it does."""
    async with Broker() as broker:
        gateway = Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}})
        async with running(gateway):
            device = Publisher(gateway.port)
            device.start()
            await eventually("the load runs", lambda: len(device.acked) > 100)
            child = gateway.process
            assert child is not None
            for number in range(10_000):
                if child.returncode is not None:
                    break
                with suppress(ProcessLookupError):  # `send_signal` would reap it, and lose the exit code
                    os.kill(child.pid, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[number % 3])
                await asyncio.sleep(0.001)
            code = await asyncio.wait_for(child.wait(), 30)
            device.close()

    assert code == 0
    assert gateway.log_text().count("gateway.stopped") == 1
    assert "Traceback" not in gateway.log_text()


async def test_nohup_means_that_the_terminal_may_go(tmp_path: Path) -> None:
    """``nohup fieldgate run &`` goes on; only without it a closed terminal ends the gateway, cleanly."""
    gateway = Gateway(tmp_path, uplinks={})
    async with running(gateway):
        pass
    await gateway.start("nohup")
    try:
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        await eventually("it still answers", gateway.status_or_none)
        assert await gateway.stop() == 0
    finally:
        await gateway.kill()


async def test_no_secret_is_ever_said(tmp_path: Path) -> None:
    """A log is sent around by mail. The planted secrets take every way there is: password, user, file and variable."""
    secret = secrets.token_hex(8)
    word = tmp_path / "word"
    word.write_text(f"word-{secret}\n")
    word.chmod(0o600)
    uplinks = {
        "one": {"mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}", "username": "u", "password": f"${{file:{word}}}"}},
        "two": {"mqtt": {"url": "${env:PLANTED_URL}", "username": "${env:PLANTED}", "password": "${env:PLANTED}"}},
    }
    env = {"PLANTED": f"user-{secret}", "PLANTED_URL": f"mqtt://host-{secret}.invalid:1883"}
    gateway = Gateway(tmp_path, uplinks=uplinks, env=env)

    async with running(gateway):
        await eventually("both were tried", lambda: gateway.log_text().count("uplink.unreachable") >= 2)
        shown = await fieldgate("status", config=gateway.config, env={**os.environ, **env})
        as_json = await fieldgate("status", "--json", config=gateway.config, env={**os.environ, **env})
        await gateway.stop()

    said = gateway.log_text() + shown.out + as_json.out
    assert f"word-{secret}" not in said
    assert f"user-{secret}" not in said


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
async def test_closed_standard_streams_are_no_reason_to_fail(tmp_path: Path, closed: str) -> None:
    """Some service managers close them; the journal must not be opened in their place."""
    gateway = Gateway(tmp_path, uplinks={})
    gateway.config.write_text(json.dumps(gateway.settings))
    command = f"exec {sys.executable} -m fieldgate run -c {gateway.config} {closed}"
    child = await asyncio.create_subprocess_exec("/bin/sh", "-c", command)
    try:
        await eventually("it runs", gateway.status_or_none)
        places = [str(Path(f"/proc/{child.pid}/fd/{number}").readlink()) for number in (0, 1, 2)]
        child.terminate()
        code = await asyncio.wait_for(child.wait(), 30)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()

    assert code == 0
    assert not any("state" in place or "journal" in place for place in places)
