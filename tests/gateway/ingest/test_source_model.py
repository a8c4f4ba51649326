"""A correct broker on a bad link, settled in any order: every message is one event, acknowledged when it is safe."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.ingest.source import Received, Settler
from fieldgate.mqtt.ack_line import AckLine
from fieldgate.mqtt.packets import Packet, PubAck, PubComp, Publish, PubRec, PubRel
from listener_kit import HeldIntake
from source_line import Line


@dataclass
class Broker:
    """Keeps the session, and sends again what was not acknowledged, as [MQTT-4.4.0-1] says."""

    line: Line
    published: list[bytes] = field(default_factory=list)
    qos_of: dict[bytes, int] = field(default_factory=dict)
    waiting: dict[int, Publish | PubRel] = field(default_factory=dict)  # in order of sending
    next_id: int = 65_530  # so that it wraps soon

    def publish(self, qos: int) -> None:
        payload = b"%d" % len(self.published)
        self.published.append(payload)
        self.qos_of[payload] = qos
        packet_id = 0
        if qos:
            while self.next_id in self.waiting:
                self.next_id = self.next_id % 65_535 + 1
            packet_id = self.next_id
            self.next_id = self.next_id % 65_535 + 1
            self.waiting[packet_id] = Publish("sensors/a", payload, qos, packet_id=packet_id)
        assert self.line.give(Publish("sensors/a", payload, qos, packet_id=packet_id)) == []
        self.hear(self.line.taken())

    def reconnect(self, *, loses_acknowledgements: bool) -> None:
        """The link breaks; what the source wrote last may not have arrived."""
        written = self.line.taken()
        if not loses_acknowledgements:
            self.note(written)
        self.line.connect()
        again: list[Packet] = [
            Publish(one.topic, one.payload, one.qos, dup=True, packet_id=packet_id)
            if isinstance(one, Publish)
            else PubRel(packet_id)
            for packet_id, one in self.waiting.items()
        ]
        if again:
            assert self.line.give(*again) == []
        self.hear(self.line.taken())

    def note(self, packets: list[Packet]) -> list[int]:
        """Take acknowledgements; answers which ids are to be released."""
        released = []
        for packet in packets:
            if isinstance(packet, PubAck | PubComp):
                del self.waiting[packet.packet_id]
            else:
                assert isinstance(packet, PubRec), packet
                self.waiting[packet.packet_id] = PubRel(packet.packet_id)
                released.append(packet.packet_id)
        return released

    def hear(self, packets: list[Packet]) -> None:
        while packets:
            for packet_id in self.note(packets):
                assert self.line.give(PubRel(packet_id)) == []
            packets = self.line.taken()


def play(line: Line, seed: int) -> None:
    """Let a session of 60 steps happen, and check it at each step and at the end."""
    rng = random.Random(seed)
    broker, intake = Broker(line), line.intake
    unsettled: list[int] = []
    safe: set[bytes] = set()
    lost_acknowledgements = 0

    def settle_one() -> None:
        batch = unsettled.pop(rng.randrange(len(unsettled)))
        safe.update(one.payload for one in intake.batches[batch][2])
        intake.settle(batch)

    for _ in range(60):
        known = len(intake.batches)
        match rng.choice(["publish", "publish", "publish", "settle", "settle", "reconnect", "open", "close"]):
            case "publish":
                broker.publish(rng.choice([0, 1, 1, 2]))
            case "settle" if unsettled:
                settle_one()
                if rng.random() < 0.7:
                    broker.hear(line.taken())
            case "reconnect":
                loses = rng.random() < 0.3
                lost_acknowledgements += loses
                broker.reconnect(loses_acknowledgements=loses)
            case "open":
                intake.open = True
                assert line.inbox is not None
                line.inbox.retry()
            case "close":
                intake.open = rng.random() < 0.5
        unsettled += range(known, len(intake.batches))
        waiting = {one.payload for one in broker.waiting.values() if isinstance(one, Publish)}
        qos_0 = {payload for payload, qos in broker.qos_of.items() if not qos}
        assert set(broker.published) - waiting - qos_0 <= safe, "acknowledged before it was safe"

    intake.open = True
    for _ in range(2):
        known = len(intake.batches)
        broker.reconnect(loses_acknowledgements=False)
        unsettled += range(known, len(intake.batches))
        while unsettled:
            settle_one()
        broker.hear(line.taken())

    assert not broker.waiting
    assert {payload for payload, qos in broker.qos_of.items() if qos} <= set(intake.payloads)
    for payload, qos in broker.qos_of.items():
        if qos == 2 or not lost_acknowledgements:
            assert intake.payloads.count(payload) <= 1, (payload, qos)


def play_often(make: Callable[[], Line]) -> None:
    for seed in range(20):
        play(make(), seed)


@settings(max_examples=120, deadline=None)
@given(version=st.sampled_from([4, 5]), seed=st.integers(0, 2**32))
def test_every_message_is_one_event_and_is_acknowledged_when_it_is_safe(version: int, seed: int) -> None:
    """P1 over any number of broken connections; QoS 2 once, QoS 1 again only where its PUBACK was lost."""
    play(Line(version), seed)


class HastyIntake(HeldIntake):
    """Says "safe" of what it was only just given."""

    def accept(self, received: Sequence[Received], settler: Settler, first: int, *, lane: int) -> None:
        super().accept(received, settler, first, lane=lane)
        settler.settled(first, len(received))

    def settle(self, batch: int) -> None:
        """It was told already."""


def test_the_model_notices_a_source_that_acknowledges_too_early() -> None:
    """The mutant of P1."""
    line = Line(5)
    line.intake = HastyIntake()
    line.connect(session=False)

    with pytest.raises(AssertionError, match="before it was safe"):
        play_often(lambda: line)


def test_the_model_notices_a_source_that_joins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of "one event": each copy that comes again is a new one."""
    monkeypatch.setattr(AckLine, "owed", lambda _line: {})

    with pytest.raises(AssertionError):
        play_often(lambda: Line(5))
