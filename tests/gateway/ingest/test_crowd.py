"""Places at the door and inside: one address cannot take them all, and each limit has its answer."""

from __future__ import annotations

import asyncio

import pytest

from access_kit import knock
from fieldgate.ingest.crowd import Crowd, plain_address
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import Connect, Properties, PubAck, Publish, Reason
from gateway_kit import eventually
from listener_kit import RawClient, SettlingIntake, on_both_loops, serving


def anybody(_one: str) -> bool:
    return True


def test_who_is_being_judged_does_not_have_to_go() -> None:
    """Its password is being checked: to throw it out would waste that, and it would only come again."""
    crowd: Crowd[str] = Crowd(max_strangers=2, max_clients=9, max_per_address=9, may_go=lambda one: one == "idle")
    for one, address in (("judged", "a"), ("idle", "b")):
        crowd.arrived(one, address)

    assert crowd.arrived("new", "a") == "idle"
    crowd.left("idle", "b")
    assert crowd.arrived("newest", "c") == "newest"


def test_the_oldest_of_the_most_crowded_address_makes_room() -> None:
    crowd: Crowd[str] = Crowd(max_strangers=3, max_clients=9, max_per_address=9, may_go=anybody)
    assert [crowd.arrived(one, address) for one, address in (("1", "a"), ("2", "b"), ("3", "a"))] == [None] * 3

    assert crowd.arrived("4", "b") == "1"
    crowd.left("1", "a")
    assert crowd.arrived("5", "c") == "2"


def test_who_is_in_is_no_stranger_any_more() -> None:
    crowd: Crowd[str] = Crowd(max_strangers=1, max_clients=2, max_per_address=1, may_go=anybody)
    crowd.arrived("1", "a")
    crowd.admitted("1", "a")

    assert (crowd.strangers, crowd.clients) == (0, 1)
    assert crowd.arrived("2", "a") is None
    assert crowd.exceeded("a") == "max_clients_per_address"
    assert crowd.exceeded("b") == ""
    crowd.admitted("2", "b")
    assert crowd.exceeded("c") == "max_clients"
    crowd.left("1", "a")
    assert crowd.exceeded("c") == ""
    assert crowd.exceeded("a") == ""


def test_who_leaves_twice_is_counted_once() -> None:
    crowd: Crowd[str] = Crowd(max_strangers=5, max_clients=5, max_per_address=5, may_go=anybody)
    crowd.arrived("1", "a")
    crowd.left("1", "a")
    crowd.left("1", "a")

    assert (crowd.strangers, crowd.clients) == (0, 0)


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
        ("x", "x"),
    ],
)
def test_an_address_is_counted_once_however_it_is_written(host: str, plain: str) -> None:
    """Else one IPv4 client had two of everything on a socket for both families."""
    assert plain_address(host) == plain


@on_both_loops
async def test_a_thousand_idle_sockets_do_not_keep_a_device_out() -> None:
    """FAULTS 61: they make room for each other, and a device from elsewhere is served at once."""
    async with serving(SettlingIntake(), max_connecting=50, connect_timeout=30) as listener:
        idle = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(1000)]
        await eventually("all have knocked", lambda: listener.accepted == 1000)
        assert listener.crowd.strangers <= 50

        code, device = await knock(listener.port, client_id="device", local_address="127.0.0.2")

        assert code == 0
        device.publish(1)
        assert await device.receive() == PubAck(1)
        assert listener.refused["max_connecting"] >= 950
        assert listener.ended["connection_rate_exceeded"] == listener.refused["max_connecting"]
        for _, writer in idle:
            writer.transport.abort()


async def test_a_crowd_that_sends_its_connect_slowly_is_displaced_too() -> None:
    """Bytes that trickle do not make a stranger younger."""
    async with serving(SettlingIntake(), max_connecting=2, connect_timeout=30) as listener:
        connect = encode(Connect("slow", 5), 5)
        slow = [await RawClient.open(listener.port, version=5) for _ in range(2)]
        for client in slow:
            client.writer.write(connect[:-1])
        await eventually("both have knocked", lambda: listener.crowd.strangers == 2)

        code, _ = await knock(listener.port, client_id="quick", local_address="127.0.0.2")

        assert code == 0
        assert await slow[0].is_closed()
        slow[1].writer.write(connect[-1:])
        assert (await slow[1].receive()) is not None


async def test_the_connect_of_a_stranger_is_smaller_than_a_packet_may_be() -> None:
    """500 strangers with 256 KiB each would be 125 MB; what comes behind the CONNECT is as large as ever."""
    async with serving(SettlingIntake()) as listener:
        large = await RawClient.open(listener.port, version=5)
        properties = Properties(user=tuple((f"{one:05}", "x" * 30_000) for one in range(4)))
        large.write(Connect("large", 5, properties=properties))
        assert await large.is_closed()

        usual = await RawClient.open(listener.port, version=5)
        usual.write(Connect("usual", 5), Publish("t", b"x" * 200_000, 1, packet_id=1))
        await usual.receive()
        assert await usual.receive() == PubAck(1)


async def test_limits_and_what_became_of_whom_are_counted() -> None:
    """`fieldgate status` shows these; each limit has its own name."""
    async with serving(SettlingIntake(), max_clients=1) as listener:
        await knock(listener.port, client_id="1")
        assert (await knock(listener.port, client_id="2"))[0] == Reason.QUOTA_EXCEEDED
        assert (await knock(listener.port, client_id="2", version=4))[0] == 3

        await eventually("it is counted", lambda: listener.ended["max_clients"] == 2)
        assert listener.refused == {"max_clients": 2}
        assert isinstance(listener, MqttListener)
        assert listener.crowd.clients == 1
