"""The listener on a real socket: starting, stopping, limits before authentication, deadlines."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from access_kit import knock, users_text, write_private
from fieldgate.config.listen import ListenConfig
from fieldgate.ingest.listen_sockets import ListenError, open_sockets
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    Publish,
    Reason,
    SubAck,
    Subscribe,
)
from fieldgate.mqtt.packets import Subscription as To
from listener_kit import HeldIntake, RawClient, SettlingIntake, on_both_loops, serving


@on_both_loops
async def test_a_publish_is_acknowledged_when_the_intake_settles_it() -> None:
    """P1, over a socket."""
    intake = HeldIntake()
    async with serving(intake, lane="high") as listener:
        client = await RawClient.connect(listener.port)

        client.publish(1, b"m")
        client.write(PingReq())
        assert await client.receive() == PingResp()
        assert intake.payloads == [b"m"]
        intake.settle(0)

        assert await client.receive() == PubAck(1)
        assert intake.lanes == [0]
        assert listener.tally.publishes == 1
        await client.close()


@on_both_loops
async def test_clients_of_two_listeners_hear_each_other() -> None:
    """One gateway has one local broker, whatever the ports."""
    broker = LocalBroker()
    async with serving(SettlingIntake(), broker) as one, serving(SettlingIntake(), broker) as two:
        reader, writer = await RawClient.connect(one.port, "r"), await RawClient.connect(two.port, "w")
        reader.write(Subscribe(1, (To("t", 1),)))
        assert await reader.receive() == SubAck(1, (1,))

        writer.publish(1, b"m")

        assert await reader.receive() == Publish("t", b"m", 1, packet_id=1)
        await reader.close()
        await writer.close()


@on_both_loops
async def test_a_clean_stop_reads_nothing_more_acknowledges_what_it_has_and_says_goodbye() -> None:
    """DESIGN 3, stop: what was settled in time is not sent again after the restart."""
    intake = HeldIntake()
    async with serving(intake) as listener:
        old = await RawClient.connect(listener.port, "old")
        new = await RawClient.connect(listener.port, "new", version=5)
        for client in (old, new):
            client.publish(1, b"before")
            client.write(PingReq())
            assert await client.receive() == PingResp()

        await listener.stop()
        old.publish(2, b"after")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", listener.port)
        intake.settle(0)
        intake.settle(1)
        assert await old.receive() == PubAck(1)
        assert await new.receive() == PubAck(1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listener.close_clients())
            assert await new.receive() == Disconnect(
                Reason.SERVER_SHUTTING_DOWN, Properties(reason_string="the gateway stops")
            )
            assert await old.is_closed()
            await new.close()
            await old.close()

        assert intake.payloads == [b"before", b"before"]
        assert not listener.connections


@on_both_loops
async def test_clients_that_do_not_close_are_closed_within_the_linger() -> None:
    """Stopping must end: the service manager waits."""
    async with serving(SettlingIntake()) as listener:
        client = await RawClient.connect(listener.port)
        await listener.stop()

        async with asyncio.timeout(20):
            await listener.close_clients()

        assert not listener.connections
        await client.close()


@on_both_loops
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_an_address_beyond_loopback_is_refused_even_if_the_config_let_it_pass(host: str) -> None:
    """FAULTS 5.6: devices are not asked who they are, so nobody else may reach the port."""
    config = ListenConfig.model_construct(
        **{**ListenConfig().model_dump(), "mqtt": f"[{host}]:0" if ":" in host else f"{host}:0"}
    )
    listener = MqttListener(config, SettlingIntake(), LocalBroker())

    with pytest.raises(ListenError, match="is not a loopback address"):
        await listener.run()


@on_both_loops
async def test_a_port_in_use_is_one_clear_error() -> None:
    """The usual case: mosquitto is running on this Pi."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = MqttListener(ListenConfig(mqtt=f"127.0.0.1:{port}"), SettlingIntake(), LocalBroker())

        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}: .*in use"):
            await listener.run()


