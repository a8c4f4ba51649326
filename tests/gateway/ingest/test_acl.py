"""The ACL at work, through real sockets: what is not permitted goes nowhere, by none of the ways there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from access_kit import knock, users_text, write_private
from fieldgate.ingest import gate as gate_module
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.access_rules import ClientRights
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import (
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    Will,
)
from gateway_kit import eventually
from listener_kit import RawClient, SettlingIntake, serving

WHY = Properties(reason_string="the user may not publish to this topic")
ACL = """\
all_users:
  - {allow: all, topic: "own/%u/#"}
  - {allow: publish, topic: "by-id/%c"}
users:
  reader:
    - {allow: subscribe, topic: "#"}
    - {deny: subscribe, topic: secret/#}
"""


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_LOOK_EVERY_S", 0.0)


@pytest.fixture
def acl(tmp_path: Path) -> Path:
    return write_private(tmp_path / "acl.yaml", ACL)


@pytest.fixture
def intake() -> SettlingIntake:
    return SettlingIntake()


@pytest.fixture
async def listener(acl: Path, intake: SettlingIntake, tmp_path: Path) -> AsyncIterator[MqttListener]:
    users = write_private(tmp_path / "users", users_text(amy="a", bob="b", reader="r"))
    async with serving(intake, LocalBroker(), auth={"users": users, "acl": acl}) as running:
        yield running


async def enter(
    listener: MqttListener, user: str, *, client_id: str = "", version: int = 5, clean: bool = True, **more: object
) -> RawClient:
    code, client = await knock(
        listener.port, user, user[0], client_id=client_id or user, version=version, clean=clean, **more  # type: ignore[arg-type]
    )  # fmt: skip
    assert code == 0
    return client


async def subscribed(client: RawClient, *filters: str) -> tuple[int, ...]:
    client.write(Subscribe(1, tuple(Subscription(one, 1) for one in filters)))
    answer = await client.receive()
    assert isinstance(answer, SubAck), answer
    return answer.reasons


async def exchanged(listener: MqttListener, acl: Path, text: str) -> None:
    """Another ACL is in force."""
    before = listener.gate.access
    write_private(acl, text)
    await eventually("it was read", lambda: listener.gate.access is not before)


async def test_a_publish_that_is_not_permitted_is_answered_and_goes_nowhere(
    listener: MqttListener, intake: SettlingIntake
) -> None:
    """MQTT 5: PUBACK or PUBREC 0x87, in the order of receipt [MQTT-4.6.0-2]; the PUBREC ends the exchange."""
    reader, amy = await enter(listener, "reader"), await enter(listener, "amy")
    await subscribed(reader, "#")

    amy.write(
        Publish("own/amy/x", b"1", 1, packet_id=1),
        Publish("own/bob/x", b"2", 1, packet_id=2),
        Publish("own/bob/x", b"3", 2, packet_id=3),
        Publish("own/bob/x", b"4", 0),
        Publish("own/amy/x", b"5", 2, packet_id=5),
    )

    assert [await amy.receive() for _ in range(4)] == [
        PubAck(1),
        PubAck(2, Reason.NOT_AUTHORIZED, WHY),
        PubRec(3, Reason.NOT_AUTHORIZED, WHY),
        PubRec(5),
    ]
    amy.write(PubRel(3), PubRel(5))
    assert [await amy.receive() for _ in range(2)] == [PubComp(3, Reason.PACKET_ID_NOT_FOUND), PubComp(5)]
    assert intake.payloads == [b"1", b"5"]
    heard = [await reader.receive(), await reader.receive()]
    assert [one.payload for one in heard if isinstance(one, Publish)] == [b"1", b"5"]
    assert listener.tally.refused == {"not_authorized": 3}


async def test_3_1_1_has_no_word_for_it_and_gets_the_acknowledgement(
    listener: MqttListener, intake: SettlingIntake
) -> None:
    """[3.1.1: MQTT-3.3.5-2], as mosquitto does; a client without the right would send it for ever."""
    amy = await enter(listener, "amy", version=4)

    amy.write(Publish("own/bob/x", b"2", 1, packet_id=2), Publish("own/bob/x", b"3", 2, packet_id=3))

    assert [await amy.receive(), await amy.receive()] == [PubAck(2), PubRec(3)]
    amy.write(PubRel(3))
    assert await amy.receive() == PubComp(3)
    assert intake.payloads == []
    assert listener.tally.refused == {"not_authorized": 2}


async def test_a_topic_alias_is_no_way_round(listener: MqttListener, intake: SettlingIntake) -> None:
    amy = await enter(listener, "amy")
    alias = Properties(topic_alias=1)

    amy.write(Publish("own/bob/x", b"1", 1, packet_id=1, properties=alias))
    amy.write(Publish("", b"2", 1, packet_id=2, properties=alias))

    assert [await amy.receive(), await amy.receive()] == [PubAck(one, Reason.NOT_AUTHORIZED, WHY) for one in (1, 2)]
    assert intake.payloads == []


@pytest.mark.parametrize("client_id", ["+", "#", "a/b", "$SYS"])
async def test_a_client_id_that_is_a_wildcard_matches_no_pattern(
    listener: MqttListener, intake: SettlingIntake, client_id: str
) -> None:
    """CVE-2017-7650, FAULTS 68."""
    amy = await enter(listener, "amy", client_id=client_id)

    amy.publish(1, topic="by-id/other")

    assert await amy.receive() == PubAck(1, Reason.NOT_AUTHORIZED, WHY)
    assert intake.payloads == []


@pytest.mark.parametrize(("version", "denied"), [(4, 0x80), (5, Reason.NOT_AUTHORIZED)])
async def test_a_subscription_must_be_permitted_as_a_whole(listener: MqttListener, version: int, denied: int) -> None:
    amy = await enter(listener, "amy", version=version)

    codes = await subscribed(amy, "own/amy/#", "own/+/x", "#", "own/bob/x")

    assert codes == (1, denied, denied, denied)
    assert listener.gate.denied == {"subscribe": 3}


async def test_what_a_denying_rule_takes_out_of_a_subscription_is_not_delivered(listener: MqttListener) -> None:
    """Live, although `#` was granted."""
    reader = await enter(listener, "reader")
    await subscribed(reader, "#")

    listener._broker.publish("secret/x", b"no", qos=1, now_s=0)
    listener._broker.publish("public/x", b"yes", qos=1, now_s=0)

    heard = await reader.receive()
    assert isinstance(heard, Publish)
    assert heard.payload == b"yes"
    assert listener._broker.drops == {"not_authorized": 1}


async def hears_what_is_retained(listener: MqttListener) -> list[str]:
    """Topics that a subscription to everything brings at once."""
    broker = listener._broker
    broker.publish("secret/x", b"no", retain=True, now_s=0)
    broker.publish("zz/last", b"yes", retain=True, now_s=0)
    reader = await enter(listener, "reader")
    await subscribed(reader, "#")
    topics = []
    async with asyncio.timeout(20):
        while "zz/last" not in topics or (len(topics) < 2 and "not_authorized" not in broker.drops):
            heard = await reader.receive()
            assert isinstance(heard, Publish)
            topics.append(heard.topic)
    return topics


async def test_the_rights_are_asked_again_for_retained_messages(listener: MqttListener) -> None:
    """CVE-2018-12546: what was retained reached those who were not to read it."""
    assert await hears_what_is_retained(listener) == ["zz/last"]


async def test_a_broker_that_does_not_ask_for_retained_messages_would_be_noticed(
    listener: MqttListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant."""
    send_retained = LocalBroker.send_retained

    def without_asking(broker: LocalBroker, state: object, *args: object, **more: object) -> int:
        rights, state.rights = state.rights, None  # type: ignore[attr-defined]
        try:
            return send_retained(broker, state, *args, **more)  # type: ignore[arg-type]
        finally:
            state.rights = rights  # type: ignore[attr-defined]

    monkeypatch.setattr(LocalBroker, "send_retained", without_asking)

    assert "secret/x" in await hears_what_is_retained(listener)


async def test_a_right_that_is_taken_away_is_gone_at_once(
    listener: MqttListener, acl: Path, intake: SettlingIntake
) -> None:
    """Of those who are in: publishing, receiving, and what waits for those who are away."""
    amy = await enter(listener, "amy")
    away = await enter(listener, "bob", version=4, clean=False)
    await subscribed(amy, "own/amy/#")
    await subscribed(away, "own/bob/#")
    amy.publish(1, b"before", topic="own/amy/x")
    assert {type(await amy.receive()), type(await amy.receive())} == {PubAck, Publish}
    await away.close()
    await eventually("it is away", lambda: not listener._broker.sessions.is_connected("bob"))
    listener._broker.publish("own/bob/x", b"queued", qos=1, now_s=0)

    await exchanged(listener, acl, "users: {}\n")

    amy.publish(2, b"after", topic="own/amy/x")
    assert await amy.receive() == PubAck(2, Reason.NOT_AUTHORIZED, WHY)
    listener._broker.publish("own/amy/x", b"to amy", qos=1, now_s=0)
    back = await enter(listener, "bob", version=4, clean=False)
    assert back.packets == []
    back.publish(1, topic="own/bob/x")
    assert await back.receive() == PubAck(1), "the first thing it hears is not what was queued"
    assert intake.payloads == [b"before"]
    assert listener._broker.drops["not_authorized"] == 2


async def test_a_broken_acl_lets_nobody_new_in_and_leaves_the_others_their_rights(
    listener: MqttListener, acl: Path
) -> None:
    """A typo must neither open the door (CVE-2018-12550) nor throw away what devices say: 3.1.1 would not notice."""
    amy = await enter(listener, "amy")
    await exchanged(listener, acl, "all_users: [{allow: all, topic: '#'}")

    assert (await knock(listener.port, "bob", "b", client_id="bob"))[0] == Reason.SERVER_UNAVAILABLE
    amy.write(Publish("own/amy/x", b"1", 1, packet_id=1), Publish("own/bob/x", b"2", 1, packet_id=2))
    assert [await amy.receive(), await amy.receive()] == [PubAck(1), PubAck(2, Reason.NOT_AUTHORIZED, WHY)]

    await exchanged(listener, acl, ACL)
    assert (await knock(listener.port, "bob", "b", client_id="bob"))[0] == 0


@pytest.mark.parametrize(("version", "code"), [(4, 5), (5, Reason.NOT_AUTHORIZED)])
async def test_a_will_that_is_not_permitted_is_refused_with_its_client(
    listener: MqttListener, version: int, code: int
) -> None:
    """A device learns it when it connects, and not by its silence when it is gone."""
    will = Will("own/bob/gone", b"x", 1, False)

    assert (await knock(listener.port, "amy", "a", client_id="amy", version=version, will=will))[0] == code
    await eventually("it is counted", lambda: listener.ended == {"will_denied": 1})


async def test_a_will_is_asked_about_again_when_it_is_spoken(
    listener: MqttListener, acl: Path, intake: SettlingIntake
) -> None:
    """Rights may have changed since."""
    amy = await enter(listener, "amy", will=Will("own/amy/gone", b"last words", 1, False))
    await exchanged(listener, acl, "users: {}\n")

    await amy.close()

    await eventually("it is counted", lambda: listener.tally.refused == {"not_authorized": 1})
    assert intake.payloads == []


async def test_a_topic_that_was_judged_costs_the_hot_path_nothing(
    listener: MqttListener, intake: SettlingIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules are asked once per connection and topic."""
    asked: list[str] = []
    may_publish = ClientRights.may_publish

    def counting(rights: ClientRights, topic: str) -> bool:
        asked.append(topic)
        return may_publish(rights, topic)

    monkeypatch.setattr(ClientRights, "may_publish", counting)
    amy = await enter(listener, "amy")

    for packet_id in range(1, 51):
        amy.publish(packet_id, topic="own/amy/x")
        assert await amy.receive() == PubAck(packet_id)

    assert asked == ["own/amy/x"]
    assert len(intake.payloads) == 50
