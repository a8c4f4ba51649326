"""Messages of tests and recordings are read as the gateway reads them: the same events, the same refusals."""

from __future__ import annotations

import pytest

from fieldgate.ingest.decode import ContractDecoder
from fieldgate.ingest.source import Received
from fieldgate_devices.breach import Breach
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.event import Lane, Stamp
from fieldgate_devices.examples import example_payload, topic_of
from fieldgate_devices.reading import read_catalogue, read_profile
from fieldgate_rules.tester.messages import Messages, Said

STAMP = Stamp(1, 0, 0)
MORE = b"""\
profile: urgent
match: {mqtt: "urgent/{device}"}
lane: high
fields:
  temperature: {type: float, max: 100}
"""
CATALOGUE, _ = read_catalogue(builtin_profiles(), {"urgent.yaml": MORE})
PROFILES = sorted(builtin_profiles())
OTHERS = [
    ("urgent/a", b'{"temperature": 5}'),
    ("urgent/a", b'{"temperature": 500}'),
    ("urgent/a", b'{"temperature": 5, "temperature": 6}'),
    ("nobody/knows", b'{"a": 1}'),
    ("nobody/knows", b"\xff\x00"),
    ("nobody/knows", b""),
]


def by_gateway(topic: str, payload: bytes) -> list[Said] | str:
    decoded = ContractDecoder(CATALOGUE)([Received(topic, payload, 0, 0)], STAMP, Lane.LOW)
    if decoded.odd is not None and decoded.odd.refused:
        return decoded.odd.refused[0].detail
    return [
        Said(one.address, one.data, one.is_json, one.lane, None if one.extra is None else one.extra.at_ns)
        for one in decoded.events
    ]


def by_tester(messages: Messages, topic: str, payload: bytes) -> list[Said] | str:
    try:
        return messages.read(topic, payload, lane=Lane.LOW)
    except Breach as breach:
        return breach.detail


def examples(path: str) -> list[tuple[str, bytes]]:
    """The messages of a profile's examples, with their topics."""
    contract = read_profile(builtin_profiles()[path], path).contract
    assert contract is not None
    profile = contract.profile
    return [(one.topic or topic_of(contract), example_payload(one, profile)) for one in profile.examples]


@pytest.mark.parametrize("path", PROFILES)
def test_every_example_of_a_profile_gives_the_same_events(path):
    """A rule that passes its tests must see in the gateway what it saw in them."""
    messages = Messages(CATALOGUE)
    found = examples(path)

    assert found
    for topic, payload in found:
        for _ in range(2):  # the second time what is known of the topic is used
            assert by_tester(messages, topic, payload) == by_gateway(topic, payload)


@pytest.mark.parametrize(("topic", "payload"), OTHERS)
def test_lanes_breaches_and_devices_without_a_profile_are_the_same_too(topic, payload):
    assert by_tester(Messages(CATALOGUE), topic, payload) == by_gateway(topic, payload)
