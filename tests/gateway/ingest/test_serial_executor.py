"""Commands that are written to a serial port: the executor by script, and a gateway with a device on a pty."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from command_gateway import boiler_gateway, give
from fieldgate.decide.orders import Job, Order, Outcome, Status
from fieldgate.decide.replies import Replies
from fieldgate.ingest.serial_executor import SerialExecutor
from fieldgate.ingest.serial_problems import SerialDown, SerialError
from fieldgate_devices.command import SerialWrite
from fieldgate_devices.command_model import ReplySpec
from fieldgate_devices.command_reply import Reply
from gateway_kit import eventually, running

SCALE = """
profile: scale
match: {serial: scale}
device: scale
fields: {weight: {type: float, optional: true}}
decode: {regex: {pattern: "(?P<weight>[0-9.]+)|.*"}}
"""


class Port:
    """A port by script."""

    name = "scale"

    def __init__(self) -> None:
        self.is_connected = True
        self.written: list[bytes] = []
        self.failure: SerialError | None = None
        self.may_write = asyncio.Event()
        self.may_write.set()

    def encode(self, payload: bytes) -> bytes:
        if b"\n" in payload:
            raise SerialError("scale: a line cannot hold its end")
        return payload + b"\n"

    async def write(self, content: bytes, *, timeout_s: float | None = None) -> None:
        await self.may_write.wait()
        if self.failure is not None:
            raise self.failure
        self.written.append(content)


class Rig:
    def __init__(self) -> None:
        self.port = Port()
        self.replies = Replies()
        self.executor = SerialExecutor(self.port, "serial/scale", self.replies)
        self.outcomes: list[Outcome] = []

    def job(self, payload: bytes = b"TARE", *, mark: str = "m", reply: Reply | None = None) -> Job:
        order = Order(
            device="scale", name="tare", arguments={}, origin="cli", id="i", received_boot_ns=0, received_wall_ns=0
        )  # fmt: skip
        request = SerialWrite(payload, reply)
        return Job(order=order, mark=mark, request=request, topic="serial/scale", expires_at_s=60, gives_up_at_s=10)

    def execute(self, job: Job) -> None:
        self.executor.execute(job, self.outcomes.append)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    task = asyncio.create_task(rig.executor.run())
    yield rig
    task.cancel()


async def test_it_is_done_when_the_port_has_taken_the_frame(rig: Rig) -> None:
    rig.execute(rig.job())
    await eventually("it is written", lambda: rig.outcomes)

    assert rig.port.written == [b"TARE\n"]
    assert rig.outcomes == [Outcome(Status.DONE)]


async def test_with_a_reply_it_is_done_when_that_is_heard(rig: Rig) -> None:
    rig.execute(rig.job(reply=Reply(ReplySpec.model_validate({"text": "OK"}), {})))
    await eventually("it is written", lambda: rig.port.written)
    rig.replies.hear("serial/scale", b"21.5")
    before = list(rig.outcomes)
    rig.replies.hear("serial/scale", b"OK\r")

    assert before == []
    assert rig.outcomes == [Outcome(Status.DONE)]


async def test_a_port_that_is_away_or_cannot_carry_it_refuses(rig: Rig) -> None:
    odd = rig.executor.problem(rig.job(b"A\nB"))
    rig.port.is_connected = False
    rig.execute(rig.job())

    assert odd == "scale: a line cannot hold its end"
    assert rig.outcomes == [Outcome(Status.REFUSED, "the port of source 'scale' is not open")]


async def test_a_port_that_is_lost_meanwhile_leaves_it_open(rig: Rig) -> None:
    """A part of it may have reached the device."""
    rig.port.failure = SerialDown("scale: the adapter is gone")
    rig.execute(rig.job(reply=Reply(ReplySpec.model_validate({"text": "OK"}), {})))
    await eventually("it failed", lambda: rig.outcomes)

    assert rig.outcomes[0].status is Status.TIMEOUT
    assert rig.outcomes[0].reason.startswith("scale: the adapter is gone; ")
    assert not rig.replies.is_waiting


async def test_what_waits_for_its_turn_can_be_taken_back(rig: Rig) -> None:
    rig.port.may_write.clear()
    first, second = rig.job(), rig.job(b"ZERO", mark="n")
    rig.execute(first)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.execute(second)
    taken_back = [rig.executor.cancel(second), rig.executor.cancel(first)]
    rig.port.may_write.set()
    await eventually("the first is written", lambda: rig.port.written)

    assert taken_back == [True, False]
    assert rig.port.written == [b"TARE\n"]


async def test_a_device_on_a_port_is_told_something_and_replies(tmp_path: Path) -> None:
    """Through a real gateway and a pty: named by the configuration, known before it has said anything."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    gateway = boiler_gateway(tmp_path)
    (tmp_path / "devices.d" / "scale.yaml").write_text(
        SCALE.replace("match: {serial: scale}\n", "")
        + 'commands:\n  tare: {serial: "TARE {n}", payload: {n: {type: int}}, reply: {text: "OK {n}"}, timeout: 20s}\n'
    )
    gateway.settings["sources"] = [
        {
            "name": "scale",
            "serial": {
                "port": os.ttyname(slave),
                "baud": 9600,
                "framing": "lines",
                "profile": "scale",
                "device": "scale",
            },
        }
    ]
    try:
        async with running(gateway):

            async def is_open() -> bool:
                source: dict[str, Any] = (await gateway.status())["sources"]["scale"]
                return source["state"] == "connected"

            await eventually("the port is open", is_open)
            giving = asyncio.create_task(give(gateway, "scale", 7, name="tare"))
            heard = await eventually("it was written", lambda: giving.done() or _taken(master))
            assert not giving.done(), giving.result()["reason"]
            os.write(master, b"12.5\r\nOK 7\r\n")
            answer = await giving
    finally:
        os.close(master)
        os.close(slave)

    assert heard.rstrip() == b"TARE 7"
    assert answer["status"] == "done"


def _taken(master: int) -> bytes:
    try:
        return os.read(master, 4096)
    except BlockingIOError:
        return b""