@on_both_loops
async def test_localhost_is_every_loopback_address_that_the_machine_has() -> None:
    """A machine without IPv6 may still name ::1 in its hosts file."""
    async with serving(SettlingIntake(), mqtt="localhost:0") as listener:
        bound = [one.getsockname()[:2] for server in listener._servers for one in server.sockets]
        assert bound
        for host, port in bound:
            assert port == listener.port
            reader, writer = await asyncio.open_connection(host, port)
            client = RawClient(reader, writer, 4)
            client.write(Connect("c", 4))
            assert await client.receive() == ConnAck(0)


@on_both_loops
async def test_an_address_that_this_machine_lacks_is_one_clear_error() -> None:
    """127.0.0.0/8 is all there; ::1 may be missing, and then it is said."""
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:0: this machine does not have"):
        await open_sockets("192.0.2.1", 0, is_open_door=False)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no sockets for IPv4 and IPv6 together")
async def test_every_address_of_ipv6_takes_ipv4_too(tmp_path: Path) -> None:
    """As people expect of [::]; the address that is counted is the plain one."""
    users = write_private(tmp_path / "users", users_text(amy="apple"))
    async with serving(SettlingIntake(), mqtt="[::]:0", auth={"users": users}) as listener:
        code, _ = await knock(listener.port, "amy", "apple")

        assert code == 0
        assert [one.address for one in listener.connections] == ["127.0.0.1"]


@on_both_loops
async def test_clients_over_the_limit_are_turned_away_and_counted() -> None:
    """FAULTS 61: with an answer; one that comes back takes its own place."""
    async with serving(SettlingIntake(), max_clients=2) as listener:
        first, second = await RawClient.connect(listener.port, "1"), await RawClient.connect(listener.port, "2")

        code, third = await knock(listener.port, client_id="3")
        assert code == Reason.QUOTA_EXCEEDED
        assert await third.is_closed()
        second = await RawClient.connect(listener.port, "2")
        await second.close()
        while len(listener.connections) > 1:
            await asyncio.sleep(0)
        fourth = await RawClient.connect(listener.port, "4")

        assert listener.refused == {"max_clients": 1}
        for client in (first, third, fourth):
            await client.close()


@on_both_loops
async def test_one_address_cannot_take_all_places() -> None:
    """FAULTS 61: the other devices keep theirs."""
    async with serving(SettlingIntake(), max_clients_per_address=2) as listener:
        clients = [await RawClient.connect(listener.port, f"{one}") for one in range(2)]

        code, third = await knock(listener.port, client_id="3", version=4)
        assert code == 3
        assert await third.is_closed()
        code, other = await knock(listener.port, client_id="elsewhere", local_address="127.0.0.2")
        assert code == 0

        assert listener.refused == {"max_clients_per_address": 1}
        for client in (*clients, third, other):
            await client.close()


@on_both_loops
async def test_a_silent_client_is_ended_after_one_and_a_half_keep_alives_and_its_place_is_free() -> None:
    """FAULTS 69 [MQTT-3.1.2-22], with the real clock."""
    async with serving(SettlingIntake()) as listener:
        silent = await RawClient.connect(listener.port, "silent", version=5, keep_alive_s=1)
        alive = await RawClient.connect(listener.port, "alive", keep_alive_s=1)
        for_ever = await RawClient.connect(listener.port, "for-ever", keep_alive_s=0)

        async with asyncio.TaskGroup() as tasks:
            pinging = tasks.create_task(_ping(alive))
            got = await silent.receive()
            assert await silent.is_closed()
            pinging.cancel()

        assert isinstance(got, Disconnect)
        assert got.reason == Reason.KEEP_ALIVE_TIMEOUT
        for client in (alive, for_ever):
            client.packets.clear()
            client.write(PingReq())
            assert isinstance(await client.receive(), PingResp)
        for client in (silent, alive, for_ever):
            await client.close()


async def _ping(client: RawClient) -> None:
    while True:
        client.write(PingReq())
        await client.receive()
        await asyncio.sleep(0.3)


