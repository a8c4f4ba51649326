"""A desk of commands by script, and an uplink that gives it what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from random import Random
from typing import Any

from fieldgate.decide.orders import Answer, Hears, Order, Status
from fieldgate.forward.command_port import CommandPort
from fieldgate.forward.command_topics import DeviceNames
from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.net.broker_connection import Timing
from uplink_kit import FAST, MemoryFeed, uplink_config

__all__ = ["WALL_NS", "ScriptedDesk", "answer_to", "make_port", "running_with_commands"]

WALL_NS = 1_767_225_600_000_000_000


def answer_to(order: Order, status: Status = Status.DONE, reason: str = "") -> Answer:
    return Answer(id=order.id, device=order.device, name=order.name, status=status, reason=reason, at_ns=WALL_NS)


class ScriptedDesk:
    """Does with an order what ``on_submit`` says; by default it is done at once. Checks what `Desk` promises."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.hears: list[Hears] = []
        self.joined: list[str] = []
        self.was_told: list[tuple[Order, Answer]] = []
        self.notes: list[tuple[Order, Answer]] = []
        self.earlier: list[tuple[Order, Answer]] = []  # what an earlier process has not told
        self.on_submit: Callable[[int], None] = self.finish

    def submit(self, order: Order, hears: Hears) -> None:
        self.orders.append(order)
        self.hears.append(hears)
        self.on_submit(len(self.orders) - 1)

    def note(self, order: Order, answer: Answer) -> None:
        self.notes.append((order, answer))

    def join(self, origin: str, hears: Hears) -> None:
        self.joined.append(origin)
        for order, answer in self.earlier:
            hears.answered(order, answer)

    def told(self, order: Order, answer: Answer) -> None:
        self.was_told.append((order, answer))

    def finish(self, number: int, status: Status = Status.DONE, reason: str = "") -> None:
        """Answer an order, and let it be acknowledged."""
        order, hears = self.orders[number], self.hears[number]
        hears.answered(order, answer_to(order, status, reason))
        hears.settled(order)

    def hold(self, number: int) -> None:
        """Leave an order alone for now."""


def make_port(
    desk: ScriptedDesk,
    template: str = "fieldgate/{gateway}/{device}/command/{name}",
    *,
    devices: tuple[str, ...] = (),
    away_since_s: float | None = None,
) -> CommandPort:
    ids = count(1)
    return CommandPort(
        "cloud",
        template,
        gateway="gw",
        desk=desk,
        devices=DeviceNames(lambda: devices, lambda: devices),
        new_id=lambda: f"own-{next(ids)}",
        away_since_s=away_since_s,
    )


@asynccontextmanager
async def running_with_commands(
    desk: ScriptedDesk,
    port: int,
    *,
    feed: MemoryFeed | None = None,
    timing: Timing = FAST,
    commands: CommandPort | None = None,
    **changes: Any,
) -> AsyncIterator[MqttUplink]:
    """An uplink that hears commands, and runs until the block ends."""
    config = uplink_config(port, mqtt={"commands": True, **changes.pop("mqtt", {})}, **changes)
    uplink = MqttUplink(
        "cloud",
        config,
        feed or MemoryFeed(),
        gateway="gw",
        rng=Random(7),
        timing=timing,
        commands=commands or make_port(desk, config.mqtt.commands),
    )
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        yield uplink
    finally:
        await uplink.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
