"""What is said of a serial port that cannot be used, and which device a configured port means."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import serial.tools.list_ports
from serial.tools.list_ports_common import ListPortInfo

from fieldgate.ingest import serial_problems
from fieldgate.ingest.serial_place import find_port
from fieldgate.ingest.serial_problems import PortProblem, lock_holder, lost_problem, open_problem, unfit_problem

USER = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device node of group `plugdev-x`, which nobody is in."""
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_name="plugdev-x"))
    monkeypatch.setattr(grp, "getgrnam", lambda name: SimpleNamespace(gr_mem=[]))
    path = tmp_path / "ttyUSB0"
    path.touch(mode=0o660)
    path.chmod(0o660)
    real_stat = Path.stat
    real = path.stat()

    def stat_with_group(self: Path, **how: Any) -> os.stat_result:
        found = real_stat(self, **how)
        return os.stat_result((*found[:5], 1234, *found[6:])) if found.st_ino == real.st_ino else found

    monkeypatch.setattr(Path, "stat", stat_with_group)
    return path


def denied(path: Path, code: int = errno.EACCES) -> str:
    problem = open_problem(str(path), OSError(code, ""))
    assert problem.kind == "refused"
    return str(problem)


def test_permission_denied_names_the_group_and_how_to_join_it(node: Path) -> None:
    """The first thing that goes wrong on a new machine."""
    assert denied(node) == (
        f"{node}: permission denied: it belongs to group 'plugdev-x', and {USER} is not in it; "
        f"'sudo usermod -aG plugdev-x {USER}', then restart the gateway"
    )


def test_who_joined_the_group_is_told_to_restart(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process has the groups that its user had when it began."""
    monkeypatch.setattr(grp, "getgrnam", lambda name: SimpleNamespace(gr_mem=[USER]))

    assert denied(node).endswith(f"{USER} is in group 'plugdev-x' since this process began; restart the gateway")


def test_a_node_that_no_group_may_use_needs_a_rule(node: Path) -> None:
    """Joining its group would not help."""
    node.chmod(0o600)

    assert "only its owner may use it (group 'plugdev-x', mode 0600); a udev rule" in denied(node)


def test_a_service_that_may_not_is_told_of_its_unit(node: Path) -> None:
    """systemd's device control answers with EPERM, whoever is in the group."""
    assert "DeviceAllow=" in denied(node, errno.EPERM)


def test_a_group_without_a_name_is_its_number(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the host's groups have none."""

    def unknown(_: object) -> object:
        raise KeyError

    monkeypatch.setattr(grp, "getgrgid", unknown)
    monkeypatch.setattr(grp, "getgrnam", unknown)
    monkeypatch.setattr(pwd, "getpwuid", unknown)

    assert f"sudo usermod -aG 1234 {os.geteuid()}" in denied(node)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOENT, "absent", "is not there: is the device plugged in?"),
        (errno.ENODEV, "absent", "is not there"),
        (errno.ENXIO, "absent", "is not there"),
        (errno.ENOTTY, "refused", "is no serial port"),
        (errno.EIO, "failed", "does not answer"),
        (errno.EBUSY, "failed", "is busy: another program has it locked"),
        (errno.EINVAL, "failed", "cannot be opened: Invalid argument"),
    ],
)
def test_each_error_of_an_opening_has_its_words(tmp_path: Path, code: int, kind: str, words: str) -> None:
    """What the kernel says is for programs."""
    problem = open_problem(str(tmp_path / "x"), OSError(code, "?"))

    assert problem.kind == kind
    assert words in str(problem)


@pytest.mark.parametrize("error", [None, OSError(errno.EIO, ""), OSError(errno.ENXIO, ""), OSError(errno.ENODEV, "")])
def test_a_port_that_goes_is_gone_however_the_kernel_says_it(error: OSError | None) -> None:
    """A hang-up, EIO, ENXIO, ENODEV: all of them are somebody at the plug."""
    assert str(lost_problem("/dev/ttyUSB0", error)) == "/dev/ttyUSB0 is gone: unplugged?"


def test_another_error_keeps_its_words() -> None:
    """It is not the plug."""
    assert str(lost_problem("socket://a:1", OSError(errno.ECONNRESET, ""))) == (
        "socket://a:1 failed: Connection reset by peer"
    )


def test_who_locks_may_be_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may not see the process, or no locks at all."""
    assert lock_holder(str(tmp_path)) is None
    assert lock_holder(str(tmp_path / "none")) is None
    monkeypatch.setattr(serial_problems, "lock_holder", lambda path: (99_999_999, ""))
    assert "is busy: process 99999999 has it locked" in str(open_problem("/dev/null", OSError(errno.EBUSY, "")))


def test_what_is_not_there_is_not_unfit(tmp_path: Path) -> None:
    """Only what exists can be of the wrong kind."""
    assert unfit_problem(str(tmp_path / "none")) is None
    assert unfit_problem("/dev/null") is None


# -- which device -----------------------------------------------------------------------------------------------------


def adapter(device: str, *, serial_number: str | None, vid: int = 0x0403, pid: int = 0x6001) -> ListPortInfo:
    info = ListPortInfo(device, skip_link_detection=True)
    info.vid, info.pid, info.serial_number = vid, pid, serial_number
    return info


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[ListPortInfo]:
    found = [
        adapter("/dev/ttyS0", serial_number=None, vid=0, pid=0),
        adapter("/dev/ttyUSB0", serial_number="A1"),
        adapter("/dev/ttyUSB3", serial_number="B2"),
        adapter("/dev/ttyACM0", serial_number=None, vid=0x2341, pid=0x0043),
    ]
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda *_: found)
    return found


def test_a_usb_identity_finds_the_adapter_of_the_moment(ports: list[ListPortInfo]) -> None:
    """Whatever the kernel calls it after it was plugged in again."""
    assert find_port("usb:2341:0043") == "/dev/ttyACM0"
    assert find_port("usb:0403:6001:B2") == "/dev/ttyUSB3"

    ports[2].device = "/dev/ttyUSB7"
    assert find_port("USB:0403:6001:B2") == "/dev/ttyUSB7"


def test_one_of_several_is_not_chosen_by_chance(ports: list[ListPortInfo]) -> None:
    """The wrong scale would be read, and nobody would notice."""
    with pytest.raises(PortProblem, match=r"is not one adapter but 2: /dev/ttyUSB0 \(serial number A1\)") as caught:
        find_port("usb:0403:6001")

    assert caught.value.kind == "refused"


@pytest.mark.parametrize("port", ["usb:0403:6001:C3", "usb:1234:5678", "hwgrep://nothing-like-it"])
def test_an_adapter_that_is_away_is_waited_for(ports: list[ListPortInfo], port: str) -> None:
    """As for a path that is not there."""
    with pytest.raises(PortProblem, match="is not there") as caught:
        find_port(port)

    assert caught.value.kind == "absent"


@pytest.mark.parametrize("port", ["hwgrep://x&n=first", "hwgrep://(", "hwgrep://x&colour=red"])
def test_a_pattern_that_is_none_needs_a_person(ports: list[ListPortInfo], port: str) -> None:
    """No waiting mends it."""
    with pytest.raises(PortProblem, match="cannot be understood") as caught:
        find_port(port)

    assert caught.value.kind == "refused"


def test_paths_and_urls_are_taken_as_they_are() -> None:
    """A link is followed by the system, a URL by its driver."""
    assert find_port("/dev/serial/by-id/x") == "/dev/serial/by-id/x"
    assert find_port("rfc2217://a:1") == "rfc2217://a:1"
