"""Who may come in and do what, in the protocol: verdicts that take time, refusals in words, and rights at each step."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.packets import (
    ConnAck,
    Connect,
    PingReq,
    PingResp,
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
from fieldgate.mqtt.server_session import Phase
from fieldgate.mqtt.session_roles import Accepted, Refused
from listener_kit import SettlingIntake
from memory_kit import Gateway
from session_kit import Client, Server, may, rules

KEPT = Properties(session_expiry_s=600)
GROUP = "$share/g/#"


@pytest.fixture
def server() -> Server:
    return Server(SettlingIntake())


def enter(server: Server, client_id: str, *filters: str, user: str = "amy", version: int = 5) -> Client:
    server.verdict = Accepted(user, may(*filters))
    return server.connect(client_id, version=version, clean=False, properties=KEPT if version == 5 else None)


def payloads(client: Client) -> list[bytes]:
    got = client.early + client.received()
    client.early = []
    return [one.payload for one in got if isinstance(one, Publish)]


def test_what_comes_behind_a_connect_waits_for_the_verdict(server: Server) -> None:
    """[MQTT-3.1.4-6]; what was in the same read, and what was on its way when reading was paused, in order."""
    server.verdict = None
    client = server.open(5)
    behind = Subscribe(1, (Subscription("t", 0),))
    assert client.send(Connect("c", 5, True, 0, properties=Properties()), behind, Publish("t", b"1")) == []
    assert not client.is_reading
    assert client.send(Publish("t", b"2"), PingReq()) == []
    assert server.tally.publishes == 0

    server.answers[0](Accepted("amy"), server.now_s)

    connack, suback, *rest = client.received()
    assert isinstance(connack, ConnAck)
    assert connack.properties is not None
    assert connack.properties.server_keep_alive_s == SessionLimits().max_keep_alive_s
    assert isinstance(suback, SubAck)
    assert [one.payload for one in rest if isinstance(one, Publish)] == [b"1", b"2"]
    assert isinstance(rest[-1], PingResp)
    assert client.is_reading


@pytest.mark.parametrize(("version", "code"), [(4, 4), (5, Reason.BAD_USER_NAME_OR_PASSWORD)])
def test_a_late_refusal_is_told_and_nothing_behind_the_connect_counts(server: Server, version: int, code: int) -> None:
    """MQTT 5 with the reason in words, as for any other refusal."""
    server.verdict = None
    client = server.open(version)
    client.send(Connect("c", version, True), Publish("t", b"1"))

    server.answers[0](Refused(Reason.BAD_USER_NAME_OR_PASSWORD, "bad_login", "wrong password"), server.now_s)

    (answer,) = client.received()
    told = Properties(reason_string="wrong password") if version == 5 else None
    assert answer == ConnAck(code if version == 5 else answer.reason, False, told)  # type: ignore[union-attr]
    assert client.session.end_code == "bad_login"
    assert client.closed == "politely"
    assert server.tally.publishes == 0


def test_a_3_1_1_client_gets_the_return_code_of_its_version(server: Server) -> None:
    """On the wire: a client of ours translates it back."""
    server.verdict = Refused(Reason.QUOTA_EXCEEDED, "max_clients", "too many")
    client = server.open(4)
    client.session.receive(encode(Connect("c", 4, True), 4), server.now_s)

    assert client.written == b"\x20\x02\x00\x03"


def test_a_verdict_after_the_end_lets_nobody_in(server: Server) -> None:
    """The client has gone, or has taken too long."""
    server.verdict = None
    client = server.open(5)
    client.send(Connect("c", 5, True))
    server.now_s += server.limits.connect_timeout_s
    client.session.tick(server.now_s)
    assert client.session.end_reason == "not judged in time"

    server.answers[0](Accepted("amy"), server.now_s)

    assert client.session.phase is Phase.CLOSED
    assert server.broker.sessions.find("c") is None


def test_a_connack_that_is_too_large_for_the_client_lets_it_not_in_later_either(server: Server) -> None:
    """[MQTT-3.1.2-24]: no session is made for a client that cannot be told so."""
    server.verdict = None
    client = server.open(5)
    client.send(Connect("c", 5, True, properties=Properties(maximum_packet_size=10)))

    server.answers[0](Accepted("amy"), server.now_s)

    assert client.session.phase is Phase.CLOSED
    assert server.broker.sessions.find("c") is None


@pytest.mark.parametrize("qos", [1, 2])
def test_a_publish_that_is_not_permitted_is_answered_in_words(server: Server, qos: int) -> None:
    """And its id is free: what comes next under it is a new message [MQTT-4.3.3-9]."""
    client = enter(server, "c", "own/#")

    (answer,) = client.publish(7, topic="other", qos=qos)
    again = client.publish(7, topic="own/t", qos=qos)

    kind = PubAck if qos == 1 else PubRec
    assert answer == kind(7, Reason.NOT_AUTHORIZED, Properties(reason_string="the user may not publish to this topic"))
    assert again == [kind(7)]
    assert server.tally.refused == {"not_authorized": 1}
    assert server.tally.events == 1


def test_the_words_are_left_out_where_the_client_has_no_room_for_them(server: Server) -> None:
    """[MQTT-3.4.2-2]."""
    server.verdict = Accepted("amy", may("own/#"))
    client = server.connect("c", version=5, properties=Properties(maximum_packet_size=40))

    assert client.publish(7, topic="other") == [PubAck(7, Reason.NOT_AUTHORIZED)]


def test_a_message_that_was_taken_is_not_refused_when_it_is_sent_again(server: Server) -> None:
    """The rights have changed between PUBREC and PUBREL: a 0x87 would free an id that we still hold."""
    rights = may("own/#")
    server.verdict = Accepted("amy", rights)
    client = server.connect("c", version=5)
    assert client.publish(7, topic="own/t", qos=2) == [PubRec(7)]
    rights.exchange(rules("nothing"))
    assert client.inbox is not None
    client.inbox.rights_changed()

    assert client.publish(7, topic="own/t", qos=2, dup=True) == [PubRec(7)]
    assert client.send(PubRel(7)) == [PubComp(7)]
    (refused,) = client.publish(8, topic="own/t", qos=2)
    assert isinstance(refused, PubRec)
    assert refused.reason == Reason.NOT_AUTHORIZED


def test_a_shared_subscription_is_permitted_by_its_plain_filter(server: Server) -> None:
    """`$share/…` is no way around the ACL."""
    client = enter(server, "c", "own/#")

    (answer,) = client.subscribe(Subscription("$share/g/own/t", 1), Subscription("$share/g/other", 1))

    assert answer == SubAck(
        1, (1, Reason.NOT_AUTHORIZED), Properties(reason_string="filter 2: the user may not subscribe to all of it")
    )


def test_a_member_without_the_right_is_never_chosen(server: Server) -> None:
    """A message that it was chosen for would be lost to those who may have it."""
    narrow, wide = enter(server, "narrow", "#"), enter(server, "wide", "#")
    narrow.subscribe(Subscription(GROUP, 1))
    wide.subscribe(Subscription(GROUP, 1))
    narrow.vanish()
    narrow = enter(server, "narrow", "own/#")

    for number in range(4):
        server.broker.publish("secret", b"%d" % number, qos=1, now_s=server.now_s)

    assert payloads(narrow) == []
    assert payloads(wide) == [b"0", b"1", b"2", b"3"]
    wide.vanish()
    enter(server, "wide", "own/#")
    server.broker.publish("secret", b"lost", qos=1, now_s=server.now_s)
    assert server.broker.drops == {"not_authorized": 5}, "with the four that had no PUBACK"


def test_what_a_member_may_not_have_any_more_goes_to_another(server: Server) -> None:
    """It waited for its return; nobody else got it."""
    first = enter(server, "first", "#")
    first.subscribe(Subscription(GROUP, 1))
    first.vanish()
    server.broker.publish("secret", b"1", qos=1, now_s=server.now_s)
    server.broker.publish("own/t", b"2", qos=1, now_s=server.now_s)
    other = enter(server, "other", "#")
    other.subscribe(Subscription(GROUP, 1))

    first = enter(server, "first", "own/#")
    server.broker.flush()

    assert payloads(first) == [b"2"]
    assert payloads(other) == [b"1"]


def test_a_session_of_nobody_begins_anew_for_a_user(server: Server) -> None:
    """What was queued for whoever it was is not the user's."""
    anybody = server.connect("c", version=5, clean=False, properties=KEPT)
    anybody.subscribe(Subscription("t", 1))
    anybody.vanish()
    server.broker.publish("t", b"1", qos=1, now_s=server.now_s)

    client = enter(server, "c", "#")

    assert not client.connack.session_present
    assert payloads(client) == []


