"""Exactly once, against a model of the client: connections break anywhere, packets on the way are lost, ids wrap."""

from __future__ import annotations

import random

import pytest

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.outbound import Outbound
from fieldgate.mqtt.packets import Packet, Properties, PubAck, PubComp, Publish, PubRec, PubRel, Subscription
from listener_kit import SettlingIntake
from session_kit import Client, Server


class Receiver:
    """The receiving half of [MQTT5 4.3.3], method A, as a client keeps it over its connections."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self.server = server
        self.rng = rng
        self.unreleased: set[int] = set()
        self.at_qos_2: list[bytes] = []
        self.at_qos_1: list[bytes] = []
        self.window = 0
        self.client: Client | None = None

    def connect(self) -> None:
        self.window = self.rng.choice([1, 2, 5, 50])
        properties = Properties(session_expiry_s=600, receive_maximum=self.window)
        self.client = self.server.connect("r", version=5, clean=False, properties=properties)
        if not self.client.connack.session_present:
            self.client.subscribe(Subscription("t", 2))
        self.hear(self.client.early)

    def step(self) -> None:
        """See some of what has come, answer some of it, and perhaps lose the connection with the rest."""
        if self.client is None or not self.client.is_connected:
            self.connect()
            return
        breaks = self.rng.random() < 0.2
        self.hear(self.client.received(), breaks=breaks)
        if breaks:
            self.client.vanish()

    def hear(self, packets: list[Packet], *, breaks: bool = False) -> None:
        assert self.client is not None
        while packets:
            seen = packets[: self.rng.randint(0, len(packets))] if breaks else packets
            answers = [answer for packet in seen for answer in self.answers(packet)]
            arrived = answers[: self.rng.randint(0, len(answers))] if breaks else answers
            for answer in arrived:
                self.client.session.receive(encode(answer, 5), self.server.now_s)
            if breaks:
                return
            packets = self.client.received()

    def answers(self, packet: Packet) -> list[Packet]:
        match packet:
            case Publish(qos=2, packet_id=packet_id):
                if packet_id not in self.unreleased:
                    self.unreleased.add(packet_id)
                    self.at_qos_2.append(packet.payload)
                return [PubRec(packet_id)]
            case Publish(qos=1, packet_id=packet_id):
                self.at_qos_1.append(packet.payload)
                return [PubAck(packet_id)]
            case PubRel(packet_id=packet_id):
                self.unreleased.discard(packet_id)
                return [PubComp(packet_id)]
        return []


def live(seed: int) -> tuple[Receiver, list[bytes], list[bytes]]:
    """A life of 300 steps; what was published at QoS 2 and at QoS 1."""
    rng = random.Random(seed)
    server = Server(SettlingIntake())
    receiver = Receiver(server, rng)
    receiver.connect()
    outbound = server.broker.sessions.find("r").outbound
    outbound.next_id = rng.choice([1, 65_500])
    sent: dict[int, list[bytes]] = {1: [], 2: []}
    for number in range(300):
        for _ in range(rng.choice([0, 1, 3])):
            qos = rng.choice([1, 2, 2])
            sent[qos].append(b"%d.%d" % (number, len(sent[qos])))
            server.broker.publish("t", sent[qos][-1], qos=qos, now_s=server.now_s)
        receiver.step()
    for _ in range(50):
        if receiver.client is None or not receiver.client.is_connected:
            receiver.connect()
        receiver.hear(receiver.client.received() if receiver.client else [])
    return receiver, sent[2], sent[1]


def check(seed: int) -> None:
    receiver, at_2, at_1 = live(seed)

    is_exactly_once = receiver.at_qos_2 == at_2  # and in order; not asserted as it is: the mutants' diffs take minutes
    first_arrivals_are_in_order = list(dict.fromkeys(receiver.at_qos_1)) == at_1
    assert is_exactly_once
    assert receiver.unreleased == set()  # the client is rid of its half too, and may see the id again
    assert first_arrivals_are_in_order
    outbound = receiver.server.broker.sessions.find("r").outbound
    assert (outbound.in_flight, outbound.released, len(outbound.queue)) == ({}, {}, 0)
    assert outbound.kept_bytes == 0


@pytest.mark.parametrize("seed", range(25))
def test_qos_2_is_exactly_once_and_qos_1_at_least_once_whatever_breaks(seed: int) -> None:
    """[MQTT-4.3.3], [MQTT-4.4.0-1], [MQTT-4.6.0]: the promise of a session."""
    check(seed)


def _forgets_releases(self: Outbound, reader: object) -> None:
    self.released.clear()
    _attach(self, reader)  # type: ignore[arg-type]


def _keeps_the_publish(self: Outbound, packet_id: int, now_s: float, *, is_refused: bool) -> None:
    if self._write is not None:
        self._write(encode(PubRel(packet_id), 5))


_attach = Outbound.attach


@pytest.mark.parametrize(
    ("name", "mutant"), [("attach", _forgets_releases), ("received", _keeps_the_publish)], ids=["attach", "received"]
)
def test_a_mutant_that_forgets_half_of_a_message_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str, mutant: object
) -> None:
    """The controls: PUBRELs that are not sent again, and PUBLISHes that are, after their PUBREC."""
    monkeypatch.setattr(Outbound, name, mutant)

    failed = 0
    for seed in range(5):
        try:
            check(seed)
        except AssertionError:
            failed += 1

    assert failed
