"""Commands over an uplink: a broker by script on one side, a desk by script on the other."""

from __future__ import annotations

import json

import pytest

from fieldgate.mqtt.packets import (
    Packet,
    Properties,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscription,
)
from order_desk_kit import ScriptedDesk, running_with_commands
from source_kit import GoodBroker
from uplink_commands_kit import TOPIC, acks, answers, command
from uplink_kit import Peer, until


@pytest.fixture
async def broker():
    async with GoodBroker().serving() as broker:
        yield broker


@pytest.fixture
def desk():
    return ScriptedDesk()


async def test_a_command_reaches_the_desk_and_its_answer_the_server(broker, desk):
    """The main job."""
    broker.on_subscribed = lambda peer: peer.send(command())

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 1)
        status = uplink.status.commands

    (order,) = desk.orders
    assert (order.device, order.name, order.arguments) == ("valve-1", "set", {"position": 40})
    assert (order.origin, order.id, order.is_ours) == ("uplink:cloud", "own-1", True)
    assert broker.subscribed[0].subscriptions == (
        Subscription("fieldgate/gw/+/command/+", 1, no_local=True, retain_as_published=True, retain_handling=2),
    )
    assert acks(broker.peers[0]) == [1]
    assert answers(broker) == [
        (
            f"{TOPIC}/answer",
            {
                "id": "own-1",
                "device": "valve-1",
                "command": "set",
                "status": "done",
                "at": "2026-01-01T00:00:00.000000Z",
            }
            | ({"timequality": "unsynced"} if b"unsynced" in broker.arrived[0].payload else {}),
        )
    ]
    assert broker.arrived[0].properties.content_type == "application/json"
    assert (status.subscribed, status.received, status.refused, status.waiting) == (True, 1, 0, 0)
    assert [order for order, _ in desk.was_told] == desk.orders
    assert desk.joined == ["uplink:cloud"]


async def test_an_answer_goes_where_the_command_wants_it(broker, desk):
    """MQTT 5 request and response [MQTT5 4.10]."""
    asked = Properties(response_topic="replies/7", correlation_data=b"\xff\x01")
    broker.on_subscribed = lambda peer: peer.send(command(properties=asked))

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 1)

    (answer,) = broker.arrived
    assert (answer.topic, answer.qos, answer.properties.correlation_data) == ("replies/7", 1, b"\xff\x01")
    assert json.loads(answer.payload)["id"] == "ff01"
    assert (desk.orders[0].reply_to, desk.orders[0].correlation) == ("replies/7", b"\xff\x01")


async def test_over_3_1_1_the_payload_says_the_id(broker, desk):
    """There are no properties, and no options of a subscription."""
    broker.on_subscribed = lambda peer: peer.send(command(payload=b'{"id": "a7", "position": 1}'))

    async with running_with_commands(desk, broker.port, mqtt={"version": "3.1.1"}) as uplink:
        await until(lambda: uplink.status.commands.answered == 1)

    assert (desk.orders[0].id, desk.orders[0].arguments) == ("a7", {"position": 1})
    assert broker.subscribed[0].subscriptions == (Subscription("fieldgate/gw/+/command/+", 1),)
    assert answers(broker)[0][0] == f"{TOPIC}/answer"


@pytest.mark.parametrize(
    "reply_to",
    ["a/#", "+", "", "$SYS/x", "fieldgate/gw/other/command/open", "x" * 2000, "a\x01"],
    ids=lambda one: one[:20],
)
async def test_a_response_topic_that_may_not_be_is_not_used(broker, desk, reply_to):
    """Who sends the command writes it: our rights at the server must not let them speak anywhere."""
    properties = b"\x08" + len(reply_to).to_bytes(2, "big") + reply_to.encode()
    size = len(properties)
    block = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    body = len(TOPIC).to_bytes(2, "big") + TOPIC.encode() + b"\0\1" + block + properties + b"{}"
    length = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 127 | 128, len(body) >> 7))
    broker.on_subscribed = lambda peer: peer.writer.write(b"\x32" + length + body)

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 1)

    ((topic, said),) = answers(broker)
    assert topic == f"{TOPIC}/answer"
    assert "response topic" in said["remark"]
    assert said["status"] == "done"


async def test_what_is_no_command_is_refused_with_the_reason_and_acknowledged(broker, desk):
    """Anybody with the right may publish there; nothing of it may end the connection."""
    bad = [b"{", b"[1]", b'{"arguments": 1}', b'{"arguments": {}, "x": 1}', b'{"id": {}}', b"\xff", b"[" * 100_000]
    bad += [b'{"arguments": {}, "at": "yesterday"}', b'{"arguments": {}, "max_age": -1}', b'"' + b"x" * 70_000 + b'"']
    broker.on_subscribed = lambda peer: [peer.send(command(n, one)) for n, one in enumerate(bad, 1)]

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == len(bad))
        status = uplink.status

    assert desk.orders == []
    assert acks(broker.peers[0]) == list(range(1, len(bad) + 1))
    assert {said["status"] for _, said in answers(broker)} == {"refused"}
    assert all(said["reason"] for _, said in answers(broker))
    assert (status.commands.refused, status.reconnects) == (len(bad), 0)


