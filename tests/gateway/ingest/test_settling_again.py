"""What a client sends again: on the same connection, after a reconnect, and at QoS 2."""

from __future__ import annotations

import pytest

from fieldgate.ingest.inbox_terms import InboxLimits
from fieldgate.mqtt.packets import Connect, Properties, PubAck, PubComp, Publish, PubRec, PubRel
from fieldgate.mqtt.session_roles import Accepted
from listener_kit import SettlingIntake
from session_kit import Client, Server, ack_ids, may

KEPT = Properties(session_expiry_s=600)


def kept(server: Server, client_id: str = "c", *, version: int = 4) -> Client:
    """A client whose session outlives its connection."""
    return server.connect(client_id, version=version, clean=False, properties=KEPT if version == 5 else None)


def test_a_packet_id_reused_at_once_is_a_new_event() -> None:
    """[MQTT-4.3.2-5]: after the PUBACK the id is free, whatever the DUP flag says."""
    server = Server()
    client = server.connect()
    client.publish(1, payload=b"same")
    server.intake.settle(0)
    client.received()

    client.publish(1, payload=b"same")
    client.publish(1, payload=b"same", dup=True)  # joins the second, which still waits
    server.intake.settle(1)
    assert ack_ids(client.received()) == [1]
    client.publish(1, payload=b"same", dup=True)

    assert server.intake.payloads == [b"same"] * 3


def test_a_duplicate_of_a_waiting_message_joins_it_and_is_acknowledged_once() -> None:
    """A 3.1.1 client may send again on the same connection; a second PUBACK could acknowledge the id's next use."""
    server = Server()
    client = server.connect()
    client.publish(1, 2)

    client.publish(1, 2, dup=True)
    client.publish(2, dup=True)
    server.intake.settle(0)

    assert ack_ids(client.received()) == [1, 2]
    assert server.intake.payloads == [b"1", b"2"]
    assert server.tally.joined == 3


def test_a_duplicate_in_the_same_read_joins_too() -> None:
    """Nagle may put both copies into one segment."""
    server = Server()
    client = server.connect()

    client.send(
        Publish("t", b"a", 1, packet_id=1),
        Publish("t", b"a", 1, dup=True, packet_id=1),
        Publish("t", b"b", 1, packet_id=2),
        Publish("t", b"b", 1, dup=True, packet_id=2),
    )

    assert server.intake.payloads == [b"a", b"b"]


@pytest.mark.parametrize("dup", [True, False])
def test_other_content_under_a_waiting_id_is_never_swallowed(dup: bool) -> None:
    """A client that reuses an id too early breaks the rules; its message must be safe all the same."""
    server = Server()
    client = server.connect()
    client.publish(1, payload=b"old")

    client.publish(1, payload=b"new", dup=dup)
    server.intake.settle(0)
    assert ack_ids(client.received()) == [1]
    server.intake.settle(1)

    assert ack_ids(client.received()) == [1]
    assert server.intake.payloads == [b"old", b"new"]


@pytest.mark.parametrize("version", [4, 5])
def test_after_reconnect_with_a_session_a_resent_message_joins_its_event(version: int) -> None:
    """No second event, and the PUBACK goes to the connection that is there."""
    server = Server()
    first = kept(server, version=version)
    first.publish(1, 2, 3)
    first.vanish()

    second = kept(server, version=version)
    assert second.connack.session_present
    assert second.publish(1, 2, dup=True) == []
    second.publish(4)
    server.intake.settle(0)

    assert ack_ids(second.received()) == [1, 2]
    server.intake.settle(1)
    assert ack_ids(second.received()) == [4]
    assert server.intake.payloads == [b"1", b"2", b"3", b"4"]


def test_a_resent_message_whose_event_was_settled_while_its_client_was_away_is_acknowledged_at_once() -> None:
    """It was never acknowledged, so it is the same message; and it is safe already."""
    server = Server()
    first = kept(server)
    first.publish(1)
    first.vanish()
    server.intake.settle(0)

    second = kept(server)

    assert ack_ids(second.publish(1, dup=True)) == [1]
    assert server.intake.payloads == [b"1"]


