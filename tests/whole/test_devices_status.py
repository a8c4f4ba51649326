"""The registry from outside: `fieldgate devices status`, silence as events, restarts and kills, Home Assistant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from command_kit import fieldgate
from fieldgate.cli import devices_status
from fieldgate.control import socket_path, stream
from fieldgate.journal.device_file import device_path, stored_devices
from gateway_kit import Gateway, Upstream, eventually, publish_once, running
from home_assistant_rules import problems, rendered
from uplink_kit import mosquitto

PROFILE = """
profile: boiler
version: 2
match: {mqtt: "site/+/boiler/{device}/telemetry"}
fields:
  temperature: {type: float, unit: °C}
  state: {type: enum, values: [idle, heating], optional: true}
  door_open: {type: bool, optional: true}
silent_after: 2s
"""


def topic(device: str) -> str:
    return f"site/a/boiler/{device}/telemetry"


def gateway_with(
    folder: Path, uplinks: dict[str, Any] | None = None, *, profile: str = PROFILE, **devices: Any
) -> Gateway:
    gateway = Gateway(folder, uplinks=uplinks or {})
    (folder / "devices.d").mkdir(exist_ok=True)
    (folder / "devices.d" / "boiler.yaml").write_text(profile, encoding="utf-8")
    gateway.settings["devices"] = devices
    return gateway


def without_silence(folder: Path, **devices: Any) -> Gateway:
    return gateway_with(folder, profile=PROFILE.replace("silent_after: 2s", "silent_after: 1h"), **devices)


async def shown(gateway: Gateway, *names: str) -> list[dict[str, Any]]:
    """What the gateway answers; the command line is tried where a test is about it."""
    request = {"do": "devices.status", "names": list(names) or None, "has_fields": bool(names)}
    return [one async for one in stream(socket_path(gateway.state), request)]


async def printed(gateway: Gateway, *args: object) -> list[dict[str, Any]]:
    """What the command prints."""
    answer = await fieldgate("devices", "status", *args, "--json", config=gateway.config)
    return [json.loads(line) for line in answer.out.splitlines()]


async def test_devices_are_shown_with_their_counts_and_their_fields(tmp_path: Path) -> None:
    """What a person asks first: is it there, when was it heard, what did it say?"""
    gateway = without_silence(tmp_path)
    async with running(gateway):
        for number in range(3):
            await publish_once(gateway.port, topic("b1"), b'{"temperature": %d, "state": "idle"}' % (20 + number))
        await publish_once(gateway.port, topic("b2"), b'{"temperature": "hot"}')
        await publish_once(gateway.port, "lab/x", b'{"AM2301": {"Temperature": 21}}')

        found = {one["device"]: one for one in await printed(gateway)}
        (whole,) = await printed(gateway, "b1")
        table = await fieldgate("devices", "status", "--sort", "name", config=gateway.config)
        text = await fieldgate("devices", "status", "b1", config=gateway.config)
        status = await fieldgate("status", config=gateway.config)

    assert {name: (one["profile"], one["messages"], one["errors"]) for name, one in found.items()} == {
        "b1": ("boiler", 3, 0),
        "b2": ("boiler", 0, 1),
        "lab.x": (None, 1, 0),
    }
    assert found["b2"]["last_error"] == "wrong_type: temperature is 'hot', not a number"
    assert found["b1"]["last_seen_s"] < 30
    assert found["b1"]["first_seen"] <= found["b1"]["last_seen"]
    fields = {one["name"]: one for one in whole["fields"]}
    assert (fields["temperature"]["value"], fields["temperature"]["unit"], fields["temperature"]["max"]) == (
        22,
        "°C",
        22,
    )
    assert [line.split()[0] for line in table.out.splitlines()] == ["DEVICE", "b1", "b2", "lab.x", "3"]
    assert "22 °C" in text.out
    assert "▄" in text.out or "▁" in text.out
    assert "devices  3 known" in status.out


def test_a_sparkline_spans_whatever_two_numbers_there_are() -> None:
    """One broken sensor must not take the command away from all devices."""
    assert devices_status._sparkline([-1.7e308, None, 0.0, 1.7e308]) == "▁ ▅█"
    assert devices_status._sparkline([5.0, None, 5.0]) == "▄ ▄"


async def test_globs_profiles_and_silence_narrow_the_table(tmp_path: Path) -> None:
    """5,000 devices are no table to read."""
    gateway = gateway_with(tmp_path)
    async with running(gateway):
        for device in ("b1", "b2", "c1"):
            await publish_once(gateway.port, topic(device), b'{"temperature": 1}')
        await publish_once(gateway.port, "lab/b3", b"1")

        async def silent() -> bool:
            return (await gateway.status())["devices"]["silent"] == 3

        assert {one["device"] for one in await printed(gateway, "b*")} == {"b1", "b2"}
        assert {one["device"] for one in await printed(gateway, "--profile", "gen*")} == {"lab.b3"}
        await eventually("all boilers are silent", silent)
        assert {one["device"] for one in await printed(gateway, "--silent")} == {"b1", "b2", "c1"}
        nobody = await fieldgate("devices", "status", "b1", "nobody", config=gateway.config)

    assert (nobody.code, nobody.err) == (1, "error: no device 'nobody' was heard\n")
    assert "device:   b1" in nobody.out


async def test_without_a_gateway_the_last_stored_state_is_shown_and_that_is_said(tmp_path: Path) -> None:
    """After a clean stop it is what was known a moment before, history and all."""
    gateway = without_silence(tmp_path)
    async with running(gateway):
        for number in range(2):
            await publish_once(gateway.port, topic("b1"), b'{"temperature": %d}' % number)
        assert await gateway.stop() == 0
    before = device_path(gateway.state).read_bytes()

    answer = await fieldgate("devices", "status", "b1", config=gateway.config)

    assert answer.code == 0
    assert answer.err == "no gateway is running here: this is what the last one stored\n"
    assert "messages: 2" in answer.out
    assert "1 °C" in answer.out
    assert device_path(gateway.state).read_bytes() == before
    device_path(gateway.state).unlink()
    nothing = await fieldgate("devices", "status", config=gateway.config)
    assert nothing.code == 1
    assert "nothing that can be read is stored" in nothing.err


async def test_names_of_devices_cannot_upset_the_terminal(tmp_path: Path) -> None:
    """A topic is text by whoever may connect."""
    gateway = without_silence(tmp_path)
    async with running(gateway):
        await publish_once(gateway.port, "evil/\u202e[2J/\u2066x", json.dumps({"a": "\x1b[31m\u202e"}).encode())

        (one,) = await shown(gateway)
        table = await fieldgate("devices", "status", config=gateway.config)
        whole = await fieldgate("devices", "status", one["device"], config=gateway.config)

    for answer in (table, whole):
        assert answer.code == 0
        assert all(char.isprintable() or char == "\n" for char in answer.out)
    assert "\\x1b[31m\\u202e" in whole.out


async def test_what_is_known_survives_a_restart_and_goes_on_counting(tmp_path: Path) -> None:
    """First seen, counts and last values are those of the device's life, not of the process."""
    gateway = without_silence(tmp_path)
    async with running(gateway):
        await publish_once(gateway.port, topic("b1"), b'{"temperature": 1}')
        (before,) = await shown(gateway, "b1")
        await gateway.stop()
        await gateway.start()
        (again,) = await shown(gateway, "b1")
        await publish_once(gateway.port, topic("b1"), b'{"temperature": 2}')
        (after,) = await shown(gateway, "b1")

    assert (again["messages"], after["messages"]) == (1, 2)
    assert before["first_seen"] == again["first_seen"] == after["first_seen"]
    assert again["last_seen"] == before["last_seen"] < after["last_seen"]
    assert again["fields"][0]["value"] == 1


