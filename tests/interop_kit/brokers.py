"""The brokers of the matrix, each as a child process on a free port of the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fieldgate_simulators.broker import Broker, BrokerKind, mosquitto_path
from interop_kit.contract import ANSWER_S
from interop_kit.node import node_environment, node_path, why_no_package
from ports import free_port

__all__ = ["BROKERS", "BrokerProgram"]

_AEDES = Path(__file__).with_name("aedes_broker.cjs")


@dataclass(frozen=True)
class BrokerProgram:
    """A broker that other people run, and how the gateway is told to speak to it."""

    name: str
    versions: tuple[str, ...]  # what it speaks; "auto" finds it
    running: Callable[[], AbstractAsyncContextManager[int]]  # gives the port
    missing: str | None = None  # why it cannot run on this machine


def _of_kind(kind: BrokerKind) -> Callable[[], AbstractAsyncContextManager[int]]:
    @asynccontextmanager
    async def running() -> AsyncIterator[int]:
        async with Broker(kind=kind) as broker:
            yield broker.port

    return running


@asynccontextmanager
async def _aedes() -> AsyncIterator[int]:
    node, port = node_path(), free_port()
    assert node is not None
    process = await asyncio.create_subprocess_exec(node, _AEDES, str(port), env=node_environment())
    try:
        async with asyncio.timeout(ANSWER_S):
            while not await _listens(port):
                assert process.returncode is None, "aedes ended; see the output"
                await asyncio.sleep(0.02)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


BROKERS = (
    BrokerProgram(
        "mosquitto",
        ("5", "3.1.1"),
        _of_kind("mosquitto"),
        None if mosquitto_path() else "mosquitto is not installed (package mosquitto)",
    ),
    BrokerProgram("amqtt", ("3.1.1", "auto"), _of_kind("amqtt")),
    BrokerProgram("aedes", ("3.1.1", "auto"), _aedes, why_no_package("aedes")),
)
