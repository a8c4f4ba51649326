"""``fieldgate ports``: what ports there are, who has them, and what is heard there, on real ptys."""

from __future__ import annotations

import fcntl
import grp
import json
import os
import stat
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from ruamel.yaml import YAML
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo
from typer.testing import CliRunner

from fieldgate.cli.app import build_app
from fieldgate.ingest import port_list
from fieldgate.ingest.port_list import SerialPort, find_ports, named_port
from fieldgate_simulators.pty_line import PtyLine


@contextmanager
def simulated(kind: str, link: Path, *, rate: int = 20) -> Iterator[None]:
    """A device in a process of its own, as a real one is."""
    words = [sys.executable, "-m", "fieldgate", "simulate", "serial", kind, "--link", str(link), "--rate", str(rate)]
    with subprocess.Popen([*words, "--seconds", "120"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as device:
        assert device.stdout is not None
        device.stdout.readline()  # it is plugged in
        yield
        device.terminate()
        device.stdout.read()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[PtyLine]:
    made = PtyLine(tmp_path / "port")
    made.plug()
    yield made
    made.close()


def ports(*words: object) -> Result:
    return CliRunner().invoke(build_app("ports"), ["ports", *map(str, words)])


def as_json(*words: object) -> list[dict[str, Any]]:
    done = ports(*words, "--json")
    assert done.exit_code == 0, done.output
    answer: list[dict[str, Any]] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("gnss", {"framing": "nmea", "profile": "nmea_gnss"}),
        ("p1", {"framing": "dsmr", "profile": "dsmr_p1"}),
        ("sml", {"framing": "sml", "profile": "sml_meter"}),
        ("cobs", {"framing": {"cobs": {"check": {"crc": "CRC-16/MODBUS", "order": "little"}}}}),
        ("scale", {"framing": "lines"}),
    ],
)
def test_what_a_port_speaks_is_said_and_can_be_configured(tmp_path: Path, kind: str, source: dict[str, str]) -> None:
    """An installer has an adapter with four lights and no manual."""
    with simulated(kind, tmp_path / kind):
        (found,) = as_json(tmp_path / kind, "--listen", "20")

    serial = dict(found["source"]["serial"])
    assert serial.pop("port") == str(tmp_path / kind)
    assert serial == source
    assert found["source"]["name"] == kind
    best = found["heard"]["guesses"][0]
    assert (best["is_sure"], best["frames"] >= 3) == (kind != "scale", True)


def test_a_person_is_shown_a_source_to_write(tmp_path: Path) -> None:
    """It is YAML, and the loader's names are right."""
    with simulated("gnss", tmp_path / "gnss"):
        done = ports(tmp_path / "gnss", "--listen", "20")

    assert done.exit_code == 0
    assert done.stderr == f"listening to {tmp_path / 'gnss'} for up to 20 s …\n"
    lines = done.stdout.splitlines()
    assert lines[0] == str(tmp_path / "gnss")
    assert any(line.startswith("  heard   ") and "NMEA" in line for line in lines)
    written = YAML(typ="safe", pure=True).load("\n".join(lines[lines.index("sources:") :]))
    assert written["sources"][0]["serial"]["port"] == str(tmp_path / "gnss")