def test_a_resent_message_joins_over_two_reconnects() -> None:
    """A bad link breaks more than once."""
    server = Server()
    client = kept(server)
    client.publish(1, 2)
    for _ in range(2):
        client.vanish()
        client = kept(server)
        client.publish(1, dup=True)

    server.intake.settle(0)

    assert ack_ids(client.received()) == [1]
    assert ack_ids(client.publish(2, dup=True)) == [2]
    assert server.intake.payloads == [b"1", b"2"]


@pytest.mark.parametrize("version", [4, 5])
def test_after_reconnect_without_a_session_a_resent_message_is_a_new_event(version: int) -> None:
    """The client said that it starts anew."""
    server = Server()
    first = server.connect(version=version)
    first.publish(1)
    first.vanish()

    second = server.connect(version=version)
    second.publish(1, dup=True)
    server.intake.settle(0)
    assert second.received() == []
    server.intake.settle(1)

    assert ack_ids(second.received()) == [1]
    assert server.intake.payloads == [b"1", b"1"]


def test_a_token_of_an_older_connection_never_writes_to_a_newer_one() -> None:
    """Packet ids repeat from connection to connection; settling the old one must not acknowledge the new one."""
    server = Server()
    first = kept(server)
    first.publish(1, payload=b"old")
    first.vanish()
    second = kept(server)
    second.publish(1, payload=b"new")

    server.intake.settle(0)
    assert second.received() == []
    server.intake.settle(1)

    assert ack_ids(second.received()) == [1]
    assert first.received() == []


def test_an_id_used_for_something_new_after_reconnect_is_not_joined_later() -> None:
    """The old claim on the id is void once the client has given the id to another message."""
    server = Server()
    first = kept(server)
    first.publish(1, payload=b"old")
    first.vanish()
    second = kept(server)
    second.publish(1, payload=b"new")
    server.intake.settle(0)
    server.intake.settle(1)
    second.received()

    assert second.publish(1, payload=b"old", dup=True) == []
    assert server.intake.payloads == [b"old", b"new", b"old"]


def test_qos_2_is_received_once() -> None:
    """PUBREC when settled; the id is remembered until PUBREL [MQTT-4.3.3-10]."""
    server = Server()
    client = server.connect()
    assert client.publish(5, qos=2) == []
    assert client.publish(5, qos=2, dup=True) == []

    server.intake.settle(0)
    assert client.received() == [PubRec(5)]
    assert client.publish(5, qos=2, dup=True) == [PubRec(5)]
    assert client.send(PubRel(5)) == [PubComp(5)]
    assert server.intake.payloads == [b"5"]

    client.publish(5, qos=2)
    assert server.intake.payloads == [b"5", b"5"]


def test_qos_2_is_received_once_over_a_reconnect() -> None:
    """Before PUBREC it joins; after PUBREC the id is known from the session."""
    server = Server()
    client = kept(server)
    client.publish(5, qos=2)
    client.publish(6, qos=2)
    server.intake.settle(0)
    client.vanish()

    client = kept(server)
    assert client.publish(5, qos=2, dup=True) == [PubRec(5)]
    assert client.publish(6, qos=2, dup=True) == []
    server.intake.settle(1)
    assert client.received() == [PubRec(6)]
    assert client.send(PubRel(5), PubRel(6)) == [PubComp(5), PubComp(6)]

    assert server.intake.payloads == [b"5", b"6"]


@pytest.mark.parametrize(("version", "reason"), [(4, 0), (5, 0x92)])
def test_a_release_of_an_unknown_id_is_completed(version: int, reason: int) -> None:
    """A client that lost its PUBCOMP sends PUBREL again after the session is gone."""
    client = Server().connect(version=version)

    assert client.send(PubRel(9)) == [PubComp(9, reason)]


@pytest.mark.parametrize("version", [4, 5])
def test_a_release_that_does_not_wait_for_pubrec_is_completed_behind_it(version: int) -> None:
    """Scripts send PUBLISH and PUBREL in one write; the id must be free afterwards, and the event be safe before."""
    server = Server()
    client = server.connect(version=version)

    assert client.send(Publish("t", b"1", 2, packet_id=1), PubRel(1)) == []
    server.intake.settle(0)
    assert client.received() == [PubRec(1), PubComp(1)]
    client.send(Publish("t", b"2", 2, packet_id=1))
    server.intake.settle(1)

    assert client.received() == [PubRec(1)]
    assert server.intake.payloads == [b"1", b"2"]
    assert client.send(PubRel(1)) == [PubComp(1)]


