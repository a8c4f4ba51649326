"""The Message Expiry Interval of a publisher goes along with its event, by the unusual path alone."""

from __future__ import annotations

from fieldgate.ingest.decode import ContractDecoder
from fieldgate.mqtt.packets import Properties, Publish, Will
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Stamp
from session_kit import Server


def expiring(packet_id: int, seconds: int | None, *, qos: int = 1, dup: bool = False) -> Publish:
    properties = None if seconds is None else Properties(message_expiry_s=seconds)
    return Publish("a", b"%d" % packet_id, qos, dup=dup, packet_id=packet_id, properties=properties)


def heard(server: Server) -> list[tuple[bytes, int | None]]:
    return [(one.payload, one.expiry_s) for _, _, received in server.intake.batches for one in received]


def test_each_event_gets_its_own_interval_in_a_read_of_many() -> None:
    """Those beside it have none, whatever stands between them: another topic, QoS 2, a copy."""
    server = Server(events=("a",))
    client = server.connect(version=5)
    other = Publish("not-an-event", b"x", 1, packet_id=9, properties=Properties(message_expiry_s=5))

    client.send(
        expiring(1, None), expiring(2, 60), other, expiring(3, None), expiring(4, 0, qos=2), expiring(5, 7),
        expiring(2, 60, dup=True), expiring(6, None),
    )  # fmt: skip

    assert heard(server) == [(b"1", None), (b"2", 60), (b"3", None), (b"4", 0), (b"5", 7), (b"6", None)]


def test_a_wills_interval_is_kept_as_well() -> None:
    """It is an event like any other."""
    server = Server()
    will = Will("w", b"gone", qos=1, properties=Properties(message_expiry_s=30))
    client = server.connect(version=5, will=will)

    client.vanish()

    assert heard(server) == [(b"gone", 30)]


def test_the_decoder_passes_it_on() -> None:
    """From the source to the event."""
    server = Server()
    server.connect(version=5).send(expiring(1, 60), expiring(2, None))

    events = ContractDecoder(Catalogue())(server.intake.batches[0][2], Stamp(1, 2, 3), 1).events

    assert [(event.expiry_s, event.raw, event.seq) for event in events] == [(60, None, 0), (None, None, 0)]
