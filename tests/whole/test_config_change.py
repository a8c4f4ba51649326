"""The configuration changes between two starts: uplinks come, go, are renamed and get other filters.

Whatever changes, each event reaches whom it is for, once at least, and the accounts of P4 stay right.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from command_kit import fieldgate
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Publisher, Upstream, eventually, free_port, running

NOWHERE = {"mqtt": {"url": "mqtt://127.0.0.1:9"}}


def to(broker: Broker, topic: str, **more: object) -> dict[str, Any]:
    """An uplink to ``topic`` of its own, so that several share one broker."""
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "topic": f"{topic}/{{device}}"}, **more}


async def publish(gateway: Gateway, name: str, total: int, *, port: int | None = None) -> None:
    device = Publisher(port or gateway.port, name=name, total=total)
    device.start()
    await device.finished()
    device.close()


@asynccontextmanager
async def listening(broker: Broker, *topics: str) -> AsyncIterator[list[Upstream]]:
    found = [Upstream(broker.port, topic=f"{topic}/#", client_id=f"log-{topic}") for topic in topics]
    for one in found:
        one.start()
    try:
        yield found
    finally:
        for one in found:
            one.close()


async def restart(gateway: Gateway, uplinks: dict[str, Any], **more: Any) -> None:
    await gateway.stop()
    gateway.settings = {**gateway.settings, "uplinks": uplinks, **more}
    await gateway.start()


def devices(upstream: Upstream) -> dict[str, int]:
    """How many different events of each device arrived."""
    ids: dict[str, set[str]] = {}
    for one in upstream.events():
        ids.setdefault(one["data"]["device_"], set()).add(one["id"])
    return {name: len(found) for name, found in ids.items()}


def is_balanced(status: dict[str, Any]) -> bool:
    return all(
        one["unaccounted"] == 0
        and one["pending"] >= 0
        and one["routed"] == one["delivered"] + sum(one["ledger"].values())
        for one in status["uplinks"].values()
    )


async def test_a_renamed_uplink_is_a_new_one_and_begins_where_it_is_told(tmp_path: Path) -> None:
    """An installer corrects a name; the old one is forgotten, and said so. ``start`` decides about what is stored."""
    async with Broker() as broker, listening(broker, "all", "new") as (everything, only_new):
        gateway = Gateway(tmp_path, uplinks={"typo": NOWHERE})
        async with running(gateway):
            await publish(gateway, "before", 30)
            await restart(gateway, {"all": to(broker, "all"), "new": to(broker, "new", start="now")})
            await publish(gateway, "after", 20)
            await eventually("all has all", lambda: devices(everything) == {"before": 30, "after": 20})
            await eventually("new has the new", lambda: devices(only_new) == {"after": 20})
            await eventually("nothing is kept for the one that was forgotten", lambda: _holds(gateway, 0))
            status = await gateway.drained()
            verified = await fieldgate("journal", "verify", config=gateway.config)

    assert "uplink.forgotten" in gateway.log_text()
    assert {name: one["routed"] for name, one in status["uplinks"].items()} == {"all": 50, "new": 20}
    assert is_balanced(status)
    assert verified.code == 0, verified.out


async def _holds(gateway: Gateway, events: int) -> bool:
    return bool((await gateway.status())["journal"]["events"] == events)


async def test_an_uplink_with_another_filter_goes_on_and_counts_anew(tmp_path: Path) -> None:
    """What is pending was counted with the old filter; with the new one less, or more, of it is to be sent."""
    async with Broker() as broker, listening(broker, "up") as (upstream,):
        only_a = {"only": {"devices": ["t.a"]}}
        uplinks = {"up": {**NOWHERE, **only_a}, "other": NOWHERE}
        gateway = Gateway(tmp_path, uplinks=uplinks)
        async with running(gateway):
            for name in ("a", "b", "c"):
                await publish(gateway, name, 20)
            first = await gateway.status()
            await restart(gateway, {**uplinks, "up": {**NOWHERE, "only": {"devices": ["t.b"]}}})
            second = await gateway.status()
            wanted = {"only": {"devices": ["t.[bc]"]}}
            await restart(gateway, {**uplinks, "up": to(broker, "up", **wanted)})
            third = await gateway.drained("up")
            await eventually("b and c are there", lambda: devices(upstream) == {"b": 20, "c": 20})

    assert first["uplinks"]["up"]["pending"] == 20
    assert second["uplinks"]["up"]["unaccounted"] == 0
    assert third["uplinks"]["up"]["routed"] == third["uplinks"]["up"]["delivered"] == 40
    assert third["uplinks"]["up"]["pending"] == third["uplinks"]["up"]["unaccounted"] == 0
    assert third["uplinks"]["other"]["pending"] == 60


async def test_without_uplinks_for_a_while_nothing_is_lost_and_all_is_counted(tmp_path: Path) -> None:
    """Somebody comments the section out for a day: the old uplink goes on, a new one gets what is stored."""
    async with Broker() as broker, listening(broker, "old", "new") as (old, new):
        gateway = Gateway(tmp_path, uplinks={"old": NOWHERE})
        async with running(gateway):
            await publish(gateway, "first", 20)
            await restart(gateway, {})
            await publish(gateway, "second", 20)
            await restart(gateway, {"old": to(broker, "old"), "new": to(broker, "new")})
            await publish(gateway, "third", 20)
            for upstream in (old, new):
                await eventually("all is there", lambda one=upstream: sum(devices(one).values()) == 60)
            status = await gateway.drained()
            await restart(gateway, {"old": to(broker, "old"), "new": to(broker, "new")})
            again = await gateway.drained()

    assert is_balanced(status)
    assert {name: one["routed"] for name, one in status["uplinks"].items()} == {"old": 60, "new": 60}
    assert again["uplinks"]["old"]["routed"] == 60, "what was kept for nobody is counted once"
    assert is_balanced(again)


async def test_two_uplinks_with_formats_and_filters_of_their_own(tmp_path: Path) -> None:
    """One sends everything in batches, the other only alarms, as the devices wrote them."""
    alarms_port = free_port()
    raw: list[tuple[str, Any]] = []
    async with Broker() as broker, listening(broker, "batch") as (batches,):
        watcher = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        watcher.on_message = lambda client, userdata, message: raw.append((message.topic, message.payload))
        watcher.connect("127.0.0.1", broker.port)
        watcher.subscribe("alarm/#", qos=1)
        watcher.loop_start()
        uplinks = {
            "batch": to(broker, "batch", format="cloudevents-batch", batch={"max_events": 10, "max_delay": "50ms"}),
            "alarms": to(broker, "alarm", format="raw", only={"lanes": ["high"], "topics": ["t/*"]}),
        }
        uplinks["alarms"]["mqtt"]["version"] = 5
        gateway = Gateway(tmp_path, uplinks=uplinks)
        gateway.settings["listen"].append({"mqtt": f"127.0.0.1:{alarms_port}", "lane": "high"})
        async with running(gateway):
            await publish(gateway, "dull", 30)
            await publish(gateway, "alarm", 5, port=alarms_port)
            await eventually("all in batches", lambda: devices(batches) == {"dull": 30, "alarm": 5})
            await eventually("alarms as they are", lambda: len(raw) == 5)
            status = await gateway.drained()
        watcher.disconnect()
        watcher.loop_stop()

    assert {one["lane"] for one in batches.events() if one["data"]["device_"] == "alarm"} == {"high"}
    assert [json.loads(payload)["n"] for _, payload in raw] == list(range(5))
    assert {topic for topic, _ in raw} == {"alarm/t.alarm"}
    assert {name: one["routed"] for name, one in status["uplinks"].items()} == {"batch": 35, "alarms": 5}
    assert is_balanced(status)


@pytest.mark.long
async def test_the_history_keeps_within_its_bound_and_costs_no_account(tmp_path: Path) -> None:
    """``journal.keep``: what is delivered stays for a replay, and goes by size without being called lost."""
    keep = {"keep": {"size": "1MiB"}, "max_size": "16MiB"}
    async with Broker() as broker, listening(broker, "up", "late") as (upstream, late):
        gateway = Gateway(tmp_path, uplinks={"up": to(broker, "up")}, journal=keep)
        async with running(gateway):
            device = Publisher(gateway.port, name="d", total=4_000, window=500, noise_bytes=500)
            device.start()
            await device.finished()
            await gateway.drained()
            stored = await eventually("the history has its size", lambda: _history(gateway))
            status = await gateway.status()
            await restart(gateway, {"up": to(broker, "up"), "late": to(broker, "late")})
            both = await gateway.drained()
            expected = both["uplinks"]["late"]["routed"]
            await eventually("a new uplink gets what is kept", lambda: len(late.events()) == expected)
            device.close()

    assert len(upstream.events()) == 4_000
    assert status["uplinks"]["up"]["ledger"] == {}
    assert is_balanced(status)
    assert is_balanced(both)
    assert 0 < expected <= stored


async def _history(gateway: Gateway) -> int:
    facts = (await fieldgate("journal", "stats", "--json", config=gateway.config)).json["lanes"]["normal"]
    return int(facts["events"]) if 0 < facts["bytes"] <= 1 << 20 and facts["events"] < 3_900 else 0
