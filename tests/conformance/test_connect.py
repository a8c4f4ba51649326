"""CONNECT [MQTT5 3.1; 3.1.1 3.1]: who is let in, and what a CONNECT must be."""

from __future__ import annotations

import string

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

clause = pytest.mark.clause
NO_WILL_QOS = clause("MQTT5-3.1.2-11", "MQTT311-3.1.2-11", "MQTT311-3.1.2-13")
NO_WILL_RETAIN = clause("MQTT5-3.1.2-13", "MQTT311-3.1.2-11", "MQTT311-3.1.2-15")
NO_USER = clause("MQTT5-3.1.2-16", "MQTT311-3.1.2-18")
NO_PASSWORD = clause("MQTT5-3.1.2-18", "MQTT311-3.1.2-20")


@clause("MQTT5-3.1.0-1", "MQTT311-3.1.0-1", "MQTT5-3.2.0-1", "MQTT5-3.14.0-1")
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(mb.PINGREQ, id="PINGREQ"),
        pytest.param(mb.publish("t"), id="PUBLISH"),
        pytest.param(mb.publish("t", level=4, qos=1, packet_id=1), id="PUBLISH of 3.1.1"),
        pytest.param(mb.subscribe("f"), id="SUBSCRIBE"),
        pytest.param(mb.disconnect(), id="DISCONNECT"),
        pytest.param(mb.ack(mb.PUBACK, 1), id="PUBACK"),
        pytest.param(mb.auth(0x18, (mb.AUTH_METHOD, "m")), id="AUTH"),
        pytest.param(b"\0\0", id="zeros"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
    ],
)
def test_what_does_not_begin_with_connect_is_closed_without_a_word(server: Server, first: bytes) -> None:
    """Nobody who has not said who it is gets an answer, a DISCONNECT included."""
    peer = server.open()

    peer.send(first)

    assert peer.end() == []


@clause("MQTT5-3.1.0-2", "MQTT311-3.1.0-2", "MQTT5-3.2.0-2")
def test_a_second_connect_ends_the_connection(server: Server, level: int) -> None:
    """One connection is one client; there is no second CONNACK."""
    peer = server.connect(level=level)

    peer.send(mb.connect(peer.client_id, level=level))

    peer.rejected(0x82)


@clause("MQTT5-3.1.2-1", "MQTT311-3.1.2-1")
@pytest.mark.parametrize("name", [b"", b"MQTt", b"mqtt", b"MQTT\0", b"MQ", b"HTTP", b"MQIsdp", b"MQTTX"], ids=repr)
def test_another_protocol_name_is_refused(server: Server, level: int, name: bytes) -> None:
    """What is not MQTT is not read as MQTT."""
    peer = server.open(level)

    peer.send(mb.connect("c", level=level, name=name))

    peer.refused(0x84, 0x81, 0x01)


@clause("MQTT311-3.1.2-2", "MQTT5-3.1.2-2")
@pytest.mark.mosquitto_differs("takes the high bit for a bridge of its own kind", level_byte=(132, 133))
@pytest.mark.parametrize("level_byte", [0, 1, 2, 3, 6, 7, 127, 128, 131, 132, 133, 255])
def test_an_unknown_protocol_level_is_refused_in_words_that_its_client_knows(server: Server, level_byte: int) -> None:
    """A later version tries an earlier one when it is told 0x84 (or 0x01); a silent close tells it nothing."""
    peer = server.open(4)

    peer.send(mb.connect("c", level=level_byte))

    assert [got.reason for got in peer.end()] in ([0x01], [0x84])


@clause("MQTT5-3.1.2-3", "MQTT311-3.1.2-3", "MQTT5-3.1.4-1", "MQTT311-3.1.4-1")
@pytest.mark.parametrize(
    ("flags", "payload"),
    [
        pytest.param(0x03, {}, id="reserved"),
        pytest.param(0x0A, {}, id="will QoS 1 without will", marks=NO_WILL_QOS),
        pytest.param(0x12, {}, id="will QoS 2 without will", marks=NO_WILL_QOS),
        pytest.param(0x22, {}, id="will retain without will", marks=NO_WILL_RETAIN),
        pytest.param(0x1E, {"will": ("w", b"")}, id="will QoS 3", marks=clause("MQTT5-3.1.2-12", "MQTT311-3.1.2-14")),
        pytest.param(0x06, {}, id="will announced and not there", marks=clause("MQTT5-3.1.2-9", "MQTT311-3.1.2-9")),
        pytest.param(0x02, {"will": ("w", b"")}, id="will not announced", marks=clause("MQTT311-3.1.2-11")),
        pytest.param(0x82, {}, id="user name not there", marks=clause("MQTT5-3.1.2-17", "MQTT311-3.1.2-19")),
        pytest.param(0x02, {"user": "u"}, id="user name not announced", marks=NO_USER),
        pytest.param(0xC2, {"user": "u"}, id="password not there", marks=clause("MQTT5-3.1.2-19", "MQTT311-3.1.2-21")),
        pytest.param(0x82, {"user": "u", "password": b"p"}, id="password not announced", marks=NO_PASSWORD),
    ],
)  # fmt: skip
def test_flags_that_do_not_fit_the_payload_are_refused(server: Server, level: int, flags: int, payload: dict) -> None:
    """In 3.1.1 without a CONNACK, in MQTT 5 with 0x81 or 0x82 if with one."""
    peer = server.open(level)

    peer.send(mb.connect("c", level=level, flags=flags, **payload))

    if level == 5:
        peer.refused(0x81, 0x82, 0x9B)
    else:
        assert peer.end() == []


