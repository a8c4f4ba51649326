"""From a feed into a session and back, without a socket: window, formats, sizes, rate."""

from __future__ import annotations

import json

import pytest
import zstandard

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import Reason
from fieldgate_devices.event import Address
from pump_rig import Rig, number
from uplink_kit import make_event, make_events


@pytest.mark.parametrize("window", [1, 20])
def test_never_more_than_the_window_is_on_the_way(window):
    """Receive Maximum 1 and 20, as cloud brokers have it."""
    rig = Rig()
    rig.feed.add(make_events(100))
    rig.connect(receive_maximum=window)

    seen = []
    while sent := rig.fill():
        assert len(sent) <= window
        assert rig.session.in_flight.sent_count <= window
        seen += [number(publish) for publish in sent]
        rig.ack(sent[0].packet_id)

    rig.ack(*range(1, 101))
    assert seen == list(range(1, 101))
    assert sorted(rig.feed.delivered_seqs) == list(range(1, 101))


def test_events_keep_their_order_over_batches():
    """P3."""
    rig = Rig()
    for first in range(1, 100, 7):
        rig.feed.add(make_events(7, first))
    rig.connect()

    assert [number(publish) for publish in rig.fill()] == list(range(1, 106))


def test_what_is_sent_again_is_the_same_envelope():
    """P2: an envelope, once sent, never changes."""
    rig = Rig()
    rig.feed.add(make_events(5))
    rig.connect()
    first = rig.fill()
    rig.lose()
    rig.connect(session_present=True)

    again = rig.fill()

    assert [(p.topic, p.payload, p.packet_id, p.properties) for p in again] == [
        (p.topic, p.payload, p.packet_id, p.properties) for p in first
    ]
    assert all(p.dup for p in again)


def test_old_messages_go_before_new_ones_after_a_loss():
    """Also with a smaller window than before."""
    rig = Rig()
    rig.feed.add(make_events(10))
    rig.connect()
    rig.fill()
    rig.lose()
    rig.feed.add(make_events(10, 11))
    rig.connect(session_present=True, receive_maximum=3)

    seen = []
    while sent := rig.fill():
        seen += [number(publish) for publish in sent]
        rig.ack(*(publish.packet_id for publish in sent))

    assert seen == list(range(1, 21))


def test_start_over_hands_everything_back_to_the_feed():
    """After a fault of ours nothing in memory is trusted; the events come again as new messages."""
    rig = Rig()
    rig.feed.add(make_events(5))
    rig.connect()
    rig.fill()
    rig.ack(2)

    rig.pump.start_over()
    rig.connect(session_present=True)
    again = rig.fill()

    assert [number(publish) for publish in again] == [1, 3, 4, 5]
    assert not any(publish.dup for publish in again)


def test_the_content_type_says_what_the_payload_is():
    """MQTT 5 has a property for it; 3.1.1 has none."""
    for version, form, expected in (
        (5, "cloudevents", "application/cloudevents+json"),
        (5, "cloudevents-batch", "application/cloudevents-batch+json"),
        (5, "raw", "application/json"),
        (4, "cloudevents", None),
    ):
        rig = Rig(version, format=form, batch={"max_delay": "0s"})
        rig.feed.add(make_events(1))
        rig.connect()
        (publish,) = rig.fill()

        assert (publish.properties.content_type if publish.properties else None) == expected


@pytest.mark.parametrize("version", [4, 5])
def test_raw_is_the_payload_as_received(version):
    """Byte for byte, whatever it is."""
    rig = Rig(version, format="raw")
    rig.feed.add([make_event(1, b"{}", raw=b"\xff\x00"), make_event(2, b"", is_json=False)])
    rig.connect()

    assert [publish.payload for publish in rig.fill()] == [b"\xff\x00", b""]


def test_what_is_stored_and_was_overtaken_is_marked():
    """live_first relaxes the order, and says so."""
    rig = Rig()
    rig.feed.is_stored = True
    rig.feed.add(make_events(1))
    rig.connect()

    (publish,) = rig.fill()

    assert json.loads(publish.payload)["drained"] is True


# -- sizes -----------------------------------------------------------------------------------------------


@pytest.mark.clause("MQTT5-3.2.2-15")
@pytest.mark.parametrize("form", ["cloudevents", "raw", "cloudevents-batch"])
def test_an_event_too_large_for_the_server_is_parked_and_the_rest_flows(form):
    """Sent anyway, it would cost the connection again and again [MQTT-3.2.2-15]."""
    rig = Rig(format=form, batch={"max_delay": "0s"})
    large = b'"%b"' % (b"x" * 3000)
    rig.feed.add([make_event(1), make_event(2, large), make_event(3), make_event(4, large)])
    rig.connect(maximum_packet_size=2000)

    sent = rig.fill()
    rig.ack(*(publish.packet_id for publish in sent))

    assert sorted(rig.feed.delivered_seqs) == [1, 3]
    assert "2000 bytes" in rig.feed.done[2]
    assert "2000 bytes" in rig.feed.done[4]
    assert rig.pump.parked == 2