def test_a_late_will_is_checked_when_it_is_spoken(server: Server) -> None:
    """Rights may be taken away while it waits for its delay."""
    rights = may("own/#")
    server.verdict = Accepted("amy", rights)
    will = Will("own/t", b"gone", 1, properties=Properties(will_delay_s=10))
    client = server.connect("c", version=5, properties=KEPT, will=will)
    client.vanish()
    rights.exchange(rules("nothing"))

    server.now_s += 11
    server.broker.tick(server.now_s)

    assert server.tally.events == 0
    assert server.tally.refused == {"not_authorized": 1}


def test_what_queued_while_rights_were_not_known_is_checked_before_it_is_sent() -> None:
    """After a restart nobody knows what a client that is away may receive; when it is back, everybody does."""
    gateway = Gateway()
    gateway.server.verdict = Accepted("amy", may("#"))
    client = gateway.connect()
    client.subscribe(Subscription("#", 2))
    gateway.publish(1, topic="secret/sent")
    gateway.publish(2, topic="t")
    gateway.publish(3, topic="secret/sent", qos=2)
    gateway.look()
    gateway.look()
    client.vanish()
    gateway.publish(4, topic="secret/queued")
    gateway.stop()

    gateway.start()
    gateway.publish(5, topic="secret/since")
    gateway.publish(6, topic="t", qos=2)
    gateway.server.verdict = Accepted("amy", may("t"))
    client = gateway.connect()
    gateway.publish(7, topic="secret/live")
    gateway.stop()

    assert client.connack.session_present
    assert payloads(client) == [b"2", b"6"]
    assert gateway.server.broker.drops["not_authorized"] == 5
    assert {one.topic for one in gateway.disk.state.messages.values()} == {"t"}


def test_who_may_receive_all_of_it_gets_all_that_queued_over_a_restart() -> None:
    """The control: the check takes nothing away by itself."""
    gateway = Gateway()
    gateway.server.verdict = Accepted("amy", may("#"))
    gateway.connect().subscribe(Subscription("#", 1))
    gateway.look()
    gateway.start()
    gateway.publish(1, 2, topic="secret/since")

    gateway.server.verdict = Accepted("amy", may("#"))

    assert payloads(gateway.connect()) == [b"1", b"2"]
