"""What fails is tried again, said once and remembered until it runs well (P8)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
import structlog
from structlog.testing import capture_logs

from fieldgate import supervisor
from fieldgate.errors import FieldgateError
from fieldgate.supervisor import keep_alive
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
        await eventually("it went that far", until, within_s=5)
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