async def test_a_damaged_file_or_none_at_all_never_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    """It is set aside and said; devices are known again as they speak."""
    gateway = without_silence(tmp_path)
    async with running(gateway):
        await publish_once(gateway.port, topic("b1"), b'{"temperature": 1}')
        await gateway.stop()
        device_path(gateway.state).write_bytes(b"\x00garbage" * 999)
        await gateway.start()
        await publish_once(gateway.port, topic("b1"), b'{"temperature": 1}')

        (one,) = await shown(gateway)

        assert one["messages"] == 1
        assert "devices.damaged" in gateway.log_text()
        assert list(gateway.state.glob("devices.db.damaged-*"))


async def test_a_kill_leaves_a_file_that_opens_with_what_was_stored_before(tmp_path: Path) -> None:
    """Nothing of the registry is a promise, but what is there must be true."""
    gateway = without_silence(tmp_path)
    async with running(gateway):
        await publish_once(gateway.port, topic("b1"), b'{"temperature": 1}')
        await gateway.stop()
        await gateway.start()
        for number in range(20):
            await publish_once(gateway.port, topic(f"n{number}"), b'{"temperature": 1}')
        await gateway.kill()

        texts = stored_devices(gateway.state)
        assert texts is not None
        assert ("boiler", "b1") in texts.devices
        await gateway.start()
        assert {one["device"] for one in await shown(gateway)} >= {"b1"}


