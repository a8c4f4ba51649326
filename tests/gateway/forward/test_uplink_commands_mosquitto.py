"""Commands over an uplink to a real mosquitto, with a desk by script."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiomqtt
import pytest

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import Connect, Publish
from order_desk_kit import ScriptedDesk, running_with_commands
from uplink_kit import MemoryFeed, make_events, mosquitto, until

TOPIC = "fieldgate/gw/v1/command/set"
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@VERSIONS
async def test_a_flood_of_commands_is_bounded_and_each_of_it_answered(tmp_path: Path, version: str) -> None:
    """Row 59: 10,000 at once. Mosquitto 2.0 does not keep to Receive Maximum; what is too much is refused."""
    desk, feed = ScriptedDesk(), MemoryFeed()
    loop = asyncio.get_running_loop()
    waiting: list[int] = []
    mqtt = {"version": version}
    async with mosquitto(tmp_path) as port, running_with_commands(desk, port, feed=feed, mqtt=mqtt) as uplink:

        def submitted(number: int) -> None:
            waiting.append(uplink.status.commands.waiting)
            loop.call_soon(desk.finish, number)

        desk.on_submit = submitted
        await until(lambda: uplink.status.commands.subscribed)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode(Connect("flood", version=4), 4))
        for number in range(10_000):
            payload = b'{"id": "%d"}' % number
            writer.write(encode(Publish(TOPIC, payload, qos=1, packet_id=number + 1), 4))
        got = 0
        while got < 4 + 4 * 10_000:  # CONNACK and PUBACKs
            got += len(await reader.read(65_536))
        feed.add(make_events(100))
        uplink.kick()
        await feed.settled(100)
        await until(lambda: uplink.status.commands.answered + uplink.status.commands.answers_dropped == 10_000)
        status = uplink.status
        writer.close()
        await writer.wait_closed()

    ids = [int(order.id) for order in desk.orders]
    assert ids == sorted(ids)
    assert len(ids) + status.commands.refused == 10_000
    assert max(waiting) <= 1024
    assert status.reconnects == 0


@VERSIONS
async def test_a_retained_command_is_refused_on_whatever_way_it_comes(tmp_path: Path, version: str) -> None:
    """MQTT 5 tells it from a live one at once; 3.1.1 when it comes again, and then it must not be carried out."""
    desk = ScriptedDesk()
    async with mosquitto(tmp_path) as port, aiomqtt.Client("127.0.0.1", port) as client:
        await client.publish(TOPIC, b'{"id": "a"}', qos=1, retain=True)
        async with running_with_commands(desk, port, mqtt={"version": version}) as uplink:
            await until(lambda: uplink.status.commands.subscribed)
            await client.publish("fieldgate/gw/v1/command/other", b'{"id": "b"}', qos=1)
            await until(lambda: len(desk.orders) == 1)
            refused = uplink.status.commands.refused

    assert [order.id for order in desk.orders] == ["b"]
    assert refused == (0 if version == "5" else 1)  # MQTT 5 is asked to leave it out


async def test_response_topics_that_are_none_do_not_end_the_uplink(tmp_path: Path) -> None:
    """Mosquitto 2.0 passes on wildcards in them; to leave over it would bring the message again, for ever."""
    desk = ScriptedDesk()
    async with mosquitto(tmp_path) as port, running_with_commands(desk, port) as uplink:
        await until(lambda: uplink.status.commands.subscribed)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        properties = b"\x08\x00\x03a/#"
        topic = len(TOPIC).to_bytes(2, "big") + TOPIC.encode()
        body = topic + b"\0\1" + bytes((len(properties),)) + properties + b"{}"
        writer.write(b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02xx" + b"\x32" + bytes((len(body),)) + body)
        await until(lambda: uplink.status.commands.answered == 1)
        writer.close()
        await writer.wait_closed()
        status = uplink.status

    assert (len(desk.orders), desk.orders[0].reply_to, status.reconnects) == (1, None, 0)
