"""A correct client on a bad link, settled in any order: every message is one event, acknowledged when it is safe."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.mqtt.packets import Packet, Properties, PubAck, PubComp, Publish, PubRec, PubRel
from listener_kit import HeldIntake
from session_kit import Client, Server


class Device:
    """A client that keeps its session and sends again what was not acknowledged, as [MQTT-4.4.0-1] says."""

    def __init__(self, server: Server, version: int) -> None:
        self.server = server
        self.version = version
        self.published: list[bytes] = []
        self.waiting: dict[int, Publish | PubRel] = {}  # in order of sending
        self._next_id = 65_530  # so that it wraps soon
        self.client: Client = self._connect()

    def _connect(self) -> Client:
        kept = Properties(session_expiry_s=9999) if self.version == 5 else None
        return self.server.connect("d", version=self.version, clean=False, properties=kept)

    def publish(self, qos: int) -> None:
        payload = b"%d" % len(self.published)
        self.published.append(payload)
        packet_id = 0
        if qos:
            while self._next_id in self.waiting:
                self._next_id = self._next_id % 65_535 + 1
            packet_id = self._next_id
            self._next_id = self._next_id % 65_535 + 1
            self.waiting[packet_id] = Publish("t", payload, qos, packet_id=packet_id)
        self._hear(self.client.send(Publish("t", payload, qos, packet_id=packet_id)))

    def reconnect(self) -> None:
        self.client.vanish()
        self.client = self._connect()
        again = [
            Publish(one.topic, one.payload, one.qos, dup=True, packet_id=packet_id)
            if isinstance(one, Publish)
            else PubRel(packet_id)
            for packet_id, one in self.waiting.items()
        ]
        if again:
            self._hear(self.client.send(*again))

    def listen(self) -> None:
        self._hear(self.client.received())

    def _hear(self, packets: list[Packet]) -> None:
        for packet in packets:
            if isinstance(packet, PubAck | PubComp):
                del self.waiting[packet.packet_id]
            else:
                assert isinstance(packet, PubRec), packet
                self.waiting[packet.packet_id] = PubRel(packet.packet_id)
                self._hear(self.client.send(PubRel(packet.packet_id)))


def settle_one(intake: HeldIntake, unsettled: list[int], rng: random.Random, safe: set[bytes]) -> None:
    batch = unsettled.pop(rng.randrange(len(unsettled)))
    safe.update(one.payload for one in intake.batches[batch][2])
    intake.settle(batch)


@settings(max_examples=150, deadline=None)
@given(version=st.sampled_from([4, 5]), seed=st.integers(0, 2**32))
def test_every_message_is_one_event_and_is_acknowledged_when_it_is_safe(version: int, seed: int) -> None:
    """P1 and no duplicates while the process lives, over any number of broken connections."""
    rng = random.Random(seed)
    server = Server()
    intake = server.intake
    device = Device(server, version)
    unsettled: list[int] = []
    safe: set[bytes] = set()

    def check() -> None:
        waiting = {one.payload for one in device.waiting.values() if isinstance(one, Publish)}
        acknowledged = set(device.published) - waiting - qos_0
        assert acknowledged <= safe

    qos_0: set[bytes] = set()
    for _ in range(60):
        known = len(intake.batches)
        match rng.choice(["publish", "publish", "publish", "settle", "settle", "reconnect", "open", "close"]):
            case "publish":
                qos = rng.choice([0, 1, 1, 2])
                device.publish(qos)
                if not qos:
                    qos_0.add(device.published[-1])
            case "settle" if unsettled:
                settle_one(intake, unsettled, rng, safe)
                device.listen()
            case "reconnect":
                device.reconnect()
            case "open":
                intake.open = True
                assert device.client.inbox is not None
                device.client.inbox.retry()
            case "close":
                intake.open = rng.random() < 0.5
        unsettled += range(known, len(intake.batches))
        check()

    intake.open = True
    for _ in range(2):
        known = len(intake.batches)
        device.reconnect()
        unsettled += range(known, len(intake.batches))
        while unsettled:
            settle_one(intake, unsettled, rng, safe)
        device.listen()

    assert not device.waiting
    assert len(intake.payloads) == len(set(intake.payloads)), "an event was made twice"
    assert set(device.published) - qos_0 <= set(intake.payloads)