async def test_more_devices_than_fit_push_out_those_heard_the_longest_ago(tmp_path: Path) -> None:
    """And the status says how many."""
    gateway = without_silence(tmp_path, max_devices=3)
    async with running(gateway):
        async with aiomqtt.Client("127.0.0.1", gateway.port) as client:
            for number in range(6):
                await client.publish(topic(f"b{number}"), b'{"temperature": 1}', qos=1)

        assert sorted(one["device"] for one in await shown(gateway)) == ["b3", "b4", "b5"]
        devices = (await gateway.status())["devices"]

    assert (devices["known"], devices["forgotten"]) == (3, 3)


# -- silence ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def upstream_of(folder: Path) -> AsyncIterator[tuple[int, Upstream]]:
    async with mosquitto(folder) as port:
        upstream = Upstream(port, topic="fieldgate/#")
        upstream.start()
        try:
            yield port, upstream
        finally:
            upstream.close()


def of_silence(upstream: Upstream) -> list[tuple[str, str]]:
    kinds = {"fieldgate.silent": "silent", "fieldgate.back": "back"}
    return [(kinds[one["type"]], one["subject"]) for one in upstream.arrived if one.get("type") in kinds]


def uplink_to(port: int, **more: Any) -> dict[str, Any]:
    return {"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "5s"}, **more}}


async def test_silence_and_return_are_events_with_what_was_said_last(tmp_path: Path) -> None:
    """Once each, with since when, and after the message that ended it."""
    async with upstream_of(tmp_path) as (port, upstream):
        gateway = gateway_with(tmp_path, uplink_to(port))
        async with running(gateway):
            await publish_once(gateway.port, topic("b1"), b'{"temperature": 21.5, "state": "idle"}')
            (before,) = await shown(gateway, "b1")
            await eventually("silence is told", lambda: of_silence(upstream) == [("silent", "b1")])
            await publish_once(gateway.port, topic("b1"), b'{"temperature": 30}')
            await eventually("the return is told", lambda: ("back", "b1") in of_silence(upstream))
            await eventually("silent again", lambda: of_silence(upstream)[2:] == [("silent", "b1")])

    silent, back, _ = (one for one in upstream.arrived if one.get("type") in ("fieldgate.silent", "fieldgate.back"))
    assert silent["source"] == "fieldgate/g/b1"
    assert silent["data"]["device"] == "b1"
    assert silent["data"]["profile"] == "boiler"
    assert silent["data"]["since"] == before["last_seen"]
    assert 2.0 <= silent["data"]["for_s"] < 10
    assert silent["data"]["values"] == {"temperature": 21.5, "state": "idle"}
    assert back["data"]["since"] == before["last_seen"]
    assert back["data"]["for_s"] > silent["data"]["for_s"]


async def test_a_silence_is_not_told_again_after_a_restart_and_the_return_is(tmp_path: Path) -> None:
    """Two restarts in a silence are one silence; who was well before gets its time first."""
    async with upstream_of(tmp_path) as (port, upstream):
        gateway = gateway_with(tmp_path, uplink_to(port))
        async with running(gateway):
            await publish_once(gateway.port, topic("gone"), b'{"temperature": 1}')
            await eventually("silence is told", lambda: of_silence(upstream) == [("silent", "gone")])
            await publish_once(gateway.port, topic("well"), b'{"temperature": 1}')
            await gateway.stop()
            await gateway.start()
            await eventually("the other one is silent", lambda: ("silent", "well") in of_silence(upstream))
            await publish_once(gateway.port, topic("gone"), b'{"temperature": 2}')
            await eventually("the return is told", lambda: ("back", "gone") in of_silence(upstream))

    assert of_silence(upstream)[:3] == [("silent", "gone"), ("silent", "well"), ("back", "gone")]


# -- Home Assistant -----------------------------------------------------------------------------------------------


class Retained:
    """What a broker keeps, as somebody sees who comes anew."""

    def __init__(self, port: int, *filters: str) -> None:
        self._port = port
        self._filters = filters or ("homeassistant/#",)

    async def now(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        async with aiomqtt.Client("127.0.0.1", self._port) as client:
            for one in self._filters:
                await client.subscribe(one, qos=1)
            await client.subscribe("end", qos=1)
            await client.publish("end", b"", qos=1)
            async for message in client.messages:
                if str(message.topic) == "end":
                    return found
                if message.retain:
                    found[str(message.topic)] = bytes(message.payload)  # type: ignore[arg-type]
        raise AssertionError("no end")


async def is_told(retained: Retained, count: int) -> dict[str, bytes]:
    async def look() -> dict[str, bytes] | None:
        found = await retained.now()
        return found if len(found) == count else None

    return dict(await eventually(f"{count} fields are told", look))


async def test_devices_appear_in_home_assistant_by_themselves_and_go_when_forgotten(tmp_path: Path) -> None:
    """Against mosquitto: its rules kept, its templates find the values, availability and all."""
    async with mosquitto(tmp_path) as port:
        gateway = gateway_with(tmp_path, uplink_to(port, home_assistant={}))
        retained = Retained(port)
        async with running(gateway), aiomqtt.Client("127.0.0.1", port) as subscriber:
            await subscriber.subscribe("fieldgate/#", qos=1)
            await publish_once(gateway.port, topic("b1"), b'{"temperature": 21.5, "state": "idle"}')
            await publish_once(gateway.port, "lab/x y", b'{"AM2301": {"Temperature": 21, "on": true}}')
            told = await is_told(retained, 4)
            assert [problems("homeassistant", one, payload) for one, payload in told.items()] == [[]] * 4
            await publish_once(gateway.port, topic("b1"), b'{"temperature": 22.5, "door_open": true}')
            told = await is_told(retained, 5)
            configs = {one.split("/")[-2]: json.loads(payload) for one, payload in told.items()}

            states: dict[str, str] = {}
            async with asyncio.timeout(30):
                async for message in subscriber.messages:
                    payload = bytes(message.payload)  # type: ignore[arg-type]
                    for name, config in configs.items():
                        if config["state_topic"] == str(message.topic):
                            states[name] = rendered(
                                config["value_template"], payload, state=states.get(name, "")
                            ) or states.get(name, "")
                    if states.get("door_open"):
                        break
            assert states == {
                "temperature": "22.5",
                "state": "idle",
                "door_open": "ON",
                "am2301_temperature": "21.0",
                "am2301_on": "ON",
            }
            assert configs["temperature"]["expire_after"] == 2
            (availability,) = configs["temperature"]["availability"]
            status = (await Retained(port, "fieldgate/+/status").now())[availability["topic"]]
            assert rendered(availability["value_template"], status) == availability["payload_available"]

            gone = await fieldgate("devices", "forget", "b1", config=gateway.config)
            assert gone.code == 0
            left = await is_told(retained, 2)
            assert all("lab_x_y" in one for one in left)
            assert (await gateway.status())["uplinks"]["up"]["unaccounted"] == 0


async def test_local_subscribers_are_told_with_mqtt_self(tmp_path: Path) -> None:
    """Home Assistant may connect to the gateway itself; what it is told there is no event of its own."""
    gateway = gateway_with(tmp_path, {"local": {"mqtt": "self", "home_assistant": {"prefix": "ha"}}})
    async with running(gateway):
        await publish_once(gateway.port, topic("b1"), b'{"temperature": 21.5, "state": "idle"}')
        told = await is_told(Retained(gateway.port, "ha/#"), 2)
        devices = await shown(gateway)

    assert [problems("ha", one, payload) for one, payload in told.items()] == [[]] * 2
    assert {one["device"] for one in devices} == {"b1", "end"}


async def test_a_restart_tells_home_assistant_the_same_again(tmp_path: Path) -> None:
    """A broker without persistence has forgotten everything; devices that sleep for a day are told as well."""
    async with mosquitto(tmp_path) as port:
        gateway = gateway_with(tmp_path, uplink_to(port, home_assistant={}))
        async with running(gateway):
            await publish_once(gateway.port, topic("b1"), b'{"temperature": 21.5}')
            first = await is_told(Retained(port), 1)
            await gateway.stop()
            async with aiomqtt.Client("127.0.0.1", port) as client:
                await client.publish(next(iter(first)), b"", qos=1, retain=True)
            assert await Retained(port).now() == {}
            await gateway.start()

            assert await is_told(Retained(port), 1) == first
