"""kill -9 while commands are carried out: none is carried out twice, and each that was answered keeps its answer."""

from __future__ import annotations

import asyncio
import random
import textwrap
from pathlib import Path
from typing import Any

import pytest

from command_gateway import Boiler, boiler_gateway, give_until_answered
from gateway_kit import Gateway
from listener_kit import RawClient

_DEVICES = 8
_AT_ONCE = 16  # askers; the control socket takes 32


class _Round:
    """The gateway is killed when the devices have got so many commands; the last one of them is not acknowledged."""

    def __init__(self, gateway: Gateway, *, kill_after: int | None) -> None:
        self.left = kill_after
        self.is_over = asyncio.Event()
        self._gateway = gateway

    def acks(self, _: int) -> bool:
        if self.left is None:
            return True
        self.left -= 1
        if self.left == 0:
            assert self._gateway.process is not None
            self._gateway.process.kill()
            self.is_over.set()
        return self.left > 0


async def _one_round(
    gateway: Gateway,
    boilers: list[Boiler],
    numbers: list[int],
    answers: dict[int, dict[str, Any]],
    kill_after: int | None,
) -> None:
    """Give these commands, each again with its id until it is answered or the gateway is killed."""
    await gateway.start()
    this = _Round(gateway, kill_after=kill_after)
    todo = iter(numbers)

    async def ask_on() -> None:
        for number in todo:
            answer = await give_until_answered(gateway, f"b{number % _DEVICES}", number)
            if answer is not None:
                answers.setdefault(number, answer)

    async with asyncio.TaskGroup() as tasks:
        for boiler in boilers:
            boiler.acks = this.acks
            await boiler.connect()
        serving = [tasks.create_task(boiler.serve()) for boiler in boilers]
        async with asyncio.TaskGroup() as asking:
            for _ in range(_AT_ONCE):
                asking.create_task(ask_on())
        if kill_after is not None:
            await this.is_over.wait()
            assert gateway.process is not None
            await gateway.process.wait()
        else:
            for task in serving:
                task.cancel()
    await RawClient.close_all()


async def _kills(folder: Path, *, count: int, kills: int, env: dict[str, str] | None = None) -> list[str]:
    """Give ``count`` commands over so many kills; return what is wrong, and "unknown" for each such answer."""
    rng = random.Random(count)
    gateway = boiler_gateway(folder, env=env)
    boilers = [Boiler(gateway, f"b{number}") for number in range(_DEVICES)]
    answers: dict[int, dict[str, Any]] = {}
    per_round = count // kills
    try:
        for number in range(kills):
            fresh = list(range(number * per_round, (number + 1) * per_round))
            unanswered = [one for one in range(number * per_round) if one not in answers]
            kill_after = rng.randint(1, max(1, per_round // 2))
            await _one_round(gateway, boilers, unanswered + fresh, answers, kill_after)
        everything: dict[int, dict[str, Any]] = {}
        await _one_round(gateway, boilers, list(range(count)), everything, None)
    finally:
        await gateway.kill()
        await RawClient.close_all()
    wrong = []
    for number in range(count):
        executed = sum(boiler.executed[number] for boiler in boilers)
        before, after = answers.get(number), everything.get(number)
        if executed > 1:
            wrong.append(f"{number} was carried out {executed} times")
        if after is None:
            wrong.append(f"{number} has no answer")
            continue
        if before is not None and (before["status"], before["at_ns"]) != (after["status"], after["at_ns"]):
            wrong.append(f"{number} was answered {before['status']}, and then {after['status']}")
        if after["status"] == "done" and executed != 1:
            wrong.append(f"{number} is done and was carried out {executed} times")
        if after["status"] == "refused" and executed:
            wrong.append(f"{number} was refused and carried out")
        if after["status"] == "unknown":
            wrong.append("unknown")
    return wrong


@pytest.mark.timeout(180)
async def test_over_kills_no_command_is_carried_out_twice_and_each_keeps_its_answer(tmp_path: Path) -> None:
    """At each kill a device has just got one and has not acknowledged it: nobody can know, and it says so."""
    found = await _kills(tmp_path, count=60, kills=2)

    assert [one for one in found if one != "unknown"] == []
    assert found.count("unknown") >= 2


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_thousand_commands_over_twenty_kills(tmp_path: Path) -> None:
    """The same, as much of it as was promised."""
    found = await _kills(tmp_path, count=1000, kills=20)

    assert [one for one in found if one != "unknown"] == []
    assert found.count("unknown") >= 20


@pytest.mark.timeout(180)
async def test_a_gateway_that_records_after_it_carries_out_is_found_out(tmp_path: Path) -> None:
    """The control: the start is not written before, but with the answer."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            from fieldgate.decide import desk

            begin = desk.OrderDesk._begin

            def hasty(self, one, now):
                begin(self, one, now)
                self._start(one, now)

            desk.OrderDesk._begin = hasty
            changed = desk.OrderDesk._changed
            desk.OrderDesk._changed = lambda self, one: changed(self, one) if one.answers else None
            """
        )
    )

    found = await _kills(tmp_path, count=40, kills=1, env={"PYTHONPATH": str(tmp_path)})

    assert any("carried out 2 times" in one for one in found)
