"""A gateway that reads a real broker: nothing that the broker let go is lost, whatever happens to the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from command_kit import fieldgate
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from uplink_kit import mosquitto


def reading(folder: Path, broker: int, upstream: int | None, **changes: Any) -> Gateway:
    """A gateway that reads ``t/#`` at ``broker`` and forwards to ``upstream``."""
    up = {"url": f"mqtt://127.0.0.1:{upstream}", "status_topic": "off"}  # which would come back as well
    uplinks = {"up": {"mqtt": up}} if upstream is not None else {}
    durability = changes.pop("durability", "relay")
    mqtt = {"url": f"mqtt://127.0.0.1:{broker}", "subscribe": ["t/#"], **changes.pop("mqtt", {})}
    gateway = Gateway(folder, uplinks=uplinks, durability=durability)
    gateway.settings["sources"] = [{"name": "floor", "mqtt": mqtt, **changes}]
    return gateway


async def connected(gateway: Gateway) -> dict[str, Any]:
    async def is_connected() -> dict[str, Any] | None:
        status = await gateway.status_or_none()
        if status is None:
            return None
        one = status["sources"]["floor"]
        return status if one["state"] == "connected" and one["subscribed"] == one["subscriptions"] else None

    return dict(await eventually("the source is connected and subscribed", is_connected))


@pytest.mark.parametrize(("durability", "version"), [("relay", "5"), ("journal", "3.1.1")])
async def test_kill_9_under_load_loses_nothing_that_the_broker_was_acknowledged(
    tmp_path: Path, durability: str, version: str
) -> None:
    """P1 through a broker: what a device was acknowledged there arrives upstream, over two kills of the gateway."""
    (tmp_path / "up").mkdir()
    async with mosquitto(tmp_path, "max_inflight_messages 20") as broker, mosquitto(tmp_path / "up") as upstream:
        gateway = reading(tmp_path, broker, upstream, durability=durability, mqtt={"version": version})
        log = Upstream(upstream)
        log.start()
        publishers = [Publisher(broker, name=f"d{number}", total=1500, window=10) for number in range(2)]
        async with running(gateway):
            await connected(gateway)
            for one in publishers:
                one.start()
            for arrived in (200, 900):
                await eventually("events arrive", lambda arrived=arrived: len(log.events()) >= arrived)
                await gateway.kill()
                await gateway.start()
            for one in publishers:
                await one.finished()

            await eventually("everything has arrived", lambda: log.missing(publishers) == {})
        for one in publishers:
            one.close()
        log.close()
        oracle(log, publishers)


async def test_status_shows_each_source(tmp_path: Path) -> None:
    """Whoever installed it asks first whether it reads at all."""
    async with mosquitto(tmp_path) as broker, running(reading(tmp_path, broker, None)) as gateway:
        await connected(gateway)
        publisher = Publisher(broker, total=5)
        publisher.start()
        await publisher.finished()

        async def is_read() -> bool:
            one = (await gateway.status())["sources"]["floor"]
            return (one["events"], one["unacknowledged"]) == (5, 0)

        await eventually("all are events and acknowledged", is_read)
        text = (await fieldgate("status", config=gateway.config)).out
        publisher.close()

        one = (await gateway.status())["sources"]["floor"]
        assert (one["state"], one["version"], one["received"], one["unacknowledged"]) == ("connected", "5", 5, 0)
        assert one["from"] == f"127.0.0.1:{broker}"
        assert "source   floor   connected by MQTT 5   for" in text
        assert "5 received   5 events" in text


async def test_a_clean_stop_acknowledges_everything_and_keeps_the_session(tmp_path: Path) -> None:
    """After SIGTERM the broker has nothing in flight that is stored here, and goes on collecting."""
    async with mosquitto(tmp_path) as broker:
        gateway = reading(tmp_path, broker, None)
        async with running(gateway):
            await connected(gateway)
            publisher = Publisher(broker, total=200)
            publisher.start()
            await publisher.finished()

            async def is_read() -> bool:
                return (await gateway.status())["sources"]["floor"]["received"] == 200

            await eventually("all are read", is_read)
            assert await gateway.stop() == 0
            late = Publisher(broker, name="late", total=10)
            late.start()
            await late.finished()
            await gateway.start()

            async def has_caught_up() -> dict[str, Any] | None:
                status = await gateway.status_or_none()  # it listens a moment before it answers
                return status["sources"]["floor"] if status and status["sources"]["floor"]["events"] >= 10 else None

            one = await eventually("what came meanwhile is read", has_caught_up)

            assert one["received"] == 10  # and nothing of before a second time
            publisher.close()
            late.close()


