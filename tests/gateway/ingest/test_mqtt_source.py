"""A source against real brokers: what is published there becomes events, and is acknowledged when they are safe."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from fieldgate.ingest.mqtt_source import MqttSource
from listener_kit import HeldIntake, SettlingIntake
from source_kit import running
from uplink_kit import mosquitto, until

PERSISTENT = ("max_inflight_messages 20",)


async def publish(port: int, *messages: tuple[str, bytes], qos: int = 1, retain: bool = False) -> None:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=qos, retain=retain)


async def subscribed(source: MqttSource) -> None:
    await until(lambda: source.status.state == "connected" and source._subscriptions.is_complete)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_what_is_published_at_the_broker_becomes_events_in_order(version: str, qos: int, tmp_path: Path) -> None:
    """The reason for sources: nobody reconfigures fifty devices to try a gateway."""
    intake = SettlingIntake()
    async with (
        mosquitto(tmp_path) as port,
        running(intake, port, mqtt={"version": version, "subscribe": [{"filter": "sensors/#", "qos": qos}]}) as source,
    ):
        await subscribed(source)

        await publish(port, *((f"sensors/{n % 3}", b"%d" % n) for n in range(50)), qos=qos)
        await publish(port, ("other", b"not subscribed"))
        await until(lambda: len(intake.heard) >= 50)

        assert intake.payloads == [b"%d" % n for n in range(50)]
        assert [one.topic for one in intake.heard[:3]] == ["sensors/0", "sensors/1", "sensors/2"]
        assert source.status.version == version
        assert source.status.unacknowledged == 0


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [1, 2])
async def test_what_was_not_settled_comes_again_to_the_next_process(version: str, qos: int, tmp_path: Path) -> None:
    """P1: the gateway died with it in memory, so the broker must still have it."""
    held, after = HeldIntake(), SettlingIntake()
    settings: dict[str, Any] = {
        "mqtt": {"version": version, "subscribe": [{"filter": "sensors/#", "qos": qos}]},
        "folder": tmp_path,
    }
    async with mosquitto(tmp_path, *PERSISTENT) as port:
        async with running(held, port, **settings) as source:
            await subscribed(source)
            await publish(port, ("sensors/a", b"1"), ("sensors/a", b"2"), ("sensors/a", b"3"), qos=qos)
            await until(lambda: len(held.heard) == 3)
            held.settle(0)

        unsettled = held.payloads[len(held.batches[0][2]) :]
        await publish(port, ("sensors/a", b"4"), qos=qos)
        async with running(after, port, **settings) as source:
            await until(lambda: b"4" in after.payloads)
            await until(lambda: source.status.unacknowledged == 0)

    assert [one for one in after.payloads if one != b"4"] == unsettled


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_puback_leaves_only_when_settled(version: str, tmp_path: Path) -> None:
    """P1, as the broker sees it: until then the message counts as on its way, and 20 is all that it sends."""
    intake = HeldIntake()
    settings = {"version": version, "receive_maximum": 20}
    async with mosquitto(tmp_path, *PERSISTENT) as port, running(intake, port, mqtt=settings) as source:
        await subscribed(source)
        await publish(port, *(("sensors/a", b"%d" % n) for n in range(60)))
        await until(lambda: len(intake.heard) == 20)
        await asyncio.sleep(0.05)
        assert len(intake.heard) == 20

        done = 0
        while len(intake.heard) < 60:
            if done < len(intake.batches):
                intake.settle(done)
                done += 1
            await asyncio.sleep(0.001)

        assert intake.payloads == [b"%d" % n for n in range(60)]
