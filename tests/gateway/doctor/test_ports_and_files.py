"""Serial ports with real ptys, the configuration with real files, and the gateway by what it says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from access_kit import users_text, write_private
from doctor_kit import bad, by_id, ids
from fieldgate.cli.all_problems import all_problems
from fieldgate.config.loader import Reading, read
from fieldgate.doctor.catalogue import CATALOGUE
from fieldgate.doctor.config_checks import config_findings
from fieldgate.doctor.finding import Finding, Level
from fieldgate.doctor.gateway_checks import gateway_findings
from fieldgate.doctor.gateway_facts import Crash, GatewayFacts, read_gateway
from fieldgate.doctor.serial_checks import serial_findings
from fieldgate.doctor.users import GatewayUser
from serial_kit import PtyDevice

STRANGER = GatewayUser(65_533, frozenset())


def written(folder: Path, text: str) -> Reading:
    (folder / "fieldgate.yaml").write_text(text, encoding="utf-8")
    (folder / "fieldgate.yaml").chmod(0o640)
    return read(folder / "fieldgate.yaml", references="examined")


def of_config(reading: Reading) -> list[Finding]:
    return list(config_findings(reading, all_problems(reading)))


# -- serial ports -----------------------------------------------------------------------------------------------


def of_port(folder: Path, port: object, *, user: GatewayUser | None = None, pid: int | None = None) -> list[Finding]:
    text = f"sources: [{{name: scale, serial: {{port: '{port}', baud: 9600, framing: lines}}}}]\n"
    config = written(folder, text).config
    assert config is not None
    return list(serial_findings(config, user=user or GatewayUser.of(os.geteuid()), gateway_pid=pid))


def test_a_port_that_is_there_and_free_is_well(tmp_path: Path) -> None:
    """The control."""
    with PtyDevice(tmp_path / "port"):
        found = of_port(tmp_path, tmp_path / "port")

    assert ids(found) == ["serial.usable"]
    assert found[0].about == "scale"


def test_a_port_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path: Path) -> None:
    found = of_port(tmp_path, tmp_path / "none")

    assert bad(found) == ["serial.missing"]
    assert "plug it in" in found[0].do
    assert ids(of_port(tmp_path, "usb:dead:beef")) == ["serial.missing"]


def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("x")

    assert bad(of_port(tmp_path, tmp_path / "port")) == ["serial.not_a_port"]


def test_a_port_that_the_gateways_user_may_not_open_is_an_error(tmp_path: Path) -> None:
    """Also where root asks, who may open everything."""
    with PtyDevice(tmp_path / "port"):
        found = of_port(tmp_path, tmp_path / "port", user=STRANGER)

    assert bad(found) == ["serial.denied"]
    assert "65533" in found[0].seen


def test_a_port_that_another_program_has_open_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Two that read one port get half of it each; ModemManager does that."""
    with PtyDevice(tmp_path / "port"):
        code = f"f = open({str(tmp_path / 'port')!r}, 'rb', 0); print('open', flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
            found = of_port(tmp_path, tmp_path / "port")
            of_gateway = of_port(tmp_path, tmp_path / "port", pid=other.pid)
            other.communicate("\n")

    assert bad(found) == ["serial.in_use"]
    assert f"kill {other.pid}" in found[0].do
    assert ids(of_gateway) == ["serial.usable"]


