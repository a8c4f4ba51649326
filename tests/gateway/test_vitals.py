"""Vitals wait for one another: what nobody wants to know any more fills no memory."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from fieldgate.answers import vitals as vitals_module
from fieldgate.answers.vitals import Vitals
from gateway_kit import eventually


async def test_none_follows_while_the_last_one_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a month costs the memory of one event."""
    told: list[tuple[Any, int]] = []
    looks: list[int] = []

    async def facts(_pipeline: object, _problems: object) -> dict[str, Any]:
        return {"n": len(told)}

    def look() -> bool:
        looks.append(1)
        return len(looks) > 20

    monkeypatch.setattr(vitals_module, "vitals_data", facts)
    pipeline = SimpleNamespace(
        config=SimpleNamespace(vitals=SimpleNamespace(lane="low")),
        tell_vitals=lambda data, lane, settler, position: told.append((settler, position)),
    )
    vitals = Vitals(pipeline, {}, every_s=0.001)  # type: ignore[arg-type]  # all that it uses
    task = asyncio.create_task(vitals.run(), name="vitals")
    try:
        await eventually("one is told", lambda: told)
        await eventually("it had the time for many", look)
        before = len(told)
        told[0][0].settled(told[0][1], 1)
        await eventually("the next one follows", lambda: len(told) == 2)
    finally:
        task.cancel()

    assert before == 1
    assert [position for _, position in told] == [1, 2]
