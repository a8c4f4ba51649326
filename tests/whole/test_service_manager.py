"""A whole gateway and the service manager that started it: ready, alive, stopping, as systemd hears it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from gateway_kit import Gateway, eventually, publish_once
from service_kit import Manager, listening_manager

WATCHDOG_S = 2.0
DOWN = {"mqtt": {"url": "mqtt://127.0.0.1:9"}}  # nobody listens there


@asynccontextmanager
async def served(folder: Path, manager: Manager, **env: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(
        folder,
        uplinks={"cloud": DOWN},
        durability="journal",
        env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}", **env},
    )
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


async def frozen(gateway: Gateway, freeze: Path) -> None:
    """Have the journal's thread hang, and the gateway notice; a machine that is only slow may have made it say so."""
    said = gateway.log_text().count("service.no_progress")
    freeze.touch()
    await eventually("the log says it", lambda: gateway.log_text().count("service.no_progress") > said)


async def test_it_is_ready_when_devices_can_connect_says_how_it_is_and_that_it_stops(tmp_path: Path) -> None:
    """Whatever is ordered after the service relies on it; ``systemctl status`` shows the line."""
    with listening_manager() as manager:
        async with served(tmp_path, manager) as gateway:
            await eventually("it is ready", lambda: "READY=1" in manager.heard)
            await publish_once(gateway.port, "t/d", b'{"device": "d"}')
            await eventually("a line tells of it", lambda: "cloud down" in manager.values("STATUS")[-1])
            await eventually("and of what waits", lambda: "1 event waits" in manager.values("STATUS")[-1])
            code = await gateway.stop()

        heard = manager.heard
        assert code == 0
        assert heard[0].startswith("STATUS=starting: the journal in ")
        assert heard.count("READY=1") == 1
        assert heard.index("READY=1") < heard.index("STOPPING=1")
        assert "EXTEND_TIMEOUT_USEC=2000000" in heard
        assert all(one != other for one, other in pairwise(manager.values("STATUS")))


async def test_a_listener_that_cannot_listen_keeps_nobody_from_being_ready(tmp_path: Path) -> None:
    """A port in use is tried again for ever (P8); a start that never ends would be killed, with what works."""
    with listening_manager() as manager:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as taken:
            port = taken.sockets[0].getsockname()[1]
            gateway = Gateway(tmp_path, uplinks={}, env={"NOTIFY_SOCKET": manager.address})
            gateway.settings["listen"].append({"mqtt": f"127.0.0.1:{port}"})
            await gateway.start()
            try:
                await eventually("it is ready", lambda: "READY=1" in manager.heard)
                ready = manager.heard.index("READY=1")
            finally:
                await gateway.kill()

        assert manager.heard[ready + 1].startswith(f"STATUS=PROBLEM: ingest:127.0.0.1:{port}: ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"uplinks": {"up": {"mqtt": {"url": "gopher://a"}}}}, "fieldgate.yaml:1:"),
        ({"journal": {"path": "/proc/nowhere"}}, "/proc/nowhere"),
    ],
    ids=["configuration", "journal"],
)
async def test_a_start_that_fails_leaves_the_reason_in_the_status(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    """``systemctl status`` of a failed service shows the last line it heard."""
    with listening_manager() as manager:
        gateway = Gateway(tmp_path, uplinks={}, env={"NOTIFY_SOCKET": manager.address})
        gateway.settings |= change
        with pytest.raises(AssertionError, match="the gateway ended with 78"):
            await gateway.start()

        assert manager.values("STATUS")[-1].startswith("FAILED: ")
        assert reason in manager.values("STATUS")[-1]


async def test_the_watchdog_starves_while_the_journals_thread_hangs_and_only_then(tmp_path: Path) -> None:
    """The loop still runs, and answers; but nothing is acknowledged any more. An uplink that is down hangs nothing."""
    freeze = tmp_path / "freeze"
    with listening_manager() as manager:
        async with served(tmp_path, manager, FIELDGATE_FREEZE_WRITER=str(freeze)) as gateway:
            await eventually("it is fed again and again", lambda: manager.count("WATCHDOG=1") > 2)

            await frozen(gateway, freeze)
            fed = manager.count("WATCHDOG=1")
            await asyncio.sleep(WATCHDOG_S)  # the time in which systemd would lose its patience
            assert manager.count("WATCHDOG=1") == fed

            freeze.unlink()
            await eventually("it is fed again", lambda: manager.count("WATCHDOG=1") > fed)
            assert "missing=journal" in gateway.log_text()


async def test_what_the_watchdog_ends_says_where_it_hung(tmp_path: Path) -> None:
    """systemd sends SIGABRT. Without the place, a defect that shows once a year is never found."""
    freeze = tmp_path / "freeze"
    with listening_manager() as manager:
        async with served(tmp_path, manager, FIELDGATE_FREEZE_WRITER=str(freeze)) as gateway:
            await frozen(gateway, freeze)
            assert gateway.process is not None
            gateway.process.send_signal(signal.SIGABRT)
            code = await asyncio.wait_for(gateway.process.wait(), 30)

        assert code == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in gateway.log_text()
        assert "in _hang_while_there_is" in gateway.log_text()


async def test_the_test_of_the_watchdog_notices_one_that_only_shows_that_the_loop_runs(tmp_path: Path) -> None:
    """The control, on a gateway that breaks the promise."""
    freeze = tmp_path / "freeze"
    env = {"FIELDGATE_FREEZE_WRITER": str(freeze), "FIELDGATE_MUTANT": "feed-without-progress"}
    with listening_manager() as manager:
        async with served(tmp_path, manager, **env):
            freeze.touch()
            await eventually("it is asked once more", lambda: manager.count("WATCHDOG=1"))
            fed = manager.count("WATCHDOG=1")

            await eventually("it is fed although nothing is committed", lambda: manager.count("WATCHDOG=1") > fed + 3)


async def test_a_stop_whose_disk_hangs_asks_for_time_once_and_not_for_ever(tmp_path: Path) -> None:
    """Time is asked for as long as something gets on; for what hangs the manager's own limit counts."""
    freeze = tmp_path / "freeze"
    with listening_manager() as manager:
        async with served(tmp_path, manager, FIELDGATE_FREEZE_WRITER=str(freeze)) as gateway:
            await eventually("it is ready", lambda: "READY=1" in manager.heard)
            await frozen(gateway, freeze)
            assert gateway.process is not None
            gateway.process.send_signal(signal.SIGTERM)
            await eventually("it stops", lambda: "STOPPING=1" in manager.heard)
            await asyncio.sleep(WATCHDOG_S)  # in which a stop that gets on asks twice

            assert len(manager.values("EXTEND_TIMEOUT_USEC")) == 1

            freeze.unlink()
            assert await asyncio.wait_for(gateway.process.wait(), 30) in {0, 1}