def test_a_release_behind_a_repeated_publish_frees_the_id() -> None:
    """Else the next message under the id would be taken for the same one again, and be lost."""
    server = Server()
    client = server.connect()
    client.send(Publish("t", b"1", 2, packet_id=1))
    server.intake.settle(0)
    client.send(Publish("t", b"other", 1, packet_id=2), Publish("t", b"1", 2, dup=True, packet_id=1), PubRel(1))
    server.intake.settle(1)
    client.received()

    client.send(Publish("t", b"2", 2, packet_id=1))

    assert server.intake.payloads == [b"1", b"other", b"2"]


def test_a_release_right_behind_a_publish_that_is_not_permitted_frees_the_id_too() -> None:
    """Else the next message under the id, which is permitted, would be taken for the same one again, and be lost."""
    server = Server()
    server.verdict = Accepted("amy", may("t"))
    client = server.connect()
    denied = Publish("other", b"", 2, packet_id=1)

    assert client.send(Publish("t", b"1", 1, packet_id=2), denied, denied, PubRel(1)) == []
    server.intake.settle(0)
    assert client.received() == [PubAck(2), PubRec(1), PubComp(1)]

    client.send(Publish("t", b"2", 2, packet_id=1))
    assert server.intake.payloads == [b"1", b"2"]


def test_what_earlier_connections_owe_is_bounded() -> None:
    """A client that breaks off a thousand times must not leave a thousand windows of memory; the newest one counts."""
    server = Server(inbox_limits=InboxLimits(receive_maximum=10))
    for first in range(1, 100, 8):
        client = kept(server)
        client.publish(*range(first, first + 8))
        client.vanish()

    [state] = server.broker.sessions

    assert sorted(state.owed) == list(range(95, 105))
    assert kept(server).publish(*range(97, 105), dup=True) == []
    assert len(server.intake.payloads) == 104


def test_qos_2_that_is_not_an_event_is_received_once_too() -> None:
    """The handshake does not depend on where the message goes."""
    server = Server(events=("e",))
    client = server.connect()

    assert client.publish(5, qos=2) == [PubRec(5)]
    assert client.publish(5, qos=2, dup=True) == [PubRec(5)]
    assert client.send(PubRel(5)) == [PubComp(5)]


@pytest.mark.clause("MQTT311-4.8.0-2")
def test_a_client_that_never_releases_is_cut_off() -> None:
    """FAULTS 65: remembered ids are memory."""
    server = Server(SettlingIntake())
    client = server.connect()

    for at in range(1, 8000, 500):
        client.publish(*range(at, at + 500), qos=2)
        if not client.is_connected:
            break

    assert client.session.end_code == "quota_exceeded"


def test_the_content_id_recognises_what_was_sent_again() -> None:
    """It depends on client, packet id, topic and payload, and on nothing else: not on connection or process."""
    server = Server(SettlingIntake())
    client = server.connect("a")
    client.publish(1, payload=b"p")
    client.publish(1, payload=b"p", dup=True)
    client.publish(2, payload=b"p")
    client.publish(1, payload=b"q")
    client.publish(1, payload=b"p", topic="u")
    server.connect("b").publish(1, payload=b"p")
    again = Server(SettlingIntake())
    again.connect("a").publish(1, payload=b"p")

    ids = [one.content_id for one in server.intake.heard]

    assert ids[0] == ids[1] == again.intake.heard[0].content_id
    assert len(set(ids)) == 5


def test_two_different_connect_packets_do_not_share_a_generation() -> None:
    """A settler is one connection's: what it is told after the end is for nobody."""
    server = Server()
    first = server.connect()
    first.publish(1)
    second = server.open()
    second.send(Connect("c", 4))

    server.intake.settle(0)

    assert first.closed == "politely"
    assert second.received() == []
    assert PubAck(1) not in first.received()
