"""A command from the platform to the device and back: mosquitto upstream, a gateway, a device on its listener."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway_kit import Gateway, eventually, publish_once, running
from platform_kit import Client, client, said
from uplink_kit import mosquitto

PROFILE = """\
profile: valve
version: 1
match: {mqtt: "valves/{device}/state"}
fields:
  position: {type: float}
commands:
  set:
    publish: "valves/{device}/set"
    payload: {position: {type: float, min: 0, max: 100}}
"""


def gateway_of(folder: Path, port: int, **mqtt: Any) -> Gateway:
    (folder / "devices.d").mkdir()
    (folder / "devices.d" / "valve.yaml").write_text(PROFILE)
    return Gateway(folder, uplinks={"cloud": {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "commands": True, **mqtt}}})


@asynccontextmanager
async def valve(gateway: Gateway) -> AsyncIterator[Client]:
    """A device that is known, and hears commands."""
    await publish_once(gateway.port, "valves/v1/state", b'{"position": 10}')
    with client(gateway.port, "valve", "valves/v1/set") as device:
        yield device


async def hears(gateway: Gateway) -> None:
    async def is_subscribed() -> bool:
        status = await gateway.status()
        return bool(status["uplinks"]["cloud"]["commands"]["subscribed"])

    await eventually("the uplink hears commands", is_subscribed)


COMMAND = "fieldgate/g/v1/command/set"
IDS = {"young", "old", "retained"}


async def test_a_command_from_upstream_reaches_the_device_and_the_answer_its_sender(tmp_path: Path) -> None:
    """What the platform team does first, by MQTT 5's request and response; and what is wrong is told."""
    async with mosquitto(tmp_path) as port, running(gateway_of(tmp_path, port)) as gateway:
        await hears(gateway)
        async with valve(gateway) as device:
            with client(port, "platform", "replies/#", "fieldgate/g/+/command/+/answer") as platform:
                platform.send(COMMAND, b'{"position": 40}', ResponseTopic="replies/1", CorrelationData=b"r-1")
                platform.send(COMMAND, b'{"position": 400, "id": "too-much"}')
                platform.send("fieldgate/g/v2/command/set", b'{"arguments": {"position": 1}, "id": "nobody"}')
                await eventually("three answers", lambda: len(platform.got) == 3)
                status = (await gateway.status())["uplinks"]["cloud"]["commands"]

    assert [(one.topic, json.loads(one.payload)) for one in device.got] == [("valves/v1/set", {"position": 40})]
    answers = {said(one)["id"]: (one.topic, said(one)["status"]) for one in platform.got}
    assert answers == {
        "r-1": ("replies/1", "done"),
        "too-much": (f"{COMMAND}/answer", "refused"),
        "nobody": ("fieldgate/g/v2/command/set/answer", "refused"),
    }
    assert [one.properties.CorrelationData for one in platform.got if said(one)["id"] == "r-1"] == [b"r-1"]
    assert (status["received"], status["answered"], status["waiting"]) == (3, 3, 0)


async def test_a_command_sent_while_the_gateway_was_away_is_carried_out_while_it_is_young(tmp_path: Path) -> None:
    """A restart takes seconds; what was wanted an hour ago is not wanted any more."""
    async with mosquitto(tmp_path) as port:
        gateway = gateway_of(tmp_path, port)
        async with running(gateway):
            await hears(gateway)
            async with valve(gateway):
                pass  # its session is kept
            await gateway.stop()
            with client(port, "platform", "fieldgate/g/+/command/+/answer") as platform:
                platform.send(COMMAND, b'{"position": 40, "id": "young"}')
                platform.send(COMMAND, b'{"arguments": {"position": 1}, "id": "old", "at": "2020-01-01T00:00:00Z"}')
                platform.send(COMMAND, b'{"position": 41, "id": "retained"}', retain=True)
                await gateway.start()
                async with valve(gateway) as device:
                    await eventually("the device has it", lambda: len(device.got) == 1)
                    await eventually("all is answered", lambda: {said(one)["id"] for one in platform.got} >= IDS)
                    await eventually("it is done", lambda: "done" in {said(one)["status"] for one in platform.got})

    answers = {said(one)["id"]: (said(one)["status"], said(one).get("reason", "")) for one in platform.got}
    assert answers["old"][0] == "refused"
    assert "stale" in answers["old"][1]
    assert answers["retained"][0] == "refused"
    assert json.loads(device.got[0].payload) == {"position": 40}


async def test_what_no_process_has_an_age_for_is_refused_as_stale(tmp_path: Path) -> None:
    """Killed while nothing came, so nobody knows since when: the valve stays as it is, and the sender is told why."""
    async with mosquitto(tmp_path) as port:
        gateway = gateway_of(tmp_path, port)
        async with running(gateway), valve(gateway) as device:
            await gateway.stop()  # it knows the device from now on
            await gateway.start()
            await hears(gateway)
            await gateway.kill()
            (gateway.state / "uplinks" / "cloud.json").unlink()
            with client(port, "platform", "fieldgate/g/+/command/+/answer") as platform:
                platform.send(COMMAND, b'{"position": 40, "id": "a"}')
                await gateway.start()
                await eventually("it is answered", lambda: platform.got)

    assert (said(platform.got[0])["status"], device.got) == ("refused", [])
    assert "stale" in said(platform.got[0])["reason"]


async def test_answers_survive_a_restart_of_the_broker(tmp_path: Path) -> None:
    """The broker goes between the command and its answer; the platform's session gets it later.

    An answer whose PUBACK the broker's end has swallowed comes a second time, word for word.
    """
    lines = ("persistence true", f"persistence_location {tmp_path}/", "autosave_on_changes true", "autosave_interval 1")
    async with mosquitto(tmp_path, *lines) as port:
        gateway = gateway_of(tmp_path, port)
        await gateway.start()
        await hears(gateway)
        async with valve(gateway) as device:
            device.close()
            platform = Client(port, "platform", "fieldgate/g/+/command/+/answer")
            platform.send(COMMAND, b'{"position": 40, "id": "a"}')
            await eventually("it is accepted", lambda: platform.got)
    async with mosquitto(tmp_path, *lines, port=port):
        with client(gateway.port, "valve", "valves/v1/set") as device:
            await eventually("the device has it", lambda: device.got)
            await eventually("the answer has come", lambda: any(said(one)["status"] == "done" for one in platform.got))
    platform.close()
    await gateway.kill()

    different = list(dict.fromkeys(one.payload for one in platform.got))
    assert [json.loads(one)["status"] for one in different] == ["accepted", "done"]


async def test_commands_switched_off_leave_nothing_behind(tmp_path: Path) -> None:
    """The subscription would bring commands for ever, which nobody acknowledges."""
    async with mosquitto(tmp_path) as port:
        gateway = gateway_of(tmp_path, port)
        async with running(gateway):
            await hears(gateway)
            await gateway.stop()
            del gateway.settings["uplinks"]["cloud"]["mqtt"]["commands"]
            with client(port, "platform", "fieldgate/g/#") as platform:
                platform.send(COMMAND, b'{"position": 40}')
                await gateway.start()
                await publish_once(gateway.port, "valves/v1/state", b'{"position": 10}')
                await gateway.drained()
                status = await gateway.status()
                with client(port, "fieldgate-g-cloud", "nothing") as successor:  # takes over the gateway's session
                    await asyncio.to_thread(platform.send, COMMAND, b'{"position": 41}')
                    await eventually("the platform hears itself", lambda: len(platform.got) >= 3)

    assert status["uplinks"]["cloud"]["commands"] is None
    assert successor.got == []
