"""kill -9 while commands come from upstream: none is carried out twice, each that was acknowledged has an answer."""

from __future__ import annotations

import asyncio
import random
import textwrap
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from command_gateway import Boiler, boiler_gateway
from gateway_kit import Gateway, eventually
from listener_kit import RawClient
from platform_kit import Client, said
from uplink_kit import mosquitto

_DEVICES = 8
_FINAL = {"refused", "done", "timeout", "unknown"}


class _Kill:
    """The gateway is killed when the devices have got so many commands; the last one of them is not acknowledged."""

    def __init__(self, gateway: Gateway, after: int) -> None:
        self.is_over = asyncio.Event()
        self._left = after
        self._gateway = gateway

    def acks(self, _number: int) -> bool:
        self._left -= 1
        if self._left == 0:
            assert self._gateway.process is not None
            self._gateway.process.kill()
            self.is_over.set()
        return self._left > 0


def _send(platform: Client, numbers: range) -> None:
    for number in numbers:
        platform.send(
            f"fieldgate/g/b{number % _DEVICES}/command/set",
            b'{"n": %d}' % number,
            ResponseTopic="replies",
            CorrelationData=b"%d" % number,
        )


def _answers(platform: Client) -> dict[int, set[str]]:
    """The final answers of each command; one that is told twice counts once."""
    found: dict[int, set[str]] = defaultdict(set)
    for message in list(platform.got):
        answer = said(message)
        if answer["status"] in _FINAL:
            found[int(answer["id"])].add(f"{answer['status']} {answer['at']}")
    return found


async def _finish(gateway: Gateway, boilers: list[Boiler], platform: Client, count: int, *, within_s: float) -> None:
    """Let everything that is still open come to its end."""
    await gateway.start()
    async with asyncio.TaskGroup() as tasks:
        serving = []
        for boiler in boilers:
            boiler.acks = lambda _: True
            await boiler.connect()
            serving.append(tasks.create_task(boiler.serve()))
        try:
            await eventually("each has an answer", lambda: len(_answers(platform)) == count, within_s=within_s)
        finally:
            for task in serving:
                task.cancel()


async def _round(gateway: Gateway, boilers: list[Boiler], platform: Client, numbers: range, kill_after: int) -> None:
    """Have these commands sent to devices that are there, and the gateway killed in the middle of it."""
    await gateway.start()
    kill = _Kill(gateway, kill_after)
    async with asyncio.TaskGroup() as tasks:
        for boiler in boilers:
            boiler.acks = kill.acks
            await boiler.connect()
            tasks.create_task(boiler.serve())
        await asyncio.to_thread(_send, platform, numbers)
        await kill.is_over.wait()
        assert gateway.process is not None
        await gateway.process.wait()
        await RawClient.close_all()


async def _kills(
    folder: Path, *, count: int, kills: int, env: dict[str, str] | None = None, within_s: float = 60.0
) -> tuple[list[str], str]:
    """Send ``count`` commands over so many kills; return what is wrong, and a line of figures."""
    rng = random.Random(count)
    per_round = count // kills
    async with mosquitto(folder, "max_inflight_messages 100") as port:
        gateway = boiler_gateway(
            folder, env=env, uplinks={"cloud": {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "commands": True}}}
        )
        boilers = [Boiler(gateway, f"b{number}") for number in range(_DEVICES)]
        platform = Client(port, "platform", "replies")
        try:
            for number in range(kills):
                numbers = range(number * per_round, (number + 1) * per_round)
                await _round(gateway, boilers, platform, numbers, rng.randint(per_round // 2, per_round - 2))
            await _finish(gateway, boilers, platform, count, within_s=within_s)
        finally:
            await gateway.kill()
            await RawClient.close_all()
            platform.close()
    return _judge(boilers, _answers(platform))


def _judge(boilers: list[Boiler], answers: dict[int, set[str]]) -> tuple[list[str], str]:
    wrong = []
    counts: dict[str, int] = defaultdict(int)
    for number, told in sorted(answers.items()):
        executed = sum(boiler.executed[number] for boiler in boilers)
        if executed > 1:
            wrong.append(f"{number} was carried out {executed} times")
        if len(told) > 1:
            wrong.append(f"{number} was answered {sorted(told)}")
        status = min(told).split()[0]
        counts[status] += 1
        if status == "done" and executed != 1:
            wrong.append(f"{number} is done and was carried out {executed} times")
        if status == "refused" and executed:
            wrong.append(f"{number} was refused and carried out")
    return wrong, ", ".join(f"{status} {number}" for status, number in sorted(counts.items()))


@pytest.mark.timeout(180)
async def test_over_kills_no_command_from_upstream_is_carried_out_twice(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """The broker sends again what was not acknowledged; the desk knows it by its id."""
    wrong, figures = await _kills(tmp_path, count=54, kills=2)

    figure(figures)
    assert wrong == []
    assert "done" in figures
    assert "unknown" in figures


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_thousand_commands_from_upstream_over_twenty_kills(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """The same, as much of it as was promised."""
    wrong, figures = await _kills(tmp_path, count=1000, kills=20)

    figure(figures)
    assert wrong == []


@pytest.mark.timeout(180)
async def test_an_uplink_that_acknowledges_at_once_is_found_out(tmp_path: Path) -> None:
    """The control: a command is acknowledged before the desk has it, so that a kill loses it, and its answer."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import asyncio

            from fieldgate.forward import command_inbox

            submit = command_inbox.CommandInbox._submit

            def hasty(self, packet, code, *rest):
                self._acknowledge(code)
                asyncio.get_running_loop().call_later(0.3 * packet.packet_id % 2, submit, self, packet, 0, *rest)

            command_inbox.CommandInbox._submit = hasty
            """
        )
    )

    with pytest.raises(ExceptionGroup) as found:
        await _kills(tmp_path, count=27, kills=1, env={"PYTHONPATH": str(tmp_path)}, within_s=5)
    assert "each has an answer" in str(found.value.exceptions[0])