def test_the_console_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that goes wrong with the pins of a Raspberry Pi."""
    monkeypatch.setattr("fieldgate.ingest.port_list._is_console", lambda _device: True)
    with PtyDevice(tmp_path / "port"):
        assert bad(of_port(tmp_path, tmp_path / "port")) == ["serial.console"]


def test_a_port_in_the_network_is_a_note(tmp_path: Path) -> None:
    assert ids(of_port(tmp_path, "rfc2217://10.0.0.7:4001")) == ["serial.not_local"]


# -- configuration ----------------------------------------------------------------------------------------------

UPLINK = "uplinks: {cloud: {mqtt: {url: mqtts://b.example, username: u, password: '${file:pw}'}}}\n"


def test_a_configuration_in_order_has_no_bad_finding(tmp_path: Path) -> None:
    """The control."""
    write_private(tmp_path / "pw", "secret")

    assert ids(of_config(written(tmp_path, UPLINK))) == ["config.usable", "config.secrets_private"]


def test_what_check_says_the_doctor_says_with_its_place(tmp_path: Path) -> None:
    found = of_config(written(tmp_path, "gateway: {id: '!'}\nlisten: [{mqtt: 0.0.0.0:1883, bogus: 1}]\n"))

    assert set(bad(found)) == {"config.error"}
    assert {finding.figures["line"] for finding in found if finding.id == "config.error"} == {1, 2}


def test_warnings_and_notes_of_the_configuration_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    warned = of_config(written(tmp_path, "uplinks: {up: {mqtt: {url: mqtt://b.example}}}\n"))
    noted = of_config(written(tmp_path, UPLINK.replace("file:pw", "credential:pw")))

    assert bad(warned) == ["config.warning"]
    assert bad(noted) == []
    assert "config.note" in ids(noted)


def test_no_file_at_all_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fieldgate.config.loader.SEARCH_PATHS", (Path("fieldgate.yaml"),))
    monkeypatch.delenv("FIELDGATE_CONFIG", raising=False)

    assert "config.none" in bad(of_config(read(None, references="examined")))


def test_more_problems_than_anybody_reads_are_counted(tmp_path: Path) -> None:
    listens = "\n".join(f"  - {{mqtt: 127.0.0.1:{port}, bogus: 1}}" for port in range(2000, 2030))

    found = of_config(written(tmp_path, f"listen:\n{listens}\n"))

    assert ids(found).count("config.error") == 20
    assert by_id(found, "config.more").figures == {"more": 10}


@pytest.mark.parametrize("what", ["password file", "users", "key", "users of the metrics"])
def test_a_secret_that_everybody_can_read_is_an_error(what: str, tmp_path: Path) -> None:
    path = write_private(tmp_path / "file", users_text(amy="x") if "users" in what else "secret")
    text = {
        "password file": UPLINK.replace("file:pw", "file:file"),
        "users": "listen: [{mqtt: 127.0.0.1:0, auth: {users: file}}]\n",
        "users of the metrics": "metrics: {listen: 127.0.0.1:0, auth: {users: file}}\n",
        "key": "listen: [{mqtt: 127.0.0.1:0, tls: {certificate: file, key: file}}]\n",
    }[what]
    well = of_config(written(tmp_path, text))
    path.chmod(0o644)
    found = of_config(written(tmp_path, text))

    assert "config.secret_open" not in bad(well)
    assert by_id(found, "config.secret_open").about == str(path)


def test_a_secret_in_a_file_that_everybody_can_read_is_an_error(tmp_path: Path) -> None:
    reading = written(tmp_path, UPLINK.replace("${file:pw}", "planted-Secret"))
    well = of_config(reading)
    (tmp_path / "fieldgate.yaml").chmod(0o646)
    found = of_config(reading)

    assert not {"config.literal_secret", "config.writable_by_all"} & set(bad(well))
    assert {"config.literal_secret", "config.writable_by_all"} <= set(bad(found))
    assert "planted-Secret" not in str(found)


# -- the gateway ------------------------------------------------------------------------------------------------

STATUS: dict[str, Any] = {
    "version": "1",
    "pid": 7,
    "uptime_s": 3.0,
    "problems": {},
    "reload": {"problems": [], "needs_restart": []},
    "listeners": [{"name": "mqtt", "listening": True, "problem": ""}],
    "uplinks": {"up": {"state": "connected", "problem": "", "reason": "", "pending": 0, "parked": 0}},
    "journal": {"full": ""},
}
DOWN = {"state": "refused", "problem": "", "reason": "a wrong password", "pending": 12, "parked": 0}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"version": "0"}, ["gateway.other_version"]),
        ({"reload": {"problems": ["x", "y"], "needs_restart": []}}, ["gateway.reload_refused"]),
        ({"reload": {"problems": [], "needs_restart": ["gateway.id"]}}, ["gateway.needs_restart"]),
        ({"problems": {"control": "no room"}}, ["gateway.part_failing"]),
        ({"listeners": [{"name": "mqtt", "listening": False, "problem": "in use"}]}, ["gateway.not_listening"]),
        ({"uplinks": {"up": DOWN}}, ["gateway.uplink_down"]),
        ({"uplinks": {"up": {**STATUS["uplinks"]["up"], "parked": 3}}}, ["gateway.parked"]),
        ({"journal": {"full": "disk"}}, ["gateway.journal_full"]),
    ],
)
def test_what_a_running_gateway_says_against_itself_is_told(change: dict[str, Any], found: list[str]) -> None:
    """The first is the control."""
    assert bad(gateway_findings(GatewayFacts({**STATUS, **change}), version="1")) == found


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (GatewayFacts(None), ["gateway.stopped"]),
        (GatewayFacts(None, "permission denied"), ["gateway.not_asked"]),
        (GatewayFacts(None, "silence", is_silent=True), ["gateway.hangs"]),
        (GatewayFacts(STATUS), ["gateway.running"]),
        (GatewayFacts(STATUS, restarts=2, last_result="watchdog"), ["gateway.running", "gateway.restarted"]),
        (GatewayFacts(STATUS, crashes=[Crash("then", "event=task.failed")]), ["gateway.running", "gateway.crashed"]),
    ],
)
def test_how_it_ended_before_is_told(facts: GatewayFacts, found: list[str]) -> None:
    assert ids(gateway_findings(facts, version="1")) == found


async def test_a_gateway_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who asks what is wrong is told, and a script that asks for the exit code."""
    monkeypatch.setattr("fieldgate.doctor.gateway_facts._STATUS_DEADLINE_S", 0.2)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()
        facts = await read_gateway(tmp_path)

    (found,) = gateway_findings(replace(facts, restarts=0, crashes=[]), version="1")
    assert (found.id, CATALOGUE[found.id].level) == ("gateway.hangs", Level.ERROR)