async def test_a_retained_command_is_never_carried_out(broker, desk):
    """It would be, at every connection."""
    broker.on_subscribed = lambda peer: [peer.send(command(n, retain=True)) for n in (1, 2)]

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 1 and len(acks(broker.peers[0])) == 2)

    assert desk.orders == []
    assert [(said["status"], "retained" in said["reason"]) for _, said in answers(broker)] == [("refused", True)]
    assert [(order.device, order.name, answer.status) for order, answer in desk.notes] == [
        ("valve-1", "set", "refused")
    ]  # for the audit trail


@pytest.mark.clause("MQTT5-4.6.0-2", "MQTT311-4.6.0-2")
async def test_acknowledged_when_settled_and_in_the_order_of_receipt(broker, desk):
    """The desk may settle in any order; before that a crash must not lose the command."""
    desk.on_submit = desk.hold
    broker.on_subscribed = lambda peer: [peer.send(command(n)) for n in (5, 6, 7)]

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: len(desk.orders) == 3)
        desk.finish(2)
        desk.finish(1)
        await until(lambda: uplink.status.commands.answered == 2)
        early = acks(broker.peers[0])
        desk.finish(0)
        await until(lambda: len(acks(broker.peers[0])) == 3)

    assert early == []
    assert acks(broker.peers[0]) == [5, 6, 7]


async def test_a_command_sent_again_joins_the_one_that_waits(broker, desk):
    """A cut before the acknowledgement: the server sends it again, and the device must get it once."""
    desk.on_submit = desk.hold
    broker.session = True

    def deliver(peer: Peer) -> None:
        peer.send(command(9, dup=peer.number > 1))
        if peer.number > 1:
            peer.send(command(10, b'{"position": 1, "id": "x"}'))

    broker.on_subscribed = deliver
    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: len(desk.orders) == 1)
        broker.peers[0].close()
        await until(lambda: len(desk.orders) == 2)
        desk.finish(0)
        desk.finish(1)
        await until(lambda: len(broker.peers) > 1 and acks(broker.peers[1]) == [9, 10])
        await until(lambda: uplink.status.commands.answered == 2)

    assert [order.arguments["position"] for order in desk.orders] == [40, 1]
    assert uplink.status.commands.joined == 1


async def test_without_the_session_an_id_of_a_packet_means_nothing(broker, desk):
    """Control of the test before: the server has forgotten, so this is another command."""
    desk.on_submit = desk.hold
    broker.on_subscribed = lambda peer: peer.send(command(9, dup=peer.number > 1))

    async with running_with_commands(desk, broker.port):
        await until(lambda: len(desk.orders) == 1)
        broker.peers[0].close()
        await until(lambda: len(desk.orders) == 2)


async def test_what_an_earlier_process_may_have_had_is_not_repeated(broker, desk):
    """No id, and sent again: it may have been carried out before the crash. With an id the desk knows."""
    broker.session = True
    broker.on_subscribed = lambda peer: [
        peer.send(command(1, dup=True)),
        peer.send(command(2, b'{"id": "a7"}', dup=True)),
        peer.send(command(3)),
    ]

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 3)

    assert [order.id for order in desk.orders] == ["a7", "own-1"]
    assert sorted(str(said["status"]) for _, said in answers(broker)) == ["done", "done", "unknown"]
    assert acks(broker.peers[0]) == [1, 2, 3]


@pytest.mark.clause("MQTT5-4.3.3-8", "MQTT5-4.3.3-10", "MQTT5-4.3.3-11", "MQTT311-4.3.3-2")
async def test_at_qos_2_a_command_is_one_whatever_is_sent_again(broker, desk):
    """PUBREC when it is settled; its id stays known until PUBREL."""
    got: list[Packet] = []
    twice = Publish(TOPIC, b'{"position": 40}', qos=2, packet_id=4)

    def on_packet(peer: Peer, packet: Packet) -> None:
        got.append(packet)
        if isinstance(packet, PubRec):
            if len(got) == 1:
                peer.send(twice)
            else:
                peer.send(PubRel(4))

    broker.on_packet = on_packet
    broker.on_subscribed = lambda peer: peer.send(twice)
    async with running_with_commands(desk, broker.port):
        await until(lambda: any(isinstance(packet, PubComp) for packet in got))

    assert len(desk.orders) == 1
    assert got[:3] == [PubRec(4), PubRec(4), PubComp(4)]


async def test_qos_0_is_a_command_too(broker, desk):
    """Its sender takes the risk that it is lost on the way."""
    broker.on_subscribed = lambda peer: peer.send(command(0))

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 1)

    assert acks(broker.peers[0]) == []


async def test_a_flood_is_bounded_and_each_of_it_answered(broker, desk):
    """Row 59 for commands: a server that knows no Receive Maximum sends 2,000 at once, and nothing is settled."""
    desk.on_submit = desk.hold
    broker.on_subscribed = lambda peer: [peer.send(command(n)) for n in range(1, 2001)]

    async with running_with_commands(desk, broker.port) as uplink:
        await until(lambda: uplink.status.commands.answered == 2000 - 1024)
        assert len(desk.orders) == uplink.status.commands.waiting == 1024
        for number in range(1024):
            desk.finish(number)
        await until(lambda: uplink.status.commands.answered == 2000)
        await until(lambda: len(acks(broker.peers[0])) == 2000)

    assert acks(broker.peers[0]) == list(range(1, 2001))
    assert broker.peers[0].connect.properties.receive_maximum == 32
