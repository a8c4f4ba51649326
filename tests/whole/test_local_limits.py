"""The section ``local`` of a configuration: each of its limits holds for the clients of a gateway that runs."""

from __future__ import annotations

from pathlib import Path

from fieldgate.mqtt.packets import Properties, PubAck, Publish, Reason, SubAck, Subscribe, Subscription
from gateway_kit import Gateway, eventually, running
from listener_kit import RawClient

LIMITS = {
    "max_sessions": 1,
    "max_session_expiry": "1h",
    "max_subscriptions": 2,
    "max_queued": "1KiB",
    "max_retained": 2,
    "max_retained_size": "2KiB",
}
TWO_HOURS = Properties(session_expiry_s=7200)


async def kept(port: int, client_id: str) -> RawClient:
    return await RawClient.connect(port, client_id, version=5, clean=False, properties=TWO_HOURS)


async def retained(client: RawClient, topic: str, size_bytes: int, packet_id: int) -> int:
    client.write(Publish(topic, b"x" * size_bytes, 1, True, packet_id=packet_id))
    answer = await client.receive()
    assert isinstance(answer, PubAck)
    return answer.reason


async def test_every_limit_of_local_delivery_is_the_one_that_is_written(tmp_path: Path) -> None:
    """Each has its answer where MQTT has one, and its count in the status."""
    gateway = Gateway(tmp_path, uplinks={}, listen={"events": ["events/#"]})
    gateway.settings["local"] = LIMITS
    async with running(gateway):
        try:
            await _check(gateway)
        finally:
            await RawClient.close_all()


async def _check(gateway: Gateway) -> None:
    one = await kept(gateway.port, "one")
    assert one.connack.properties is not None
    assert one.connack.properties.session_expiry_s == 3600

    one.write(Subscribe(1, tuple(Subscription(name, 1) for name in ("a", "b", "c"))))
    answer = await one.receive()
    assert isinstance(answer, SubAck)
    assert answer.reasons == (1, 1, Reason.QUOTA_EXCEEDED)

    writer = await RawClient.connect(gateway.port, "writer", version=5)
    said = [await retained(writer, f"r/{n}", size, n) for n, size in ((1, 100), (2, 2000), (3, 100), (4, 100))]
    assert said == [0, Reason.QUOTA_EXCEEDED, 0, Reason.QUOTA_EXCEEDED]

    async def away() -> int:
        return int((await gateway.status())["local_delivery"]["sessions_away"])

    one.writer.transport.abort()
    await eventually("it is away", lambda: _is(away, 1))
    for number in range(1, 11):
        writer.publish(number, b"x" * 200, topic="a")
        await writer.receive()
    two = await kept(gateway.port, "two")
    two.writer.transport.abort()

    async def ended() -> dict[str, int]:
        return dict((await gateway.status())["local_delivery"]["sessions_ended"])

    assert await eventually("one has ended", ended) == {"max_sessions": 1}
    local = (await gateway.status())["local_delivery"]
    assert local["refused"] == {"max_subscriptions": 1, "max_retained": 1, "max_retained_size": 1}
    assert 0 < local["dropped"]["client_away"] < 10
    assert not (await kept(gateway.port, "one")).connack.session_present


async def _is(ask, value: int) -> bool:  # type: ignore[no-untyped-def]  # a coroutine function
    return bool(await ask() == value)
