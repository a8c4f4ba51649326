"""From what a source heard to events, by contract."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.ingest.causes import Causes
from fieldgate.ingest.decode import ContractDecoder, Refused
from fieldgate.ingest.source import Damaged, Received
from fieldgate_devices.catalogue import Assigned, Catalogue
from fieldgate_devices.event import Address, Event, Extra, Lane, Stamp
from profile_kit import BOILER, TOPIC, contract

STAMP = Stamp(1, 2, 3)
MANY = contract(
    """
    profile: many
    match: {mqtt: "many/{device}"}
    decode: {json: {each: readings}}
    fields: {x: {type: float}}
    """
)
ALARM = contract('profile: alarm\nmatch: {mqtt: "alarm/{device}"}\nlane: high\nfields: {x: {type: float}}\n')
CHOSEN = contract('profile: chosen\nmatch: {mqtt: "m/{device}", json: {m: 1}}\nfields: {x: {type: float}}\n')
CATALOGUE = Catalogue([contract(BOILER), MANY, ALARM, CHOSEN])
GOOD = b'{"temperature":85,"state":"idle"}'


def heard(topic: str, payload: bytes, number: int = 7) -> Received:
    return Received(topic, payload, number, len(topic) + len(payload))


def test_a_message_under_a_contract_is_what_the_profile_says():
    decoded = ContractDecoder(CATALOGUE)([heard(TOPIC, GOOD)], STAMP, Lane.NORMAL)

    address = Address("b1", "boiler", TOPIC, 2)
    data = b'{"temperature":85.0,"state":"idle"}'
    assert (decoded.events, decoded.odd, decoded.is_mixed) == ([Event(address, STAMP, data, True, 7, 1)], None, False)


def test_the_bytes_are_kept_beside_what_they_mean_where_an_uplink_sends_them():
    (event,) = ContractDecoder(CATALOGUE, keeps_raw=True)([heard(TOPIC, GOOD)], STAMP, Lane.NORMAL).events

    assert (event.payload, event.data) == (GOOD, b'{"temperature":85.0,"state":"idle"}')


ALARMS = [("alarm/1", b'{"x":1}'), ("alarm/2", b'{"x":2.5}')]
OTHERS = [
    ("alarm/1", b'{"x":"?"}'),
    ("alarm/1", b'{"x":1,"y":2}'),
    (TOPIC, GOOD),
    ("x", b"1"),
    ("many/1", b'{"readings":[]}'),
]


@given(
    spoken=st.lists(st.sampled_from(ALARMS) | st.sampled_from([*ALARMS, *OTHERS]), min_size=1, max_size=12),
    keeps_raw=st.booleans(),
    is_replayed=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_a_read_comes_to_what_its_messages_come_to_one_by_one(spoken, keeps_raw, is_replayed):
    """Messages that are all alike are read at once; nothing may differ by who spoke beside them."""
    read = [Received(topic, payload, number, len(payload), number) for number, (topic, payload) in enumerate(spoken)]
    decode = ContractDecoder(CATALOGUE, keeps_raw=keeps_raw)

    whole = decode(read, STAMP, Lane.NORMAL, is_replayed=is_replayed)
    alone = [decode([message], STAMP, Lane.NORMAL, is_replayed=is_replayed) for message in read]

    assert whole.events == [event for decoded in alone for event in decoded.events]
    assert (whole.odd is None) is all(decoded.odd is None for decoded in alone)
    assert whole.is_mixed is any(decoded.is_mixed for decoded in alone)


@pytest.mark.parametrize("payload", [b'{"a" : 1}', b"\xff\x00", b""])
def test_what_no_profile_names_passes_byte_for_byte(payload):
    (event,) = ContractDecoder(CATALOGUE)([heard("a/b", payload)], STAMP, Lane.LOW).events

    assert (event.address, event.data, event.lane) == (Address("a.b", "generic", "a/b"), payload, Lane.LOW)
    assert event.is_json is payload.startswith(b"{")


def test_a_breach_is_refused_and_its_neighbours_are_not():
    read = [heard(TOPIC, GOOD, 1), heard(TOPIC, b'{"temperature":999,"state":"idle"}', 2), heard("x", b"1", 3)]

    decoded = ContractDecoder(CATALOGUE)(read, STAMP, Lane.NORMAL)

    assert [event.content_id for event in decoded.events] == [1, 3]
    assert decoded.odd is not None
    assert decoded.odd.causes == [0, 2]
    detail = "temperature is 999, above its max of 150"
    assert decoded.odd.refused == [Refused(1, "boiler", 2, "out_of_range", detail, Lane.NORMAL, "b1")]


def test_a_message_with_several_readings_gives_as_many_events():
    read = [heard("many/d", b'{"readings":[{"x":1},{"x":2}]}', 1), heard("many/d", b'{"readings":[{"x":3}]}', 2)]

    decoded = ContractDecoder(CATALOGUE)(read, STAMP, Lane.NORMAL)

    assert [event.data for event in decoded.events] == [b'{"x":1.0}', b'{"x":2.0}', b'{"x":3.0}']
    assert decoded.odd is not None
    assert decoded.odd.causes == [0, 0, 1]


def test_one_bad_reading_refuses_the_message_as_a_whole():
    """Half of it as events and the whole as a dead letter would come twice when it is replayed."""
    read = [heard("many/d", b'{"readings":[{"x":1},{"x":"y"}]}')]

    decoded = ContractDecoder(CATALOGUE)(read, STAMP, Lane.NORMAL)

    assert decoded.events == []
    assert decoded.odd is not None
    assert [one.code for one in decoded.odd.refused] == ["wrong_type"]


def test_a_profile_may_choose_the_lane():
    decoded = ContractDecoder(CATALOGUE)([heard("alarm/a", b'{"x":1}'), heard("b", b"1")], STAMP, Lane.NORMAL)

    assert [event.lane for event in decoded.events] == [Lane.HIGH, Lane.NORMAL]
    assert decoded.is_mixed
    assert not ContractDecoder(CATALOGUE)([heard("alarm/a", b'{"x":1}')], STAMP, Lane.HIGH).is_mixed


POLICIES = [("accept", 1, 0, []), ("quarantine", 0, 1, []), ("reject", 0, 0, [0])]


@pytest.mark.parametrize("topic", ["a/b", "m/d"])
@pytest.mark.parametrize(("unknown", "events", "refused", "rejected"), POLICIES)
def test_unknown_devices_are_accepted_quarantined_or_rejected(topic, unknown, events, refused, rejected):
    decoded = ContractDecoder(CATALOGUE, unknown=unknown)([heard(topic, b'{"m":2}')], STAMP, Lane.NORMAL)

    odd = decoded.odd
    assert len(decoded.events) == events
    assert (odd is None) is (unknown == "accept")
    assert odd is None or ([one.code for one in odd.refused], odd.rejected) == (["unknown_device"] * refused, rejected)


def test_other_contracts_count_from_the_next_message_on():
    decoder = ContractDecoder(Catalogue())
    (before,) = decoder([heard(TOPIC, GOOD)], STAMP, Lane.NORMAL).events

    decoder.use(CATALOGUE)

    (after,) = decoder([heard(TOPIC, GOOD)], STAMP, Lane.NORMAL).events
    assert (before.address.type, after.address.type) == ("generic", "boiler")


def test_what_was_a_dead_letter_is_marked():
    decoder = ContractDecoder(CATALOGUE)
    read = [heard(TOPIC, GOOD), heard("a/b", b"1"), heard("many/d", b'{"readings":[{"x":1}]}')]

    decoded = decoder(read, STAMP, Lane.NORMAL, is_replayed=True)

    assert [event.extra for event in decoded.events] == [Extra(None, True)] * 3


class Settled:
    """A settler that notes what it is told."""

    source = "test"

    def __init__(self) -> None:
        self.told: list[int] = []
        self.flushed = 0

    def settled(self, first: int, count: int) -> None:
        self.told += range(first, first + count)

    def flush(self) -> None:
        self.flushed += 1


def test_a_message_is_settled_with_the_last_of_its_events():
    """P1: a PUBACK after the first of two events would promise the second."""
    settler = Settled()
    causes = Causes(settler, 100, [0, 0, 2, 2, 2])

    causes.settled(1, 2)
    assert settler.told == []
    causes.settled(0, 1)
    assert settler.told == [100]
    causes.settled(3, 2)
    causes.flush()

    assert (settler.told, settler.flushed) == ([100, 102], 1)


def test_damaged_bytes_are_of_whom_they_seem_to_be_of_and_of_no_contract() -> None:
    """A person looks for them under the profile of the device; that no contract was asked is what stops a replay."""
    catalogue = Catalogue(
        [contract("profile: scale\nlane: high\nfields: {weight: {type: float}}\n")],
        assigned={"serial/a": Assigned("scale", "scale-1", "a")},
    )
    damaged = [Damaged(Received(f"serial/{name}", b"\xff", 0, 1), "checksum", "why") for name in ("a", "b")]

    decoded = ContractDecoder(catalogue).refused(damaged, Lane.NORMAL)

    assert decoded.events == []
    assert decoded.odd is not None
    assert decoded.odd.refused == [
        Refused(0, "scale", 0, "checksum", "why", Lane.HIGH, "scale-1"),
        Refused(1, "", 0, "checksum", "why", Lane.NORMAL, ""),
    ]
