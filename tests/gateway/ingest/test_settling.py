"""P1 seen from one client: an event is acknowledged when safe, in order of receipt, once, on its own connection."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.ack_line import AckLine
from fieldgate.mqtt.packets import Properties, Publish
from listener_kit import HeldIntake, SettlingIntake
from session_kit import Client, Server, ack_ids

KEPT = Properties(session_expiry_s=600)


def kept(server: Server, client_id: str = "c", *, version: int = 4) -> Client:
    """A client whose session outlives its connection."""
    return server.connect(client_id, version=version, clean=False, properties=KEPT if version == 5 else None)


@pytest.mark.parametrize("version", [4, 5])
def test_a_publish_is_acknowledged_only_when_it_is_settled(version: int) -> None:
    """P1: a PUBACK says that the event is safe."""
    server = Server()
    client = server.connect(version=version)

    assert client.publish(1, 2, 3) == []
    server.intake.settle(0)

    assert ack_ids(client.received()) == [1, 2, 3]
    assert client.inbox is not None
    assert client.inbox.in_flight == 0


def test_a_mutant_that_acknowledges_at_receipt_is_noticed() -> None:
    """The test above must be able to fail."""

    class Eager(HeldIntake):
        def accept(self, received, settler, first, *, lane):
            settler.settled(first, len(received))
            super().accept(received, settler, first, lane=lane)

    client = Server(Eager()).connect()

    assert client.publish(1, 2, 3) != []


def test_one_read_is_one_batch_and_one_write() -> None:
    """The speed comes from batches: a read of 50 is one call to the flow, its PUBACKs one write."""
    server = Server()
    client = server.connect()
    writes = client.writes

    client.publish(*range(1, 51))
    server.intake.settle(0)

    assert len(server.intake.batches) == 1
    assert client.writes == writes + 1
    assert ack_ids(client.received()) == list(range(1, 51))


def test_batches_settled_out_of_order_are_acknowledged_in_order_of_receipt() -> None:
    """[MQTT-4.6.0-2]."""
    server = Server()
    client = server.connect()
    client.publish(1, 2)
    client.publish(3)
    client.publish(4, 5)

    server.intake.settle(2)
    assert client.received() == []
    server.intake.settle(1)
    assert client.received() == []
    server.intake.settle(0)

    assert ack_ids(client.received()) == [1, 2, 3, 4, 5]


def test_single_events_of_a_batch_settle_in_any_order() -> None:
    """An uplink may acknowledge the middle of a batch first."""
    server = Server()
    client = server.connect()
    client.publish(7, 3, 9, 1)
    settler, first, _ = server.intake.batches[0]
    seen = []

    for position in (2, 0, 3, 1):
        settler.settled(first + position, 1)
        settler.flush()
        seen.append(ack_ids(client.received()))

    assert seen == [[], [7], [], [3, 9, 1]]


def test_a_mutant_that_acknowledges_whatever_is_settled_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two tests above must be able to fail."""

    def at_once(self: AckLine, first: int, count: int) -> None:
        self._settled_to = max(self._settled_to, first + count)

    monkeypatch.setattr(AckLine, "settled", at_once)
    server = Server()
    client = server.connect()
    client.publish(1)
    client.publish(2)

    server.intake.settle(1)

    assert ack_ids(client.received()) == [1, 2]


def test_positions_are_gapless_over_everything_handed_over() -> None:
    """The contract of `Settler`: message n that the intake was given has position n."""
    server = Server(SettlingIntake(), events=("e/#",))
    client = server.connect()

    client.publish(1, topic="e/1")
    client.send(Publish("x", b"", 1, packet_id=2), Publish("e/2", b"", 1, packet_id=3), Publish("e/3", b""))
    client.publish(4, 5, topic="e/4")

    assert [(first, len(received)) for _, first, received in server.intake.batches] == [(0, 1), (1, 2), (3, 2)]


def test_packet_ids_wrap_after_65535() -> None:
    """Ids are labels; the line goes on."""
    server = Server()
    client = server.connect()
    ids = [65_533, 65_534, 65_535, 1, 2]
    client.publish(*ids)

    server.intake.settle(0)

    assert ack_ids(client.received()) == ids


def test_all_65535_ids_go_round_twice() -> None:
    """Every slice of the PUBACK table is right, over the wrap too."""
    server = Server(SettlingIntake())
    client = server.connect()
    ids = list(range(1, 65_536)) * 2
    got: list[int] = []

    for at in range(0, len(ids), 700):
        got += ack_ids(client.publish(*ids[at : at + 700], payload=b"x"))

    assert got == ids


def test_what_is_not_an_event_is_acknowledged_at_once_but_behind_what_waits() -> None:
    """Order of PUBACKs is by receipt, not by kind."""
    server = Server(events=("e",))
    client = server.connect()

    assert ack_ids(client.publish(1, topic="other")) == [1]
    client.publish(2, topic="e")
    assert client.publish(3, topic="other") == []
    server.intake.settle(0)

    assert ack_ids(client.received()) == [2, 3]
    assert server.intake.payloads == [b"2"]


def test_events_and_others_mixed_in_one_read_keep_their_order_and_none_is_lost() -> None:
    """A read is cut into runs where something else stands between events; known topics take the short path."""
    server = Server(events=("e",))
    client = server.connect()
    client.send(Publish("e", b"0", 1, packet_id=1), Publish("o", b"", 1, packet_id=2))

    client.send(*(Publish("eo"[one % 2], b"%d" % one, 1, packet_id=one) for one in range(3, 23)))

    assert server.intake.payloads == [b"0"] + [b"%d" % one for one in range(4, 23, 2)]
    for batch in reversed(range(len(server.intake.batches))):
        server.intake.settle(batch)
    assert ack_ids(client.received()) == list(range(1, 23))


def test_qos_0_takes_a_position_and_gets_no_acknowledgement() -> None:
    """It is an event as good as any, and cannot be sent again."""
    server = Server()
    client = server.connect()

    client.send(Publish("t", b"a"), Publish("t", b"b", 1, packet_id=1), Publish("t", b"c"))
    server.intake.settle(0)

    assert ack_ids(client.received()) == [1]
    assert server.intake.payloads == [b"a", b"b", b"c"]
