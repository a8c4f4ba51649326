"""One message of a device, seen by a collector: listener, decode, rules, journal, uplink; and what goes upstream."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway_kit import Gateway, Upstream, eventually, running
from otlp_kit import Got, OtlpReceiver
from ports import free_port
from uplink_kit import mosquitto

TRACE, DEVICE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
RULE = 'rules: [{id: hot, on: {device: "*"}, fires: each, when: n > 0, do: [{emit: {type: heat}}]}]'
STEPS = ("receive", "decode", "rules", "emit", "commit", "forward")


def parent(flags: str = "01", trace: str = TRACE) -> str:
    return f"00-{trace}-{DEVICE}-{flags}"


async def publish(gateway: Gateway, *traceparents: str | None, topic: str = "boiler/1") -> None:
    """A message each, at QoS 1; returns when all are acknowledged."""
    async with aiomqtt.Client("127.0.0.1", gateway.port, protocol=paho.MQTTv5) as device:
        for number, one in enumerate(traceparents, 1):
            properties = Properties(PacketTypes.PUBLISH)
            if one is not None:
                properties.UserProperty = [("traceparent", one), ("tracestate", "rojo=1")]
            await device.publish(topic, b'{"n":%d}' % number, qos=1, properties=properties)


def gateway_in(folder: Path, port: int, tracing: dict[str, Any], **uplink: Any) -> Gateway:
    mqtt = {"url": f"mqtt://127.0.0.1:{port}", "topic": "up/{topic}", "status_topic": "off"}
    gateway = Gateway(folder, uplinks={"cloud": {"mqtt": mqtt, **uplink}}, durability="journal")
    (folder / "rules.d").mkdir()
    (folder / "rules.d" / "hot.yaml").write_text(RULE)
    gateway.settings["tracing"] = tracing
    return gateway


def assert_is_the_way_of_one_message(spans: dict[str, list[Got]], device: str) -> None:
    """All steps, each within the one that it belongs to, none before it."""
    (receive,) = spans["receive"]
    assert receive.parent == device
    assert receive.facts["messaging.destination.name"] == "boiler/1"
    (decode,), (rules,), (emit,) = spans["decode"], spans["rules"], spans["emit"]
    assert [one.parent for one in (decode, rules, emit)] == [receive.id] * 3
    assert receive.start_ns == decode.start_ns <= decode.end_ns == rules.start_ns <= rules.end_ns <= receive.end_ns
    for name in ("commit", "forward"):
        own, made = sorted(spans[name], key=lambda one: one.parent != receive.id)
        assert (own.parent, made.parent) == (receive.id, emit.id)
        assert all(receive.start_ns <= one.start_ns <= one.end_ns for one in (own, made))
    assert {one.state for group in spans.values() for one in group} <= {"rojo=1", ""}


async def test_one_sampled_trace_shows_the_way_also_over_an_outage_and_a_restart(tmp_path: Path) -> None:
    """The uplink is away, the gateway is killed, hours may pass: what was recorded is still one trace.

    Envelopes bear the context of the device, and those of a rule one of their own in the same trace.
    """
    port = free_port()
    with OtlpReceiver() as collector:
        gateway = gateway_in(tmp_path, port, {"otlp": collector.url, "sample": 0.0})
        await gateway.start()
        await publish(gateway, parent(), parent("00", "a" * 32), None, "nonsense")
        await eventually("the commit is told", lambda: len(collector.of(TRACE).get("commit", [])) == 2)
        assert "forward" not in collector.of(TRACE)
        await gateway.kill()

        async with mosquitto(tmp_path, port=port):
            upstream = Upstream(port)
            upstream.start()
            async with running(gateway):
                await eventually("the uplink is told", lambda: len(collector.of(TRACE).get("forward", [])) == 2)
                await eventually("all has arrived", lambda: len({one["id"] for one in upstream.arrived}) == 8)
            upstream.close()

    spans = collector.of(TRACE)
    assert sorted(spans) == sorted(STEPS)
    assert_is_the_way_of_one_message(spans, DEVICE)
    assert {one.trace for one in collector.spans} == {TRACE}, "what nobody records is not told"
    assert not any(one.links for one in collector.spans), "each had a message of its own"
    assert {one.service for one in collector.spans} == {"g"}
    said = {(one["type"], one["data"].get("n")): one.get("traceparent") for one in upstream.arrived}
    assert said["fieldgate.generic", 1] == parent()
    assert said["fieldgate.generic", 2] == parent("00", "a" * 32)
    assert said["fieldgate.generic", 3] is said["fieldgate.generic", 4] is None
    of_rule = [
        one["traceparent"] for one in upstream.arrived if "traceparent" in one and one["type"] == "fieldgate.heat"
    ]
    assert f"00-{TRACE}-{spans['emit'][0].id}-01" in of_rule


async def test_a_sample_is_taken_of_what_bears_no_trace_and_events_of_one_message_are_linked(tmp_path: Path) -> None:
    """Without a tracing device an operator still sees where time goes; a batch joins many traces."""
    async with mosquitto(tmp_path) as port:
        with OtlpReceiver() as collector:
            tracing = {"otlp": collector.url, "sample": 1.0, "headers": {"X-Tenant": "plant"}}
            gateway = gateway_in(tmp_path, port, tracing, format="cloudevents-batch", batch={"max_delay": "200ms"})
            async with running(gateway):
                await publish(gateway, None, "nonsense", parent("00"))
                await eventually(
                    "all is told", lambda: len([1 for one in collector.spans if one.name == "forward"]) >= 4
                )
                status = await gateway.status()

    begun = [one for one in collector.spans if one.name == "receive"]
    assert [one.parent for one in begun] == ["", ""], "the device said of the third that nobody records it"
    forwards = [one for one in collector.spans if one.name == "forward"]
    assert any(
        set(one.links) & {(first.trace, first.id) for first in begun} - {(one.trace, one.parent)} for one in forwards
    )
    assert collector.headers["x-tenant"] == "plant"
    assert status["listeners"][0]["traces_ignored"] == 1


async def test_a_collector_that_is_away_costs_nothing_and_is_told_once(tmp_path: Path) -> None:
    """Nobody waits for it, neither devices nor the stop; when it comes back, so do spans."""
    async with mosquitto(tmp_path) as port:
        with OtlpReceiver() as collector:
            collector.status = 400
            gateway = gateway_in(tmp_path, port, {"otlp": collector.url, "sample": 1.0})
            async with running(gateway):
                await publish(gateway, None)
                await eventually("it has refused", lambda: collector.requests >= 1)
                await publish(gateway, None)
                await eventually("it has refused again", lambda: collector.requests >= 2)
                collector.status = 200
                await publish(gateway, None)
                await eventually("it is asked again", lambda: collector.spans)
                await eventually("that is said", lambda: "tracing.exported_again" in gateway.log_text())
                await gateway.drained()
                assert gateway.log_text().count("tracing.not_exported") == 1
                assert await gateway.stop() == 0


async def test_without_a_collector_contexts_are_passed_on_and_nothing_else(tmp_path: Path) -> None:
    """Off is the default: over MQTT 5 the property arrives as the device has sent it, by format raw too."""
    async with mosquitto(tmp_path) as port:
        gateway = gateway_in(tmp_path, port, {}, format="raw")
        del gateway.settings["tracing"]
        async with running(gateway), aiomqtt.Client("127.0.0.1", port, protocol=paho.MQTTv5) as client:
            await client.subscribe("up/boiler/1", qos=1)
            await publish(gateway, parent(), "nonsense")
            async with asyncio.timeout(30):
                got = [await anext(client.messages) for _ in range(2)]

    said = [dict(one.properties.UserProperty) for one in got]  # type: ignore[union-attr]  # generated at run time
    assert (said[0]["traceparent"], said[0]["tracestate"]) == (parent(), "rojo=1")
    assert "traceparent" not in said[1]
    assert [json.loads(bytes(one.payload)) for one in got] == [{"n": 1}, {"n": 2}]