@clause("MQTT311-3.1.2-22")
def test_a_password_without_a_user_name_is_refused_in_3_1_1(server: Server) -> None:
    """And legal in MQTT 5 [MQTT5 3.1.2.9]."""
    peer = server.open(4)

    peer.send(mb.connect("c", level=4, password=b"p"))

    assert peer.end() == []


def test_a_password_without_a_user_name_is_legal_in_mqtt_5(server: Server) -> None:
    """[MQTT5 3.1.2.9]: so that a token needs no user name."""
    peer = server.connect(password=b"token")

    assert peer.connack.reason == 0


@clause(
    "MQTT5-3.1.3-1 MQTT5-3.1.3-3 MQTT5-3.1.2-9 MQTT5-3.1.2-17 MQTT5-3.1.2-19",
    "MQTT311-3.1.3-1 MQTT311-3.1.3-3 MQTT311-3.1.2-9 MQTT311-3.1.2-19 MQTT311-3.1.2-21",
)
def test_client_id_will_user_and_password_are_read_in_their_order(server: Server, level: int) -> None:
    """All at once, and the will that comes out is the one that went in."""
    topic = fresh("w")
    watcher = server.connect(level=level)
    watcher.subscribe(topic)

    peer = server.connect(level=level, will=(topic, b"gone"), will_qos=1, user="user", password=b"\0\xff")
    peer.vanish()

    assert watcher.expect(mb.PUBLISH).payload == b"gone"


def _cut_cases() -> list:
    cases = []
    for level in (4, 5):
        whole = mb.connect("c", level=level, will=("w", b"p"), user="u", password=b"q")
        cases += [
            pytest.param(mb.packet(0x10, whole[2 : 2 + size]), level, id=f"{size}, {level}")
            for size in range(len(whole) - 2)
        ]
    return cases


@clause("MQTT5-3.1.4-1", "MQTT311-3.1.4-1")
@pytest.mark.parametrize(("sent", "level"), _cut_cases())
def test_a_connect_that_ends_too_early_is_refused(server: Server, sent: bytes, level: int) -> None:
    """Cut after every byte."""
    peer = server.open(level)

    peer.send(sent)

    peer.refused(0x81, 0x82, 0x84)


@clause("MQTT5-3.1.4-1", "MQTT311-3.1.4-1")
def test_a_connect_with_bytes_behind_its_end_is_refused(server: Server, level: int) -> None:
    """A CONNECT is what its section says and nothing more."""
    peer = server.open(level)

    peer.send(mb.packet(0x10, mb.connect("c", level=level)[2:], b"x"))

    peer.refused(0x81, 0x82)


ALLOWED = string.digits + string.ascii_letters


@clause("MQTT5-3.1.3-5", "MQTT311-3.1.3-5")
@pytest.mark.parametrize(
    "client_id", [ALLOWED[at : at + 23] for at in range(0, 62, 23)] + ["a", "Z", "0", ALLOWED[-23:]]
)
def test_every_client_id_that_a_server_must_take_is_taken(server: Server, level: int, client_id: str) -> None:
    """1 to 23 digits and letters."""
    assert server.connect(client_id, level=level).connack.reason == 0


@pytest.mark.parametrize("client_id", ["c" * 24, "c" * 128, "ä/ö#+$", "with space"])
def test_client_ids_beyond_that_are_taken_too(server: Server, level: int, client_id: str) -> None:
    """[MQTT5 3.1.3.1] leaves it to the server; devices send what they like."""
    assert server.connect(client_id, level=level).connack.reason == 0


@clause("MQTT5-3.1.3-8", "MQTT311-3.1.3-9", "MQTT311-3.2.2-5")
def test_a_client_id_that_we_do_not_take_is_refused_with_its_own_code(fieldgate: Server, level: int) -> None:
    """Ours has a limit, mosquitto has none."""
    peer = fieldgate.open(level)

    peer.send(mb.connect("c" * 20_000, level=level))

    (got,) = peer.end()
    assert (got.reason, got.session_present) == (0x85 if level == 5 else 0x02, False)


