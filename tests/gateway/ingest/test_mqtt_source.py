"""A source against real brokers: what is published there becomes events, and is acknowledged when they are safe."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from fieldgate.ingest.mqtt_source import MqttSource
from fieldgate.mqtt.endings import End
from fieldgate.net.broker_connection import Timing
from listener_kit import HeldIntake, SettlingIntake
from source_kit import running
from uplink_kit import free_port, mosquitto, until

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


async def test_the_oracle_would_notice_an_acknowledgement_that_was_too_early(tmp_path: Path) -> None:
    """The control: an intake that says "safe" of what it has in memory only loses it with the process."""
    lost, after = SettlingIntake(), SettlingIntake()
    async with mosquitto(tmp_path, *PERSISTENT) as port:
        async with running(lost, port, folder=tmp_path) as source:
            await subscribed(source)
            await publish(port, ("sensors/a", b"1"))
            await until(lambda: len(lost.heard) == 1)
        await publish(port, ("sensors/a", b"2"))
        async with running(after, port, folder=tmp_path):
            await until(lambda: b"2" in after.payloads)

    assert b"1" not in after.payloads


async def test_retained_messages_are_events_once_and_again_only_when_they_differ(tmp_path: Path) -> None:
    """mosquitto without a store forgets the session and keeps nothing else: each start replays what is retained."""
    intake = SettlingIntake()
    async with mosquitto(tmp_path) as port:
        await publish(port, ("sensors/a", b"20"), ("sensors/b", b"1"), retain=True)
        async with running(intake, port, mqtt={"version": "3.1.1"}) as source:
            await until(lambda: len(intake.heard) == 2)
            await publish(port, ("sensors/a", b"20"), retain=True)  # live: it counts, although it is the same
            await until(lambda: len(intake.heard) == 3)
            source._subscriptions.record.clear()  # as if the broker had lost the subscriptions
            source._connection.give_up(End("test"))
            await until(lambda: source.status.reconnects == 1 and source.status.skipped_retained == 2)

    assert sorted(intake.payloads) == [b"1", b"20", b"20"]


async def test_a_source_logs_in_over_tls(tmp_path: Path) -> None:
    """What the configuration of a broker can do, a source can do as an uplink can."""
    trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    users = tmp_path / "users"
    users.write_text("gate:secret\n")
    made = await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", str(users))
    assert await made.wait() == 0
    intake, tls_port = SettlingIntake(), free_port()
    lines = (
        f"password_file {users}", "allow_anonymous true", f"listener {tls_port} 127.0.0.1",
        f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem",
    )  # fmt: skip
    login = {
        "url": f"mqtts://127.0.0.1:{tls_port}", "ca": str(tmp_path / "ca.pem"),
        "username": "gate", "password": "secret",
    }  # fmt: skip
    async with mosquitto(tmp_path, *lines) as port, running(intake, port, mqtt=login) as source:
        await subscribed(source)
        await publish(port, *(("sensors/a", b"%d" % n) for n in range(500)))
        await until(lambda: len(intake.heard) == 500)
    async with (
        mosquitto(tmp_path, *lines) as port,
        running(intake, port, mqtt=login | {"password": "wrong"}, timing=Timing(30, 30, 0)) as source,
    ):
        await until(lambda: source.status.state == "refused")
        assert "refuses the user name or password" in source.status.reason or "authorise" in source.status.reason


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_two_sources_of_a_share_group_divide_the_messages(version: str, tmp_path: Path) -> None:
    """[MQTT5 4.8.2]: two gateways for one load."""
    one, two = SettlingIntake(), SettlingIntake()
    settings = {"subscribe": ["$share/g/sensors/#"], "version": version}
    async with (
        mosquitto(tmp_path) as port,
        running(one, port, mqtt=settings | {"client_id": "one"}) as first,
        running(two, port, mqtt=settings | {"client_id": "two"}) as second,
    ):
        await subscribed(first)
        await subscribed(second)
        await publish(port, *(("sensors/a", b"%d" % n) for n in range(40)))
        await until(lambda: len(one.heard) + len(two.heard) == 40)

    assert one.heard
    assert two.heard
    assert sorted(one.payloads + two.payloads) == sorted(b"%d" % n for n in range(40))


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