@pytest.mark.clause("MQTT5-3.2.2-15")
@pytest.mark.parametrize("form", ["cloudevents", "raw", "cloudevents-batch"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_no_packet_is_longer_than_the_server_takes(form, compression):
    """To the byte: what just fits is sent, what does not is parked."""
    rig = Rig(format=form, batch={"max_delay": "0s", "compression": compression})
    rig.feed.add([make_event(seq, b'"%b"' % (b"x" * (150 + seq))) for seq in range(1, 400)])
    rig.connect(maximum_packet_size=600)

    lengths = []
    while sent := rig.fill():
        lengths += [len(encode(publish, 5)) for publish in sent]
        rig.ack(*(publish.packet_id for publish in sent))

    assert max(lengths) <= 600
    if compression == "none" or form != "cloudevents-batch":
        assert max(lengths) == 600 or form == "cloudevents-batch"
    assert set(rig.feed.done) == set(range(1, 400))


def test_what_was_in_flight_and_is_too_large_for_the_new_server_is_parked():
    """A failover may lead to a server with smaller limits."""
    rig = Rig()
    rig.feed.add([make_event(1), make_event(2, b'"%b"' % (b"x" * 3000)), make_event(3)])
    rig.connect()
    rig.fill()
    rig.lose()
    rig.connect(maximum_packet_size=2000)

    sent = rig.fill()

    assert [number(publish) for publish in sent] == [1, 3]
    assert "2000 bytes" in rig.feed.done[2]


def test_large_events_in_flight_are_bounded_in_bytes():
    """A window of 1,000 packets of 256 KB would be all the memory of a Pi."""
    rig = Rig()
    rig.feed.add([make_event(seq, b'"%b"' % (b"x" * 250_000)) for seq in range(200)])
    rig.connect()

    for _ in range(10):
        rig.fill()

    assert rig.session.in_flight.size_bytes < 12_000_000
    assert len(rig.session.in_flight) >= 4


# -- batches ---------------------------------------------------------------------------------------------


def test_a_full_batch_leaves_at_once_and_the_rest_waits_its_delay():
    """Delay only where there are too few."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 10, "max_delay": "100ms"})
    rig.feed.add(make_events(25))
    rig.connect()

    assert [len(json.loads(publish.payload)) for publish in rig.fill()] == [10, 10]
    assert rig.wait_s == pytest.approx(0.1)
    rig.now_s += 0.05
    assert rig.fill() == []
    assert rig.wait_s == pytest.approx(0.05)
    rig.now_s += 0.05
    assert [len(json.loads(publish.payload)) for publish in rig.fill()] == [5]


def test_a_batch_that_fills_up_while_it_waits_leaves_at_once():
    """Nobody waits for time when max_events wait."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 4, "max_delay": "60s"})
    rig.feed.add(make_events(3))
    rig.connect()
    assert rig.fill() == []

    rig.feed.add(make_events(2, 4))
    (publish,) = rig.fill()

    assert [event["id"].split("-")[1] for event in json.loads(publish.payload)] == ["1", "2", "3", "4"]


def test_an_acknowledged_batch_delivers_each_event_of_each_shipment():
    """A message may carry pieces of many batches, of devices in any order."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 10, "max_delay": "0s"})
    for first in range(1, 30, 4):
        rig.feed.add([make_event(seq, address=Address(f"d{seq}", "t", "x")) for seq in range(first, first + 4)])
    rig.connect()

    sent = rig.fill()
    rig.ack(*(publish.packet_id for publish in sent))

    assert [len(json.loads(publish.payload)) for publish in sent] == [10, 10, 10, 2]
    assert {publish.topic for publish in sent} == {"fieldgate/gw/batch/batch"}
    assert rig.feed.delivered_seqs == list(range(1, 33))


def test_a_compressed_batch_is_one_zstd_frame_and_says_so():
    """The far side must be able to tell."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 50, "compression": "zstd"})
    rig.feed.add(make_events(50))
    rig.connect()

    (publish,) = rig.fill()

    assert publish.properties is not None
    assert publish.properties.content_type == "application/cloudevents-batch+json+zstd"
    assert len(json.loads(zstandard.ZstdDecompressor().decompress(publish.payload))) == 50


def test_a_batch_that_the_server_refuses_is_taken_apart():
    """99 good events must not be parked for one bad neighbour."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 10, "max_delay": "0s"})
    rig.feed.add(make_events(10))
    rig.connect()
    (batch,) = rig.fill()

    assert not rig.ack(batch.packet_id, reason=Reason.PAYLOAD_FORMAT_INVALID)
    singles = rig.fill()
    for publish in singles:
        (event,) = json.loads(publish.payload)
        rig.ack(publish.packet_id, reason=Reason.PAYLOAD_FORMAT_INVALID if event["id"].endswith("-7") else 0)

    assert len(singles) == 10
    assert len({publish.packet_id for publish in singles}) == 10
    assert sorted(rig.feed.delivered_seqs) == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert "payload format invalid" in rig.feed.done[7]


# -- rate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["cloudevents", "cloudevents-batch"])
def test_the_rate_holds_for_new_and_for_repeated_messages(form):
    """A drain must not get the gateway thrown off; what is sent again counts, too."""
    rig = Rig(format=form, rate="100/s", batch={"max_events": 10, "max_delay": "0s"})
    rig.feed.add(make_events(1000))
    rig.connect()
    for _ in range(100):
        rig.fill()
        assert rig.wait_s is not None
        rig.now_s += 0.01
    rig.lose()
    rig.connect(session_present=True)
    again = []
    for _ in range(100):
        again += rig.fill()
        rig.now_s += 0.01

    events = sum(len(json.loads(publish.payload)) if form == "cloudevents-batch" else 1 for publish in again)
    assert rig.feed.handed_out == pytest.approx(110, abs=12)
    assert events == pytest.approx(100, abs=12)
