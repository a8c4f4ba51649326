"""What the service manager is told, on a real socket: nothing where nobody asked, and never so that the loop waits."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from fieldgate import clock
from fieldgate.observe import systemd_notify
from fieldgate.observe.systemd_notify import ServiceManager, watchdog_timeout_s
from service_kit import listening_manager


@pytest.mark.parametrize("is_abstract", [True, False], ids=["abstract", "file"])
def test_what_is_told_is_what_the_manual_says(tmp_path: Path, *, is_abstract: bool) -> None:
    """sd_notify(3): systemd outside of containers has a file, other managers abstract names."""
    with listening_manager(None if is_abstract else tmp_path) as heard:
        manager = ServiceManager({"NOTIFY_SOCKET": heard.address})
        before_us = clock.monotonic_ns() // 1000

        manager.ready("all is well")
        manager.alive()
        manager.reloading("reading again")
        manager.needs_time(1.5)
        manager.stopping("stopping")

        monotonic_us = int(heard.values("MONOTONIC_USEC")[0])
        assert [line for line in heard.heard if not line.startswith("MONOTONIC_USEC")] == [
            "READY=1",
            "STATUS=all is well",
            "WATCHDOG=1",
            "RELOADING=1",
            "STATUS=reading again",
            "EXTEND_TIMEOUT_USEC=1500000",
            "STOPPING=1",
            "STATUS=stopping",
        ]
        assert before_us <= monotonic_us <= clock.monotonic_ns() // 1000


def test_without_a_manager_nothing_is_done_and_nothing_said() -> None:
    """In a terminal or a container there is none, which is no problem."""
    with capture_logs() as logs:
        manager = ServiceManager({})
        manager.ready("ready")
        manager.flush()

    assert not manager.listens
    assert logs == []


def test_a_status_is_told_when_it_changes_and_not_again() -> None:
    """Each is a message on the system's bus."""
    with listening_manager() as heard:
        manager = ServiceManager({"NOTIFY_SOCKET": heard.address})
        for line in ("a", "a", "b", "b", "a"):
            manager.status(line)

        assert heard.values("STATUS") == ["a", "b", "a"]


def test_a_status_cannot_give_orders_to_the_manager() -> None:
    """A problem may hold what a device or a file said; a line of its own could name another main process."""
    with listening_manager() as heard:
        ServiceManager({"NOTIFY_SOCKET": heard.address}).status("bad rule\nMAINPID=1\r\n\vSTOPPING=1")

        assert heard.heard == ["STATUS=bad rule MAINPID=1 STOPPING=1"]


def test_a_status_that_is_too_long_is_cut_between_letters() -> None:
    """systemd drops a message above 4,096 bytes, with all that is in it."""
    with listening_manager() as heard:
        ServiceManager({"NOTIFY_SOCKET": heard.address}).ready("ä" * 5000)

        (status,) = heard.values("STATUS")
        assert heard.count("READY=1") == 1
        assert status == "ä" * 510 + "…"


def test_a_manager_that_does_not_keep_up_is_told_later_in_order() -> None:
    """The loop never waits for it, and READY is not lost."""
    with listening_manager() as heard:
        manager = ServiceManager({"NOTIFY_SOCKET": heard.address})
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crowd:
            crowd.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    crowd.sendto(b"CROWD=1", "\0" + heard.address[1:])
        manager.ready("ready")
        manager.alive()
        assert "READY=1" not in heard.heard

        manager.flush()

        assert [line for line in heard.heard if line != "CROWD=1"] == ["READY=1", "STATUS=ready", "WATCHDOG=1"]


def test_a_manager_that_is_gone_is_said_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wrong NOTIFY_SOCKET must be found by who wrote it, and stop nothing."""
    monkeypatch.setattr(systemd_notify, "log", structlog.get_logger())

    with capture_logs() as logs:
        gone = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
        gone.ready("a")
        gone.status("b")
        ServiceManager({"NOTIFY_SOCKET": "vsock:2:1234"}).ready("a")

    assert [one["problem"] for one in logs] == [
        f"{tmp_path / 'gone'}: no such file or directory",
        "NOTIFY_SOCKET='vsock:2:1234' is no unix socket",
    ]


@pytest.mark.parametrize(
    ("env", "timeout_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_by_the_process_that_is_meant(env: dict[str, str], timeout_s: float | None) -> None:
    """A child inherits the variables; only the main process may feed."""
    assert watchdog_timeout_s(env) == timeout_s