def test_a_port_that_somebody_has_open_is_named_and_not_opened(line: PtyLine) -> None:
    """Two readers of one port take each other's bytes."""
    reader = (
        "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", reader, str(line.link)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        (found,) = as_json(line.link)
        told = ports(line.link)
        other.communicate()

    assert (found["user_pid"], found["heard"], found["is_gateways"]) == (other.pid, None, False)
    assert f"process {other.pid} (python" in told.stdout
    assert "has it open: not opened" in told.stdout


def test_a_port_that_is_locked_is_left_alone(line: PtyLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be locked between the look and the opening."""
    port = os.open(line.link, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(port, fcntl.LOCK_EX)
        monkeypatch.setattr(port_list, "_users", lambda _device: iter(()))

        done = ports(line.link, "--listen", "20")
    finally:
        os.close(port)

    assert "not listened to: somebody has it locked" in done.stdout


def test_nothing_is_opened_where_nobody_shall_listen(line: PtyLine) -> None:
    """An Arduino restarts when its port is opened."""
    (found,) = as_json(line.link, "--listen", "0")

    assert not line.plugged > 1
    assert (found["heard"], found["source"]) == (None, None)
    assert "heard" not in ports(line.link, "--listen", "0").stdout


def test_a_silent_port_is_said_to_be_silent(line: PtyLine) -> None:
    done = ports(line.link, "--listen", "0.2")

    assert "heard   nothing: it may answer only, or say something more rarely" in done.stdout
    assert "sources:" not in done.stdout


def test_the_settings_of_the_port_are_put_back(line: PtyLine) -> None:
    """But for hanging up: the next opening is not to move DTR again."""
    port = os.open(line.link, os.O_RDWR | os.O_NOCTTY)
    before = termios.tcgetattr(port)
    before[3] |= termios.ECHOE
    before[4] = before[5] = termios.B1200
    termios.tcsetattr(port, termios.TCSANOW, before)
    before = termios.tcgetattr(port)
    os.close(port)

    ports(line.link, "--listen", "0.1")

    port = os.open(line.link, os.O_RDWR | os.O_NOCTTY)
    after = termios.tcgetattr(port)
    os.close(port)
    before[2] &= ~termios.HUPCL
    assert after == before


@pytest.mark.parametrize(
    ("name", "problem"),
    [("/nowhere/port", "/nowhere/port is not there"), ("/etc/passwd", "/etc/passwd is no serial port")],
)
def test_what_is_no_port_is_said(name: str, problem: str) -> None:
    done = ports(name)

    assert done.exit_code == 1
    assert problem in done.stdout


def test_who_may_not_use_a_port_is_told_the_group(line: PtyLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first thing that goes wrong on a new machine."""
    group = next(one for one in grp.getgrall() if one.gr_gid)
    about = list(Path(line.port).stat())
    about[stat.ST_MODE], about[stat.ST_GID] = stat.S_IFCHR | 0o660, group.gr_gid
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(Path, "stat", lambda _path: os.stat_result(about))

    found = named_port(str(line.link))

    assert f"is not in group {group.gr_name}: sudo usermod -aG {group.gr_name} " in found.problem
    assert not found.is_free

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 123_456)
    monkeypatch.setattr(os, "getuid", lambda: 123_456)
    assert named_port(str(line.link)).problem.startswith("not for 123456, "), "a container's user has no name"


def test_the_ports_of_the_system_have_names_that_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name to write is the one that leads to the same adapter tomorrow."""
    (tmp_path / "serial/by-id").mkdir(parents=True)
    (tmp_path / "serial/by-path").mkdir()
    (tmp_path / "ttyUSB7").write_text("")
    (tmp_path / "serial/by-id/usb-FTDI_A1-if00-port0").symlink_to(tmp_path / "ttyUSB7")
    (tmp_path / "serial/by-path/pci-0-usb-0:1:1.0-port0").symlink_to(tmp_path / "ttyUSB7")
    adapter = ListPortInfo(str(tmp_path / "ttyUSB7"))
    adapter.vid, adapter.pid, adapter.serial_number = 0x0403, 0x6001, "A1"
    adapter.manufacturer, adapter.product = "FTDI", "FT232R"
    onboard = ListPortInfo(str(tmp_path / "ttyAMA0"))
    monkeypatch.setattr(list_ports, "comports", lambda: [onboard, adapter])
    monkeypatch.setattr(port_list, "_NAMES", tmp_path / "serial")

    usb, other = find_ports()

    assert usb.name == usb.by_id == str(tmp_path / "serial/by-id/usb-FTDI_A1-if00-port0")
    assert usb.by_path == str(tmp_path / "serial/by-path/pci-0-usb-0:1:1.0-port0")
    assert (usb.usb, usb.product) == ("usb:0403:6001:A1", "FTDI FT232R")
    assert other.name == other.device == str(tmp_path / "ttyAMA0")


def test_the_driver_is_that_of_the_chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer kernels put two layers of their own between a port and its driver."""
    chip = tmp_path / "devices/00:00"
    port = chip / "00:00:0/00:00:0.0"
    port.mkdir(parents=True)
    (tmp_path / "tty/ttyS7").mkdir(parents=True)
    (tmp_path / "tty/ttyS7/device").symlink_to(port)
    for folder, driver in ((chip, "serial8250"), (port.parent, "ctrl"), (port, "port")):
        (folder / "driver").symlink_to(tmp_path / "drivers" / driver)
    monkeypatch.setattr(port_list, "_SYSTEM", tmp_path / "tty")

    assert named_port(str(tmp_path / "ttyS7")).driver == "serial8250"


def test_without_any_port_a_person_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_ports, "comports", list)

    done = ports()

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("no serial port is there")


def test_the_systems_console_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: PtyLine) -> None:
    """What is said there may be taken for a log-in, and its speed is the system's."""
    (tmp_path / "console").mkdir()
    (tmp_path / "console/active").write_text(f"tty0 {Path(line.port).name}\n")
    monkeypatch.setattr(port_list, "_SYSTEM", tmp_path)

    (found,) = as_json(line.link, "--listen", "20")

    assert (found["is_console"], found["heard"]) == (True, None)
    assert "the system's console: not opened" in ports(line.link, "--listen", "20").stdout


def test_a_port_in_use_is_not_free() -> None:
    """The control of what is opened."""
    assert SerialPort("a", "a").is_free
    assert not SerialPort("a", "a", user_pid=1).is_free
    assert not SerialPort("a", "a", problem="no").is_free
    assert not SerialPort("a", "a", is_console=True).is_free