@on_both_loops
async def test_a_publisher_that_never_gets_acknowledged_stops_being_read_and_is_read_again() -> None:
    """Back-pressure reaches the device's TCP window, and lets go of it."""
    intake = HeldIntake()
    async with serving(intake) as listener:
        client = await RawClient.connect(listener.port)
        payload = b"x" * 50_000
        for packet_id in range(1, 401):
            client.publish(packet_id, payload)
        (connection,) = listener.connections
        assert connection.session is not None
        while connection.session.is_reading:
            await asyncio.sleep(0)
        assert len(intake.heard) * 50_000 < 256 * 1024 + 300_000

        settled = 0
        while len(intake.heard) < 400:
            while settled < len(intake.batches):
                intake.settle(settled)
                settled += 1
            await asyncio.sleep(0)
        while settled < len(intake.batches):
            intake.settle(settled)
            settled += 1

        assert [await client.receive() for _ in range(400)] == [PubAck(one) for one in range(1, 401)]
        await client.close()


@on_both_loops
async def test_cancelling_the_listener_drops_its_clients() -> None:
    """A supervisor that restarts it must find the place clean."""
    async with serving(SettlingIntake()) as listener:
        client = await RawClient.connect(listener.port)

    assert await client.is_closed()
    await client.close()
    assert not listener.started.is_set()


@on_both_loops
async def test_a_goodbye_arrives_although_the_client_is_still_sending() -> None:
    """Closing with unread input would reset the connection, and the reset overtake the DISCONNECT."""
    async with serving(SettlingIntake(keep=False)) as listener:
        for _ in range(20):
            client = await RawClient.connect(listener.port, "talker", version=5)
            client.write(PingResp())
            for packet_id in range(1, 31):
                client.publish(packet_id, b"x" * 100_000)

            answer = await client.receive()

            assert isinstance(answer, Disconnect)
            assert answer.reason == Reason.PROTOCOL_ERROR
            await client.close()


@on_both_loops
async def test_a_slow_reader_gets_every_qos_1_message_when_it_reads_again() -> None:
    """Pausing at the socket's limit and resuming below it must lose nothing and keep the order."""
    broker = LocalBroker()
    async with serving(SettlingIntake(keep=False), broker, max_unsent=24 * 2**20) as listener:
        slow = await RawClient.connect(listener.port, "slow")
        slow.write(Subscribe(1, (To("t", 1),)))
        assert await slow.receive() == SubAck(1, (1,))
        writer = await RawClient.connect(listener.port, "writer")
        for packet_id in range(1, 101):
            writer.publish(packet_id, b"%03d" % packet_id + b"x" * 200_000)
            assert await writer.receive() == PubAck(packet_id)
        state = broker.sessions.find("slow")
        assert state is not None
        assert state.outbound.is_congested

        got = [await slow.receive() for _ in range(100)]

        assert [one.payload[:3] for one in got if isinstance(one, Publish)] == [b"%03d" % one for one in range(1, 101)]
        assert not state.outbound.is_congested


@on_both_loops
async def test_a_subscriber_that_hangs_loses_qos_0_and_the_others_nothing() -> None:
    """FAULTS 67 at QoS 0: its half of the limit is all that it costs; after 30 s it is cut off."""
    broker = LocalBroker()
    async with serving(SettlingIntake(keep=False), broker) as listener:
        stuck, reader = (
            await RawClient.connect(listener.port, "stuck"),
            await RawClient.connect(listener.port, "reader"),
        )
        for client in (stuck, reader):
            client.write(Subscribe(1, (To("#", 0),)))
            await client.receive()
        writer = await RawClient.connect(listener.port, "writer")

        packet_id = 0
        while broker.drops["client_slow"] < 20:
            packet_id += 1
            writer.publish(packet_id, b"x" * 100_000)
            assert await writer.receive() == PubAck(packet_id)
            assert isinstance(await reader.receive(), Publish)

        (hung,) = [one for one in listener.connections if one.session is not None and one.session.client_id == "stuck"]
        assert hung.unsent_bytes() < 2**20