@clause("MQTT311-3.1.3-6", "MQTT5-3.1.3-6", "MQTT5-3.1.3-7", "MQTT5-3.2.2-16")
def test_a_client_without_an_id_gets_one_of_its_own(server: Server, level: int) -> None:
    """Two of them are two clients."""
    topic = fresh("t")
    first, second = server.connect("", level=level), server.connect("", level=level)
    first.subscribe(topic)

    second.publish(topic, b"p")

    assert [got.payload for got in first.messages()] == [b"p"]
    if level == 5:
        ids = [peer.connack.prop(mb.ASSIGNED_ID) for peer in (first, second)]
        assert all(ids)
        assert ids[0] != ids[1]


@clause("MQTT5-3.1.3-7", "MQTT5-3.1.3-2")
def test_an_assigned_client_id_can_be_used_to_come_back(server: Server) -> None:
    """It is as if the client had provided it."""
    peer = server.connect("", properties=((mb.SESSION_EXPIRY, 60),))
    assigned = peer.connack.prop(mb.ASSIGNED_ID)
    peer.send(mb.disconnect())
    peer.end()

    again = server.connect(assigned, clean=False)

    assert again.connack.session_present
    assert again.connack.prop(mb.ASSIGNED_ID) is None


@clause("MQTT311-3.1.3-7", "MQTT311-3.1.3-8", "MQTT311-3.2.2-4", "MQTT311-3.2.2-5")
def test_a_3_1_1_client_without_an_id_must_be_clean(server: Server) -> None:
    """A session that nobody can come back to is not kept."""
    peer = server.open(4)

    peer.send(mb.connect("", level=4, clean=False))

    assert [got.wire for got in peer.end()] == [b"\x20\x02\x00\x02"]


@clause("MQTT5-3.1.4-6", "MQTT311-3.1.4-5")
def test_nothing_behind_a_refused_connect_is_processed(server: Server, level: int) -> None:
    """CONNECT and PUBLISH in one write: who is not let in says nothing."""
    topic = fresh("t")
    watcher = server.connect(level=level)
    watcher.subscribe(topic)
    refused = (
        mb.connect("", level=4, clean=False)
        if level == 4
        else mb.connect("c", properties=((mb.AUTH_METHOD, "none such"),))
    )
    peer = server.open(level)

    peer.send(refused, mb.publish(topic, b"p", level=level))

    assert [got.kind for got in peer.end()] == [mb.CONNACK]
    assert watcher.messages() == []


@clause("MQTT5-3.1.4-5", "MQTT311-3.1.4-4", "MQTT5-3.2.0-1", "MQTT311-3.2.0-1")
def test_packets_right_behind_connect_are_answered_after_the_connack(server: Server, level: int) -> None:
    """[MQTT5 3.1.4] lets a client go on without waiting."""
    topic = fresh("t")
    peer = server.open(level)

    peer.send(
        mb.connect(fresh("c"), level=level),
        mb.subscribe(topic, level=level),
        mb.publish(topic, b"p", level=level),
        mb.PINGREQ,
    )

    kinds = [peer.next().kind for _ in range(4)]
    assert kinds[0] == mb.CONNACK
    assert sorted(kinds[1:]) == [mb.PUBLISH, mb.SUBACK, mb.PINGRESP]


@clause(
    "MQTT5-3.1.4-2 MQTT5-4.12.0-1 MQTT5-4.12.0-4 MQTT5-3.2.2-7 MQTT5-4.13.2-1",
)
def test_an_authentication_method_that_is_not_known_is_refused(server: Server) -> None:
    """0x8C, and the connection ends."""
    peer = server.open()

    peer.send(mb.connect("c", properties=((mb.AUTH_METHOD, "none such"), (mb.AUTH_DATA, b"d"))))

    assert [got.reason for got in peer.end()] in ([0x8C], [0x87])


@clause("MQTT5-4.12.0-6")
def test_who_asks_for_no_authentication_gets_none(server: Server) -> None:
    """No AUTH comes, and no method in the CONNACK."""
    peer = server.connect()

    assert peer.connack.prop(mb.AUTH_METHOD) is None
    assert peer.drain() == []


@clause("MQTT5-3.1.4-3", "MQTT311-3.1.4-2")
def test_a_second_connection_of_a_client_ends_the_first(server: Server, level: int) -> None:
    """MQTT 5: 0x8E, so that a client that is fought over can tell."""
    first = server.connect(level=level)

    second = server.connect(first.client_id, level=level)

    first.rejected(0x8E)
    assert second.drain() == []


@clause("MQTT5-3.1.4-3", "MQTT5-3.1.3-2", "MQTT311-3.1.3-2")
def test_client_ids_that_differ_are_two_clients(server: Server, level: int) -> None:
    """Letters count, as does every byte."""
    name = fresh("Client")
    peers = [server.connect(one, level=level) for one in (name, name.lower(), name + " ", " " + name, name + "\ufeff")]

    assert [peer.drain() for peer in peers] == [[]] * 5
