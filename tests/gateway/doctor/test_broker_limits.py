"""What a broker allows: real mosquittos with limits, and scripted ones for what mosquitto cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doctor_kit import bad, by_id, ids, walk_to
from fieldgate.mqtt.packets import ConnAck, Properties
from uplink_kit import ScriptedBroker, mosquitto

WISHES: dict[str, Any] = {"wants_retain": True, "largest_bytes": 262_144}


async def test_a_mosquitto_as_it_comes_has_no_bad_finding(tmp_path: Path) -> None:
    """The control: a warning about every installation is read by nobody."""
    async with mosquitto(tmp_path) as port:
        found = await walk_to({"url": f"mqtt://127.0.0.1:{port}"}, **WISHES)

    assert bad(found) == []
    figures = by_id(found, "uplink.accepts").figures
    assert (figures["mqtt"], figures["receive_maximum"], figures["retain_available"]) == ("5", 20, True)
    assert figures["ping_ms"] is not None


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("max_inflight_messages 1", "uplink.receive_maximum_low"),
        ("retain_available false", "uplink.no_retain"),
        ("max_qos 0", "uplink.qos_0_only"),
        ("max_packet_size 2000", "uplink.packet_size_low"),
        ("max_packet_size 100000", "uplink.packet_size"),
    ],
)
async def test_a_limit_of_mosquitto_that_matters_is_said(line: str, finding: str, tmp_path: Path) -> None:
    async with mosquitto(tmp_path, line) as port:
        found = await walk_to({"url": f"mqtt://127.0.0.1:{port}"}, **WISHES)

    assert ids(found)[2:] == [finding]
    assert ids(found)[1] == "uplink.accepts"


async def test_a_limit_that_nobody_minds_is_no_finding(tmp_path: Path) -> None:
    """A source publishes nothing, and an uplink without a status topic leaves no retained message."""
    async with mosquitto(tmp_path, "retain_available false", "max_packet_size 300000") as port:
        found = await walk_to({"url": f"mqtt://127.0.0.1:{port}"}, largest_bytes=262_144)

    assert bad(found) == []


async def test_a_wrong_password_is_an_error_that_says_what_to_look_at(tmp_path: Path) -> None:
    async with mosquitto(tmp_path, "allow_anonymous false") as port:
        found = await walk_to({"url": f"mqtt://127.0.0.1:{port}", "username": "u", "password": "wrong-Secret"})

    refused = by_id(found, "uplink.refused")
    assert "'username' and 'password'" in refused.do
    assert "wrong-Secret" not in str(refused)


async def test_a_broker_that_refuses_only_the_doctor_is_a_note() -> None:
    """Many clouds let in the client ids that they know, and the gateway is connected."""
    async with ScriptedBroker().serving() as broker:
        broker.on_connect = lambda peer: peer.send(ConnAck(0x87))
        mqtt = {"url": f"mqtt://127.0.0.1:{broker.port}"}
        found, without = await walk_to(mqtt, is_connected=True), await walk_to(mqtt)
        broker.on_connect = lambda peer: peer.send(ConnAck(0x85))
        about_id = await walk_to(mqtt)

    assert ids(found) == ["uplink.route", "uplink.probe_refused"]
    assert ids(without) == ["uplink.route", "uplink.refused"]
    assert ids(about_id) == ["uplink.route", "uplink.probe_refused"]


async def test_a_broker_of_3_1_1_is_asked_in_3_1_1() -> None:
    """It refuses 5 with the return code that 3.1.1 has for that [MQTT-3.1.2-2]."""

    def answer(peer: Any) -> None:
        peer.writer.write(b"\x20\x02\x00\x01" if peer.connect.version == 5 else b"\x20\x02\x00\x00")

    async with ScriptedBroker().serving() as broker:
        broker.on_connect = answer
        found = await walk_to({"url": f"mqtt://127.0.0.1:{broker.port}"}, **WISHES)

    assert bad(found) == []
    assert by_id(found, "uplink.accepts").figures["mqtt"] == "3.1.1"


async def test_a_long_way_with_few_messages_on_it_is_slow_and_batches_help() -> None:
    """20 messages at a time over 500 ms are 40 a second, whatever the link could carry."""
    from fieldgate.doctor.ask_broker import BrokerAnswer
    from fieldgate.doctor.broker_checks import BrokerWishes, broker_findings

    answer = BrokerAnswer(ConnAck(properties=Properties(receive_maximum=20)), 5, "x", 500.0, ping_ms=500.0)
    alone = list(broker_findings(answer, BrokerWishes(window=1000), about="", broker="b"))
    batches = list(broker_findings(answer, BrokerWishes(window=1000, events_each=100), about="", broker="b"))

    assert by_id(alone, "uplink.receive_maximum_low").figures["events_per_s"] == 40.0
    assert bad(batches) == []
