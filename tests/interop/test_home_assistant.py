"""Home Assistant's MQTT discovery through the listener: devices announce themselves, whoever of the two starts first.

Home Assistant's part is played by paho as its documentation has it: it subscribes to `homeassistant/#` with a new
session at each start, says `online` on `homeassistant/status` and leaves `offline` as its will; a device announces
itself in a retained configuration, keeps its state retained, and announces itself again when it hears `online`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Upstream, eventually, running
from interop_kit.contract import Client, Library, Message, Settings, Will
from interop_kit.paho_client import paho_clients

STATUS = "homeassistant/status"
CONFIG = "homeassistant/sensor/boiler_temperature/config"
STATE = "zigbee/boiler"
ANNOUNCEMENT = {
    "name": "Temperature",
    "unique_id": "boiler_temperature",
    "state_topic": STATE,
    "value_template": "{{ value_json.temperature }}",
    "unit_of_measurement": "°C",
    "device_class": "temperature",
    "availability_topic": f"{STATE}/availability",
}


class HomeAssistant:
    """What Home Assistant knows: entities by their configuration, and the state of each."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.entities: dict[str, dict[str, Any]] = {}
        self.states: dict[str, tuple[bytes, bool]] = {}  # by topic: payload, was it retained

    async def start(self) -> None:
        await self.client.connect()
        await self.client.subscribe("homeassistant/#", 0)
        await self.client.publish(Message(STATUS, b"online"))

    async def learn(self) -> None:
        """Take one message, and subscribe to what it announces."""
        message = await self.client.receive()
        if message.topic.endswith("/config"):
            entity = json.loads(message.payload)
            if entity["unique_id"] not in self.entities:
                self.entities[entity["unique_id"]] = entity
                await self.client.subscribe(entity["state_topic"], 0)
                await self.client.subscribe(entity["availability_topic"], 0)
        elif message.topic != STATUS:
            self.states[message.topic] = message.payload, message.retain

    async def knows(self, *topics: str) -> None:
        while not self.states.keys() >= set(topics):
            await self.learn()


@asynccontextmanager
async def _house(port: int, version: int) -> AsyncIterator[Any]:
    """Make clients by their id."""
    async with Library("paho", version, paho_clients).clients_of(port) as make:
        yield lambda name, **more: make(Settings(name, **more))


async def _announce(device: Client) -> None:
    await device.publish(Message(CONFIG, json.dumps(ANNOUNCEMENT).encode(), 1, retain=True))
    await device.publish(Message(f"{STATE}/availability", b"online", 1, retain=True))
    await device.publish(Message(STATE, b'{"temperature": 21.5}', 1, retain=True))


@pytest.mark.parametrize("version", [4, 5])
async def test_home_assistant_finds_devices_that_were_there_before_it_and_after_its_restart(
    tmp_path: Path, version: int
) -> None:
    """The announcement is said once, perhaps months before; states are events upstream, announcements are not."""
    async with (
        Broker() as broker,
        running(Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": broker.url}}})) as gateway,
        _house(gateway.port, version) as client,
    ):
        upstream = Upstream(broker.port)
        upstream.start()
        device = client("zigbee2mqtt")
        await device.connect()
        await _announce(device)

        for start in range(2):
            assistant = HomeAssistant(client(f"ha {start}"))
            await assistant.start()
            await assistant.knows(STATE, f"{STATE}/availability")
            assert assistant.entities == {"boiler_temperature": ANNOUNCEMENT}
            assert assistant.states[STATE] == (b'{"temperature": 21.5}', True)
            await assistant.client.disconnect()

        await eventually("the states are events upstream", lambda: len(upstream.arrived) >= 2)
        await gateway.drained("up")
        assert not [one for one in upstream.arrived if "homeassistant" in json.dumps(one)]
        upstream.close()


@pytest.mark.parametrize("version", [4, 5])
async def test_a_device_announces_itself_again_when_home_assistant_comes_back(tmp_path: Path, version: int) -> None:
    """Birth and last will on `homeassistant/status`: how a device without retained messages does it."""
    async with (
        running(Gateway(tmp_path, uplinks={})) as gateway,
        Link("127.0.0.1", gateway.port) as link,
        _house(gateway.port, version) as client,
    ):
        device = client("esphome")
        await device.connect()
        await device.subscribe(STATUS, 1)
        first = HomeAssistant(client("ha", will=Will(STATUS, b"offline", 0), port=link.port))
        await first.start()
        assert (await device.receive()).payload == b"online"

        link.refuse()
        link.reset()  # Home Assistant's machine loses power
        assert (await device.receive()).payload == b"offline"

        second = HomeAssistant(client("ha again"))
        await second.start()
        assert (await device.receive()).payload == b"online"
        await device.publish(Message(CONFIG, json.dumps(ANNOUNCEMENT).encode(), 0))
        await device.publish(Message(STATE, b'{"temperature": 22}', 0))
        while not second.entities:
            await second.learn()
        assert second.entities == {"boiler_temperature": ANNOUNCEMENT}


async def test_an_emptied_announcement_removes_the_device_for_whoever_comes_later(tmp_path: Path) -> None:
    """How zigbee2mqtt takes a device out of Home Assistant."""
    async with running(Gateway(tmp_path, uplinks={})) as gateway, _house(gateway.port, 5) as client:
        device, assistant = client("zigbee2mqtt"), client("ha")
        await device.connect()
        await device.publish(Message(CONFIG, json.dumps(ANNOUNCEMENT).encode(), 1, retain=True))
        await device.publish(Message(CONFIG, b"", 1, retain=True))

        await assistant.connect()
        await assistant.subscribe("homeassistant/#", 1)
        await device.publish(Message("homeassistant/mark", b"mark", 1))

        assert (await assistant.receive()).payload == b"mark"
