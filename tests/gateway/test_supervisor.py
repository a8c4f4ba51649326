"""What fails is tried again, said once and remembered until it runs well (P8)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import capture_logs

from fieldgate import supervisor
from fieldgate.errors import FieldgateError, JournalError
from fieldgate.supervisor import StopIncomplete, keep_alive, supervise
from gateway_kit import eventually


class Part:
    """Ends as told, one outcome a start; stays after the last."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.starts = 0
        self._outcomes = list(outcomes)

    async def run(self) -> None:
        self.starts += 1
        if not self._outcomes:
            await asyncio.Event().wait()
        outcome = self._outcomes.pop(0)
        if outcome is not None:
            raise outcome


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_RESTART_BASE_S", 0.0)
    monkeypatch.setattr(supervisor, "_RESTART_CAP_S", 0.1)
    monkeypatch.setattr(supervisor, "_WELL_AFTER_S", 0.2)
    monkeypatch.setattr(supervisor, "log", structlog.get_logger())


async def supervised(run: Callable[[], Awaitable[None]], problems: dict[str, str], until: Callable[[], bool]) -> None:
    task = asyncio.create_task(keep_alive("part", run, rng=random.Random(1), problems=problems))
    try:
        await eventually("it went that far", until)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("quick")
async def test_a_part_that_fails_is_started_again_and_the_reason_is_known_until_it_runs() -> None:
    """Status says why a listener does not listen; the log says it once, however often it is tried."""
    problems: dict[str, str] = {}
    part = Part(*[FieldgateError("no luck")] * 5)

    with capture_logs() as logs:
        await supervised(part.run, problems, lambda: part.starts > 2)
        assert problems == {"part": "no luck"}
        await supervised(part.run, problems, lambda: part.starts == 6 and not problems)

    assert [one["problem"] for one in logs if one["event"] == "task.restarting"] == ["no luck"]


@pytest.mark.usefixtures("quick")
async def test_another_reason_is_said_again() -> None:
    """First the port is in use, then the address is gone: both matter."""
    part = Part(FieldgateError("a"), FieldgateError("a"), OSError(98, "b"), FieldgateError("a"), None)
    problems: dict[str, str] = {}

    with capture_logs() as logs:
        await supervised(part.run, problems, lambda: part.starts == 6)

    told = [one["problem"] for one in logs if one["event"] == "task.restarting"]
    assert told == ["a", "[Errno 98] b", "a", "ended"]


@pytest.mark.usefixtures("quick")
async def test_a_defect_in_one_part_is_logged_with_its_place_and_stops_nothing() -> None:
    """P8: one broken part never stops another."""
    part = Part(ZeroDivisionError("oops"))

    with capture_logs() as logs:
        await supervised(part.run, {}, lambda: part.starts == 2)

    failed = next(one for one in logs if one["event"] == "task.failed")
    assert failed["exc_info"] is True
    assert failed["task"] == "part"


@pytest.mark.parametrize("variable", ["INVOCATION_ID", "NOTIFY_SOCKET"])
def test_what_a_service_manager_started_is_a_service(variable: str) -> None:
    """There SIGHUP is the word to reload; the terminal is asked only where nobody says so."""
    assert supervisor.is_service({variable: "x"})


async def test_sighup_sets_the_event_that_is_given_and_stops_nothing() -> None:
    """And without one it asks to stop, as the end of a terminal does."""
    hang_up = asyncio.Event()
    with supervisor.stop_signals(hang_up) as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(hang_up.wait(), 20)
        assert not stop.is_set()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else it is ignored, as with nohup
    with supervisor.stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(stop.wait(), 20)


class Keeper:
    def __init__(self, failure: JournalError | None) -> None:
        self.failure = failure

    async def run(self) -> None:
        if self.failure is not None:
            raise self.failure
        await asyncio.Event().wait()

    async def call(self, work: Callable[[object], object]) -> object:
        return work(None)


class Pipeline:
    """As much of one as the supervisor needs, ending as told."""

    def __init__(self, folder: Path, *, failure: JournalError | None = None, stop_s: float = 0.0) -> None:
        self.config = SimpleNamespace(
            journal=SimpleNamespace(path=folder),
            metrics=SimpleNamespace(listen=None),
            vitals=SimpleNamespace(every=None),
        )
        self.keeper = Keeper(failure)
        self.part = Part()
        self.listeners: list[object] = []
        self.is_stopped = False
        self._stop_s = stop_s

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {"part": self.part.run}

    async def stop(self) -> None:
        await asyncio.sleep(self._stop_s)
        self.is_stopped = True


@pytest.mark.usefixtures("quick")
async def test_a_signal_stops_everything_in_order(tmp_path: Path) -> None:
    """And nothing is raised: that is exit code 0."""
    pipeline, stop = Pipeline(tmp_path), asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)

    await supervise(pipeline, stop)  # type: ignore[arg-type]  # as much of one as it needs

    assert pipeline.part.starts == 1
    assert pipeline.is_stopped
    assert not (tmp_path / "control.sock").exists()


@pytest.mark.usefixtures("quick")
async def test_the_journal_s_failure_ends_the_gateway_after_an_orderly_stop(tmp_path: Path) -> None:
    """Nothing may be acknowledged any more; the service manager starts it again (exit code 1)."""
    pipeline = Pipeline(tmp_path, failure=JournalError("the disk is broken"))

    with pytest.raises(JournalError, match="the disk is broken"):
        await asyncio.wait_for(supervise(pipeline, asyncio.Event()), 20)  # type: ignore[arg-type]  # as above

    assert pipeline.is_stopped


@pytest.mark.usefixtures("quick")
async def test_a_stop_that_takes_too_long_is_cut_short_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that takes no write any more must not keep the machine from shutting down."""
    monkeypatch.setattr(supervisor, "_STOP_DEADLINE_S", 0.05)
    stop = asyncio.Event()
    stop.set()

    with pytest.raises(StopIncomplete, match="what was not written was not acknowledged"):
        await asyncio.wait_for(supervise(Pipeline(tmp_path, stop_s=60), stop), 20)  # type: ignore[arg-type]  # as above