@pytest.mark.parametrize("format_", ["cloudevents", "cloudevents-batch", "raw"])
async def test_a_bridge_that_sends_our_events_back_does_not_multiply_them(tmp_path: Path, format_: str) -> None:
    """Fault 49: the upstream broker bridges everything into the broker that is read."""
    (tmp_path / "up").mkdir()
    async with mosquitto(tmp_path) as broker:
        bridge = (
            "connection loop", f"address 127.0.0.1:{broker}", "bridge_protocol_version mqttv50", "cleansession true",
            'topic # out 1 "" back/',
        )  # fmt: skip
        async with mosquitto(tmp_path / "up", *bridge) as upstream:
            gateway = reading(tmp_path, broker, upstream, mqtt={"subscribe": ["t/#", "back/#"]})
            gateway.settings["uplinks"]["up"] |= {"format": format_}
            async with running(gateway):
                await connected(gateway)
                publisher = Publisher(broker, total=50)
                publisher.start()
                await publisher.finished()

                async def has_come_back() -> dict[str, Any] | None:
                    status = await gateway.status()
                    one = status["sources"]["floor"]
                    is_done = one["looped"] >= looped and one["received"] == one["events"] + one["looped"]
                    return status if one["events"] >= 50 and is_done and await _is_quiet(gateway) else None

                looped = 1 if format_ == "cloudevents-batch" else 50
                status = await eventually("they have come back and nothing moves any more", has_come_back)
                publisher.close()

    assert status["events_in"] == 50
    assert looped <= status["sources"]["floor"]["looped"] <= 50


async def test_a_source_and_an_uplink_at_one_broker_do_not_feed_each_other(tmp_path: Path) -> None:
    """Everything is subscribed to, so each event comes back; raw over 3.1.1 bears nothing but its topic."""
    async with mosquitto(tmp_path) as broker:
        gateway = reading(tmp_path, broker, broker, mqtt={"subscribe": ["#"]})
        gateway.settings["uplinks"]["up"] |= {"format": "raw"}
        gateway.settings["uplinks"]["up"]["mqtt"] |= {"version": "3.1.1", "topic": "site/{gateway}/{topic}"}
        async with running(gateway):
            await connected(gateway)
            publisher = Publisher(broker, total=50)
            publisher.start()
            await publisher.finished()

            async def have_come_back() -> dict[str, Any] | None:
                status = await gateway.status()
                return status if status["sources"]["floor"]["looped"] == 50 else None

            status = await eventually("all have come back", have_come_back)
            checked = await fieldgate("check", config=gateway.config)
            publisher.close()

    assert status["events_in"] == 50
    assert "subscribe: '#' also reads what uplinks.up publishes to the same broker" in checked.out


async def test_many_dead_brokers_do_not_hold_up_the_stop(tmp_path: Path) -> None:
    """Each gets half a second to close its side; together they must stay far below the five of a stop."""
    async with mosquitto(tmp_path) as broker, Link("127.0.0.1", broker) as link:
        gateway = reading(tmp_path, link.port, None)
        gateway.settings["sources"] = [
            {"name": f"s{n}", "mqtt": {"url": f"mqtt://127.0.0.1:{link.port}", "subscribe": ["t/#"]}} for n in range(12)
        ]
        async with running(gateway):

            async def all_are_connected() -> bool:
                status = await gateway.status_or_none()
                return bool(status) and all(one["subscribed"] for one in status["sources"].values())

            await eventually("all are connected", all_are_connected)
            link.cut()

            assert await gateway.stop() == 0

    assert "not stopped within" not in gateway.log_text()


async def _is_quiet(gateway: Gateway) -> bool:
    """Whether nothing was received for as long as the slowest part of the loop takes several times over."""
    before = (await gateway.status())["sources"]["floor"]["received"]
    await asyncio.sleep(0.3)
    return bool((await gateway.status())["sources"]["floor"]["received"] == before)
