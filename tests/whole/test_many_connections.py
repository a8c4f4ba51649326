"""Thousands of devices that are connected and have nothing to say: what each costs, and that others are served."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import Connect, Packet, Publish, Subscribe, Subscription
from gateway_kit import Gateway, eventually, running

MOST_KB = 12.0
COUNTS = pytest.mark.parametrize("count", [1_000, pytest.param(5_000, marks=pytest.mark.long)])
LONG_FILTERS = tuple(Subscription(f"{number}/" + "x" * 4_000, 0) for number in range(4))

Figure = Callable[[str], None]


def allow_files(count: int) -> None:
    """Here and in the gateway, which inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            pytest.skip(f"{count} open files are needed and {hard} allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


class Idle(asyncio.Protocol):
    """A client that says what it is told to and counts the bytes of the answers."""

    def __init__(self) -> None:
        self.transport: asyncio.WriteTransport | None = None
        self.heard_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard_bytes += len(data)

    def say(self, packet: Packet) -> None:
        assert self.transport is not None
        self.transport.write(encode(packet, 4))


async def connected(port: int, count: int) -> list[Idle]:
    """That many clients, each with its CONNACK."""
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(count):
        _, client = await loop.create_connection(Idle, "127.0.0.1", port)
        client.say(Connect(f"idle-{number:05}", 4, keep_alive_s=600))
        clients.append(client)
        if number % 100 == 99:
            await eventually("they are in", lambda: clients[-1].heard_bytes == 4)
    await eventually("all are in", lambda: all(one.heard_bytes == 4 for one in clients))
    return clients


@COUNTS
async def test_an_idle_connection_costs_12_kilobytes_at_most_and_others_are_served(
    tmp_path: Path, count: int, figure: Figure
) -> None:
    """5,000 devices on a Pi must leave room for the rest; what they hold beyond that shows in the same figure."""
    allow_files(count + 300)
    limits = {"max_clients": count + 10, "max_clients_per_address": count + 10}
    async with running(Gateway(tmp_path, uplinks={}, listen=limits)) as gateway:
        assert gateway.process is not None
        process = psutil.Process(gateway.process.pid)
        before = process.memory_info().rss

        def kilobytes() -> float:
            return (process.memory_info().rss - before) / 1e3 / count

        clients = await connected(gateway.port, count)
        idle = kilobytes()
        device = clients[count // 2]
        for packet_id in range(1, 201):
            device.say(Publish("t", b"x", 1, packet_id=packet_id))
        await eventually("one of them is acknowledged", lambda: device.heard_bytes == 4 + 200 * 4)
        assert (await gateway.status())["listeners"][0]["clients"] == count
        for client in clients:
            client.heard_bytes = 0
            client.say(Subscribe(1, LONG_FILTERS))
        await eventually("all have subscribed", lambda: all(one.heard_bytes for one in clients), within_s=40)
        laden = kilobytes()
        for client in clients:
            assert client.transport is not None
            client.transport.abort()

    figure(f"{idle:.1f} KB per idle connection, {laden:.1f} KB with 16 KB of filters")
    assert idle <= MOST_KB
    assert laden > MOST_KB  # the control: the figure sees what a connection holds