async def test_a_socket_that_nobody_listens_on_tells_of_a_bad_end(tmp_path: Path) -> None:
    """A gateway that ends by itself takes it along; one that is killed cannot."""
    before = await read_gateway(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    after = await read_gateway(tmp_path)

    assert "gateway.ended_badly" not in ids(gateway_findings(before, version="1"))
    assert "gateway.ended_badly" in ids(gateway_findings(after, version="1"))


def program(folder: Path, name: str, *lines: str) -> None:
    """A program of that name, found first, that prints these lines."""
    path = folder / name
    text = "\n".join(lines)
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    path.chmod(0o755)


async def test_what_systemd_knows_of_the_service_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemctl and journalctl print it; a message may be bytes, and a line may be cut."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program(tmp_path, "systemctl", "NRestarts=3", "Result=watchdog", "LoadState=loaded")
    program(
        tmp_path,
        "journalctl",
        '{"MESSAGE":"event=gateway.started version=1","__REALTIME_TIMESTAMP":"1780315200000000"}',
        '{"MESSAGE":"event=task.failed task=forward","__REALTIME_TIMESTAMP":"1780315200000000"}',
        '{"MESSAGE":[1,2],"__REALTIME_TIMESTAMP":"1780315200000000"}',
        '{"MESSAGE":"a part failed","EVENT":"task.failed","__REALTIME_TIMESTAMP":"1780315200000000"}',
        '{"MESSAGE":"fieldgate.service: Watchdog timeout (limit 30s)!","__REALTIME_TIMESTAMP":"1780315200000000"}',
        '{"MESSAGE":"event=task.fai',
    )

    facts = await read_gateway(tmp_path / "state")

    texts = ["event=task.failed task=forward", "a part failed", "fieldgate.service: Watchdog timeout (limit 30s)!"]
    assert facts.crashes == [Crash("2026-06-01 12:00:00 UTC", text) for text in texts]
    assert (facts.restarts, facts.last_result) == (3, "watchdog")
    assert bad(gateway_findings(facts, version="1")) == ["gateway.restarted", "gateway.crashed"]


async def test_a_service_that_is_not_installed_has_not_been_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control; systemctl answers for a service that there is not, too."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program(tmp_path, "systemctl", "NRestarts=0", "Result=success", "LoadState=not-found")
    program(tmp_path, "journalctl")

    assert bad(gateway_findings(await read_gateway(tmp_path / "state"), version="1")) == []
