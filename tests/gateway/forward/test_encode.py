"""What goes upstream, byte for byte: the contract that the platform team reads."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate.forward.encode import CloudEvents, TimeText
from fieldgate.forward.raw import RawProperties
from fieldgate.forward.topic_template import TopicTemplate
from fieldgate.mqtt.codec import Decoder
from fieldgate.mqtt.framing import encode_publishes
from fieldgate.mqtt.packets import Publish
from fieldgate.mqtt.topics import valid_topic
from fieldgate_devices.event import Address, Lane, Stamp, TimeQuality
from uplink_kit import RUN, STAMP, make_event, make_events

CONTEXT = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"}
NAME = re.compile(r"[a-z0-9]{1,20}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
URI_REFERENCE = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
NOT_ALLOWED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")

texts = st.text(min_size=1, max_size=30)
addresses = st.builds(Address, device=texts, type=texts, topic=texts)


def encoder() -> CloudEvents:
    return CloudEvents(gateway="plant-7", os_boot_of={RUN: "boot-1"}.get)


def one(event, *, is_stored=False) -> bytes:
    (envelope,) = encoder().envelopes([event], is_stored=is_stored)
    return envelope


def check_cloudevent(event: dict) -> None:
    """The rules of CloudEvents 1.0 (spec sections 3.1 and 3.2, JSON format sections 2 and 3)."""
    assert event["specversion"] == "1.0"
    for name in ("id", "source", "type"):
        assert isinstance(event[name], str)
        assert event[name]
    assert URI_REFERENCE.fullmatch(event["source"])
    assert RFC3339.fullmatch(event["time"])
    assert event["datacontenttype"] in ("application/json", "application/octet-stream")
    assert event.get("subject", "x") != ""
    assert ("data" in event) != ("data_base64" in event)
    for name, value in event.items():
        if name in ("data", "data_base64"):
            continue
        assert NAME.fullmatch(name), name
        assert isinstance(value, str | bool), name
        if isinstance(value, str):
            assert not NOT_ALLOWED.search(value), name
        if name not in CONTEXT:
            assert name not in ("seq", "ts")


def test_an_event_is_this_text():
    """Written out once, so that nobody changes the contract without noticing."""
    event = make_event(42, b'{"temperature": 21.50}', content_id=0xBEEF)

    assert one(event) == (
        b'{"specversion":"1.0","id":"0123456789abcdef-42","source":"fieldgate/plant-7/site.a",'
        b'"type":"fieldgate.message","subject":"site.a","time":"2026-01-01T00:00:00.123456Z",'
        b'"datacontenttype":"application/json","contentid":"000000000000beef","data":{"temperature": 21.50}}'
    )


def test_data_is_spliced_byte_for_byte():
    """Numbers, spaces and key order are the device's; parsing and writing again would change 1.10 and 1e400."""
    data = '{"b": 1.10, "a":1e400,"é":"\\u00e9" , "b":2}'.encode()

    envelope = one(make_event(1, data))

    assert envelope.endswith(b'"data":' + data + b"}")


def test_bytes_that_are_no_json_go_as_base64():
    """Binary and broken payloads arrive unharmed; an empty one is not null (faults 72, 73)."""
    for data in (b"", b"\xff\x00\x80", b"21.5 C"):
        event = json.loads(one(make_event(1, data, is_json=False)))

        assert base64.b64decode(event["data_base64"]) == data
        assert event["datacontenttype"] == "application/octet-stream"
        check_cloudevent(event)


@given(addresses, st.sampled_from(list(Lane)), st.sampled_from(list(TimeQuality)), st.booleans(), st.booleans())
def test_every_envelope_keeps_the_rules_of_cloudevents(address, lane, quality, is_stored, is_json):
    """Whatever a device calls itself, the envelope is a CloudEvent and says who it was."""
    stamp = Stamp(RUN, 1_767_225_600_123_456_789, 7_654_321_000_000, quality)
    data = b"[1]" if is_json else b"\x00"
    event = make_event(7, data, address=address, lane=lane, stamp=stamp, is_json=is_json)

    read = json.loads(one(event, is_stored=is_stored))

    check_cloudevent(read)
    assert read["id"] == f"{RUN:016x}-7"
    assert unquote(read["source"]) == f"fieldgate/plant-7/{address.device}"
    assert read.get("lane") == (None if lane == Lane.NORMAL else lane.name.lower())
    assert read.get("drained") == (True if is_stored else None)
    assert read.get("timequality") == (None if quality == 0 else quality.name.lower())
    assert read.get("osboot") == (None if quality == 0 else "boot-1")
    assert read.get("uptimems") == (None if quality == 0 else "7654321")


