"""aiomqtt, the client that our own simulators use, against our listener."""

from __future__ import annotations

import asyncio

import aiomqtt
import pytest

from listener_kit import SettlingIntake, serving

VERSIONS = [aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5]


@pytest.mark.parametrize("version", VERSIONS, ids=["3.1.1", "5"])
async def test_twenty_devices_publish_and_one_hears_them_all_in_order(version: aiomqtt.ProtocolVersion) -> None:
    """P3, per device; the fleet of the demo in small."""
    intake = SettlingIntake()

    async def device(number: int, port: int) -> None:
        async with aiomqtt.Client("127.0.0.1", port, identifier=f"d{number}", protocol=version) as client:
            for one in range(10):
                await client.publish(f"d/{number}", f"{one}", qos=1)

    async with serving(intake) as listener:
        heard: dict[str, list[bytes]] = {}
        async with aiomqtt.Client("127.0.0.1", listener.port, identifier="watch", protocol=version) as watch:
            await watch.subscribe("d/#", qos=1)
            async with asyncio.TaskGroup() as tasks:
                for number in range(20):
                    tasks.create_task(device(number, listener.port))
                count = 0
                async for message in watch.messages:
                    assert isinstance(message.payload, bytes)
                    heard.setdefault(str(message.topic), []).append(message.payload)
                    count += 1
                    if count == 200:
                        break

    assert list(heard.values()) == [[b"%d" % one for one in range(10)]] * 20
    assert len(intake.heard) == 200


async def test_the_will_of_a_cancelled_device_is_heard() -> None:
    """A device whose program dies is reported by its will."""
    intake = SettlingIntake()
    async with (
        serving(intake) as listener,
        aiomqtt.Client("127.0.0.1", listener.port, will=aiomqtt.Will("gone", b"d", 1)),
    ):
        for connection in list(listener.connections):
            connection.abort()
        async with asyncio.timeout(20):
            while not intake.batches:
                await asyncio.sleep(0)

    assert intake.payloads == [b"d"]
