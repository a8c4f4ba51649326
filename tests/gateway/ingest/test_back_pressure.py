"""Back-pressure: what a client may have on the way, and what happens when the flow takes no more."""

from __future__ import annotations

from fieldgate.ingest.inbox_terms import InboxLimits
from fieldgate.mqtt.packets import PingReq, PingResp, Properties
from session_kit import Client, Server, ack_ids

KEPT = Properties(session_expiry_s=600)


def kept(server: Server, client_id: str = "c", *, version: int = 4) -> Client:
    """A client whose session outlives its connection."""
    return server.connect(client_id, version=version, clean=False, properties=KEPT if version == 5 else None)


def test_a_client_is_not_read_while_its_unsettled_bytes_pass_the_cap() -> None:
    """Back-pressure is the withheld PUBACK, then the closed TCP window."""
    server = Server()
    client = server.connect()
    while client.is_reading:
        client.publish(1, payload=b"x" * 10_000)
    in_all = len(server.intake.batches)
    assert 256 * 1024 < in_all * 10_100 < 300 * 1024

    for batch in range(in_all):
        server.intake.settle(batch)

    assert client.is_reading
    assert server.intake.stalls == 1


def test_reading_resumes_only_below_half_of_the_cap() -> None:
    """Otherwise each event settled would flip the socket."""
    server = Server()
    client = server.connect()
    while client.is_reading:
        client.publish(1, payload=b"x" * 10_000)
    in_all = len(server.intake.batches)
    half = in_all // 2

    for batch in range(half - 1):
        server.intake.settle(batch)
    assert not client.is_reading
    for batch in range(half - 1, half + 2):
        server.intake.settle(batch)

    assert client.is_reading


def test_a_client_that_is_not_read_is_not_silent() -> None:
    """Its PINGREQ stands in the socket; the keep-alive must not end it."""
    server = Server()
    client = server.connect(keep_alive_s=10)
    while client.is_reading:
        client.publish(1, payload=b"x" * 10_000)

    server.now_s += 60
    client.session.tick(server.now_s)
    assert client.is_connected
    for batch in range(len(server.intake.batches)):
        server.intake.settle(batch)
    server.now_s += 16
    client.session.tick(server.now_s)

    assert not client.is_connected


def test_a_mqtt_5_client_over_receive_maximum_is_told_0x93() -> None:
    """[MQTT5 3.3.4]: it was told the limit."""
    server = Server(inbox_limits=InboxLimits(receive_maximum=10))
    client = server.connect(version=5)
    client.publish(*range(1, 11))
    assert client.is_connected

    client.publish(11)

    assert client.session.end_code == "receive_maximum_exceeded"
    assert len(server.intake.heard) == 11


def test_a_3_1_1_client_over_receive_maximum_is_only_read_later() -> None:
    """It was never told a limit."""
    server = Server(inbox_limits=InboxLimits(receive_maximum=10))
    client = server.connect()
    client.publish(*range(1, 11))
    assert client.is_reading

    client.publish(11)
    assert client.is_connected
    assert not client.is_reading
    server.intake.settle(0)

    assert client.is_reading


def test_while_the_intake_is_closed_messages_are_held_and_pings_are_answered() -> None:
    """A full disk must not look like a dead gateway, and must not be over-filled."""
    server = Server()
    client = server.connect()
    server.intake.open = False

    assert client.publish(1, 2) == []
    assert client.send(PingReq()) == [PingResp()]
    assert server.intake.batches == []
    server.intake.open = True
    client.publish(3)  # stays behind those that are held
    assert server.intake.batches == []
    assert client.inbox is not None
    client.inbox.retry()

    assert server.intake.payloads == [b"1", b"2", b"3"]
    server.intake.settle(0)
    server.intake.settle(1)
    assert ack_ids(client.received()) == [1, 2, 3]


def test_what_is_held_counts_against_the_cap() -> None:
    """Memory is bounded while the intake is closed too."""
    server = Server()
    server.intake.open = False
    client = server.connect()

    sent = 0
    while client.is_reading:
        client.publish(1, payload=b"x" * 10_000)
        sent += 1

    assert sent < 30


def test_what_was_held_when_its_client_went_is_a_new_event_when_it_is_sent_again() -> None:
    """It never reached the flow: joining it would wait for ever."""
    server = Server()
    client = kept(server)
    client.publish(1)
    server.intake.open = False
    client.publish(2)
    client.vanish()
    server.intake.open = True

    client = kept(server)
    client.publish(1, 2, dup=True)
    server.intake.settle(0)
    assert ack_ids(client.received()) == [1]
    server.intake.settle(1)

    assert ack_ids(client.received()) == [2]
    assert server.intake.payloads == [b"1", b"2"]
    assert server.tally.unsaved == 1