def test_an_unknown_os_boot_is_left_out():
    """Events of a run that the journal no longer knows."""
    event = make_event(1, stamp=Stamp(99, 0, 1_000_000, TimeQuality.UNSYNCED))

    read = json.loads(one(event))

    assert "osboot" not in read
    assert (read["time"], read["uptimems"]) == ("1970-01-01T00:00:00.000000Z", "1")


def test_events_of_many_kinds_in_one_run_get_their_own_words():
    """What is shared within a run is cached; nothing may leak from one event to the next."""
    other = Stamp(RUN + 1, STAMP.wall_ns + 10**9, 0)
    events = [
        make_event(1),
        make_event(2, lane=Lane.HIGH),
        make_event(3, b"x", is_json=False),
        make_event(4, address=Address("b", "alarm", "b")),
        make_event(5, stamp=other),
        make_event(6),
    ]

    together = encoder().envelopes(events, is_stored=False)

    assert together == [one(event) for event in events]


def test_the_gap_event_has_an_id_of_its_own_and_no_content_id():
    """It bears the number of the last event lost, and nobody can ever send its content again."""
    event = make_event(9, address=Address("plant-7", "gap", "fieldgate/gap"), content_id=0)

    read = json.loads(one(event))

    assert read["id"] == f"{RUN:016x}-9-gap"
    assert "contentid" not in read
    check_cloudevent(read)


def test_a_device_that_calls_its_type_gap_is_no_gap_event():
    """Only the gateway's own topic makes one."""
    read = json.loads(one(make_event(9, address=Address("d", "gap", "d/gap"))))

    assert read["id"] == f"{RUN:016x}-9"


def test_no_member_of_the_envelope_is_named_seq_or_ts():
    """Consumers look for these words in the device's data."""
    envelope = one(make_event(1, b"{}", lane=Lane.HIGH, stamp=Stamp(RUN, 0, 0, 1)), is_stored=True)

    assert b'"seq"' not in envelope
    assert b'"ts"' not in envelope


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_clock_gives_a_time(wall_ns):
    """A clock may be set to nonsense; the event still leaves."""
    text = TimeText().of(wall_ns).decode()

    assert RFC3339.fullmatch(text)


@given(st.lists(st.integers(0, 4_000_000_000 * 10**9), min_size=1, max_size=20))
def test_times_are_cut_to_microseconds_never_rounded(times):
    """Rounded up, an event could be later than the one after it."""
    make = TimeText()

    for wall_ns in times:
        expected = datetime.fromtimestamp(wall_ns // 10**9, UTC).replace(microsecond=wall_ns % 10**9 // 1000)
        assert make.of(wall_ns).decode() == expected.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- raw ------------------------------------------------------------------------------------------------------------


def raw_properties(event, *, is_stored=False) -> Publish:
    blocks = RawProperties(os_boot_of={RUN: "boot-1"}.get).blocks([event], is_stored=is_stored)
    wire = encode_publishes([b"\x00\x01t"], blocks, [event.payload], 1)
    (packet,) = Decoder(version=5, max_packet_bytes=1 << 24, from_client=True).feed(wire)
    assert isinstance(packet, Publish)
    return packet


def test_raw_over_mqtt_5_bears_the_id_as_user_properties():
    """The payload is untouched, and a copy can still be recognised."""
    packet = raw_properties(make_event(42, b"{}", content_id=0xBEEF, raw=b"\x01\x02"))

    assert packet.payload == b"\x01\x02"
    assert packet.properties is not None
    assert packet.properties.content_type == "application/json"
    assert dict(packet.properties.user) == {
        "fieldgate-time": "2026-01-01T00:00:00.123456Z",
        "fieldgate-id": "0123456789abcdef-42",
        "fieldgate-contentid": "000000000000beef",
    }


@given(addresses, st.sampled_from(list(Lane)), st.sampled_from(list(TimeQuality)), st.booleans(), st.integers(0, 2**63))
def test_raw_properties_are_valid_for_any_event(address, lane, quality, is_stored, seq):
    """A malformed property would cost the connection, again and again."""
    stamp = Stamp(RUN, 1, 2_000_000, quality)
    event = make_event(seq, address=address, lane=lane, stamp=stamp)

    packet = raw_properties(event, is_stored=is_stored)

    assert packet.properties is not None
    user = dict(packet.properties.user)
    assert user["fieldgate-id"] == f"{RUN:016x}-{seq}"
    assert user.get("fieldgate-drained") == ("true" if is_stored else None)
    assert user.get("fieldgate-lane") == (None if lane == Lane.NORMAL else lane.name.lower())
    assert user.get("fieldgate-osboot") == (None if quality == 0 else "boot-1")


def test_a_device_name_of_any_length_gives_properties_that_mqtt_can_bear():
    """A topic may have 65,535 bytes, and percent-encoding makes three of one."""
    packet = raw_properties(make_event(1, address=Address("é" * 32_000, "t" * 65_000, "x")))

    assert packet.properties is not None


# -- topics -----------------------------------------------------------------------------------------------------------


def topic(template: str, address: Address, lane: Lane = Lane.NORMAL, gateway: str = "gw") -> str:
    (field,) = TopicTemplate(template, gateway=gateway).of_run([make_event(1, address=address, lane=lane)])
    assert int.from_bytes(field[:2], "big") == len(field) - 2
    return field[2:].decode()


def test_the_template_fills_in_all_five_fields():
    """And leaves other braces alone."""
    address = Address("site.a", "alarm", "site/a")

    assert topic("f/{gateway}/{device}/{type}/{lane}/{topic}/{x}", address, Lane.HIGH) == (
        "f/gw/site.a/alarm/high/site/a/{x}"
    )


@pytest.mark.parametrize(
    ("device", "expected"),
    [("a+b#c", "x/a_b_c"), ("a\0b\x07", "x/a_b_"), ("a/b", "x/a.b"), ("é", "x/é"), ("", "x/"), ("\ud800", "x/_")],
)
def test_what_a_topic_may_not_hold_is_replaced(device, expected):
    """A wildcard in a PUBLISH ends the connection: one odd device would cut off all others."""
    assert topic("x/{device}", Address(device, "t", "t")) == expected


def test_a_topic_of_the_servers_own_tree_is_never_written():
    """Topics that begin with $ are the server's [MQTT-4.7.2-1]."""
    assert topic("{topic}", Address("d", "t", "$SYS/broker")) == "_SYS/broker"


@given(addresses, st.sampled_from(["{device}", "{topic}", "{type}", "f/{gateway}/{device}/{type}"]), texts)
def test_any_address_gives_a_valid_topic(address, template, gateway):
    """Whatever the names are."""
    assert valid_topic(topic(template, address, gateway=gateway))


def test_a_topic_longer_than_mqtt_allows_is_cut_at_a_character():
    """65,535 bytes at most [MQTT-4.7.3-3]."""
    name = topic("x/{device}", Address("é" * 40_000, "t", "t"))

    assert 65_530 < len(name.encode()) <= 65_535


def test_batches_have_one_topic_with_the_literal_batch():
    """A batch holds many devices; the topic cannot name one."""
    template = TopicTemplate("fieldgate/{gateway}/{device}/{type}", gateway="gw")

    assert template.batch[2:] == b"fieldgate/gw/batch/batch"


def test_the_caches_are_bounded():
    """A device may invent a new topic for every message."""
    events = [make_event(seq, address=Address(f"d{seq}", "t", f"d{seq}")) for seq in range(25_000)]
    template, envelopes = TopicTemplate("x/{device}", gateway="gw"), encoder()

    template.of_run(events)
    envelopes.envelopes(events, is_stored=False)

    assert len(template._known) <= 10_000
    assert len(envelopes._addresses) <= 10_000


def test_encoding_the_same_event_twice_gives_the_same_bytes():
    """P2: each copy is the same data, also after a restart."""
    events = make_events(50)

    assert encoder().envelopes(events, is_stored=False) == encoder().envelopes(events, is_stored=False)
