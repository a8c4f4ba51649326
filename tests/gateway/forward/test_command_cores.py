"""What commands from upstream are made of, as plain values: topics, payloads, ages, the subscription, the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_order_kit import NS, TEMPLATE, TOPIC, order_of
from fieldgate.decide.orders import Answer, Status
from fieldgate.forward.backlog_watch import BacklogWatch
from fieldgate.forward.command_payload import Asked, BadCommand, id_in, read_payload
from fieldgate.forward.command_reader import CommandReader, Doubtful
from fieldgate.forward.command_requests import Receipt
from fieldgate.forward.command_topics import Ambiguous, CommandTopics, DeviceNames
from fieldgate.forward.topic_template import TopicTemplate
from fieldgate.mqtt.packets import Publish
from fieldgate.mqtt.topics import matches, valid_topic
from fieldgate_devices.event import Address
from order_desk_kit import WALL_NS
from uplink_kit import make_event

# -- topics -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", [TEMPLATE, "{name}/x/{device}", "a/{gateway}/{device}/{name}/b"])
@given(device=st.text(min_size=1, max_size=20), name=st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True))
def test_the_topic_of_a_command_leads_back_to_its_device(template: str, device: str, name: str) -> None:
    """The platform writes the device as it stands in the topics of its events."""
    if device.startswith("$") and template.startswith("{device}"):
        return
    topics = CommandTopics(template, gateway="gw")
    event = make_event(1, address=Address(device, "t", "x"))
    of_event = TopicTemplate("{gateway}/{device}", gateway="gw").of_run([event])
    level = of_event[0][2:].decode().split("/", 1)[1]
    topic = topics.command(device, name)

    read = topics.read(topic)

    assert read == (level, name)
    assert DeviceNames(lambda: [device, "other"], lambda: 1).of_level(level) == device
    assert not matches(topics.filter, topics.answer(topic))
    assert valid_topic(topics.answer(topic))


def test_a_level_that_means_two_devices_is_no_guess() -> None:
    """A valve that is not meant must not open."""
    names = DeviceNames(lambda: ["a/b", "a.b", "x/y"], lambda: 1)

    with pytest.raises(Ambiguous, match=r"'a\.b' or 'a/b'"):
        names.of_level("a.b")
    assert names.of_level("x.y") == "x/y"
    assert names.of_level("unknown") == "unknown"


def test_devices_that_come_later_are_found() -> None:
    """What is known is looked at again when it has changed, and only then: a flood must not pay for it."""
    known, looks = ["a/b"], []

    def names() -> Iterator[str]:
        looks.append(1)
        return iter(known)

    found = DeviceNames(names, lambda: len(known))
    assert found.of_level("c.d") == "c.d"
    for _ in range(100):
        found.of_level("c.d")
    before = len(looks)
    known.append("c/d")

    assert found.of_level("c.d") == "c/d"
    assert before == 1


def test_a_topic_of_something_else_is_no_command() -> None:
    """Sessions are kept: an earlier configuration may have subscribed to more."""
    topics = CommandTopics(TEMPLATE, gateway="gw")

    assert topics.read("fieldgate/gw/v1/message") is None
    assert topics.read("fieldgate/gw2/v1/command/set") is None
    assert topics.read(f"{TOPIC}/answer") is None


# -- payloads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "asked"),
    [
        (b"", Asked({})),
        (b"{}", Asked({})),
        (b'{"position": 40}', Asked({"position": 40})),
        (b'{"position": 40, "id": "a7"}', Asked({"position": 40}, "a7")),
        (b'{"id": 7}', Asked({}, "7")),
        (b'{"arguments": {"id": 3, "at": 1}, "id": "a"}', Asked({"id": 3, "at": 1}, "a")),
        (b'{"arguments": {}, "max_age": 5}', Asked({}, "", None, 5.0)),
        (b'{"arguments": {}, "at": "2026-01-01T01:00:00.5+01:00"}', Asked({}, "", WALL_NS + NS // 2)),
        (b'{"at": 1, "max_age": 2}', Asked({"at": 1, "max_age": 2})),
    ],
)
def test_a_payload_says_this(payload: bytes, asked: Asked) -> None:
    """Both forms, and what of them is the command's own."""
    assert read_payload(payload) == asked


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "allowed: 65,536"),
        (b"[" * 60_000, "not JSON"),
        (b"null", "not a JSON object"),
        (b'"on"', "not a JSON object"),
        (b'{"arguments": []}', "'arguments' is not a JSON object"),
        (b'{"arguments": {}, "position": 1}', "'position' stands beside 'arguments'"),
        (b'{"id": true}', "neither a text nor a whole number"),
        (b'{"id": 1.5}', "neither a text nor a whole number"),
        (b'{"id": ""}', "'id' has 0 characters"),
        (b'{"id": "%s"}' % (b"x" * 257), "'id' has 257 characters"),
        (b'{"id": %s}' % (b"9" * 5000), "not JSON"),
        (b'{"arguments": {}, "at": "2026-01-01T01:00:00"}', "'at' is not a time"),
        (b'{"arguments": {}, "at": 5}', "'at' is not a time"),
        (b'{"arguments": {}, "max_age": 0}', "'max_age' is not a number of seconds"),
        (b'{"arguments": {}, "max_age": "5s"}', "'max_age' is not a number of seconds"),
        (b'{"arguments": {}, "max_age": 1e300}', "'max_age' is not a number of seconds"),
        (b'{"arguments": {}, "max_age": 86401}', "at most 86,400"),
        (b'{"arguments": {}, "at": "9999-12-31T23:59:59Z"}', "allowed: from 1970 to 2262"),
        (b'{"arguments": {}, "at": "0001-01-01T00:00:00+14:00"}', "allowed: from 1970 to 2262"),
        (b'{"a": %s1%s}' % (b"[" * 33, b"]" * 33), "nested too deep"),
        (b'{"arguments": {"a": %s1%s}}' % (b'{"a":' * 900, b"}" * 900), "nested too deep"),
    ],
)
def test_what_is_no_command_is_told_with_what_is_wrong(payload: bytes, words: str) -> None:
    """The answer is all that its sender sees."""
    with pytest.raises(BadCommand) as refused:
        read_payload(payload)

    assert words in str(refused.value)


_JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists, max_leaves=8)


@settings(max_examples=60)
@given(st.binary(max_size=50) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_command_or_a_refusal(payload: bytes) -> None:
    """Never a crash: anybody with the right may publish there."""
    with suppress(BadCommand):
        read_payload(payload)
    assert isinstance(id_in(payload), str)


# -- how old it may be --------------------------------------------------------------------------------------------


def test_a_name_that_no_device_can_have_goes_no_further_and_its_trace_is_short() -> None:
    """A topic may have 64 KB: the record must not."""
    topics = CommandTopics(TEMPLATE, gateway="gw")
    reader = CommandReader(topics, DeviceNames(list, lambda: 0), origin="uplink:cloud", new_id=lambda: "own")
    packet = Publish(TOPIC.replace("v1", "x" * 60_000), b"{}", qos=1, packet_id=1)
    receipt = Receipt(1000 * NS, WALL_NS, True, 0.0)
    request = reader.request(packet)
    assert request is not None
    with pytest.raises(BadCommand, match="at most 512 characters"):
        reader.order(packet, request, receipt, is_doubtful=False)
    answer = Answer(id="", device=request.device, name=request.name, status=Status.REFUSED, at_ns=1)
    trace = reader.trace(request, answer, receipt)

    assert (trace.device, trace.origin, trace.arguments) == ("x" * 512, "uplink:cloud", {})


def test_a_command_of_now_is_as_old_as_its_receipt() -> None:
    """Without a word of its sender the desk's own limit counts."""
    order = order_of()

    assert (order.received_boot_ns, order.made_at_ns, order.max_age_s) == (1000 * NS, None, None)


def test_what_may_have_waited_counts_as_that_old() -> None:
    """Nobody says when it was published."""
    order = order_of(receipt=Receipt(1000 * NS, WALL_NS, True, 300.0))

    assert order.received_boot_ns == 700 * NS


def test_what_its_sender_says_counts_where_the_clock_is_set() -> None:
    """The sender knows best; without the time here that helps nobody."""
    payload = b'{"arguments": {}, "at": "2025-12-31T23:59:50Z", "max_age": 30}'

    known = order_of(payload, receipt=Receipt(1000 * NS, WALL_NS, True, 300.0))
    unknown = order_of(payload, receipt=Receipt(1000 * NS, WALL_NS, False, 300.0))

    assert (known.received_boot_ns, known.made_at_ns, known.max_age_s) == (1000 * NS, WALL_NS - 10 * NS, 30.0)
    assert unknown.received_boot_ns == 700 * NS


@pytest.mark.parametrize(
    ("oldest_s", "payload", "expiry_s", "max_age_s"),
    [
        (0.0, b"{}", 20, 20.0),
        (300.0, b"{}", 20, 320.0),
        (300.0, b'{"arguments": {}, "max_age": 310}', 20, 310.0),
        (300.0, b'{"arguments": {}, "at": "2025-12-31T23:59:50Z"}', 20, 30.0),
    ],
)
def test_what_is_left_of_the_message_expiry_is_what_is_left_of_the_command(
    oldest_s: float, payload: bytes, expiry_s: int, max_age_s: float
) -> None:
    """The broker has subtracted what the message waited there [MQTT-3.3.2-6]; the age counts from before that."""
    order = order_of(payload, receipt=Receipt(1000 * NS, WALL_NS, True, oldest_s), message_expiry_s=expiry_s)

    assert order.max_age_s == max_age_s


@pytest.mark.parametrize(
    ("correlation", "order_id"),
    [
        (b"r-1", "r-1"),
        ("für".encode(), "für"),
        (b"\xff\x00", "ff00"),
        (b"a\nb", "610a62"),
        (b"\x00" * 128, "00" * 128),
        (b"x" * 256, "x" * 256),
        (b"", "from-payload"),
    ],
)
def test_the_correlation_data_is_the_id(correlation: bytes, order_id: str) -> None:
    """As text where it is one, so that people find it again."""
    order = order_of(b'{"id": "from-payload"}', correlation_data=correlation)

    assert (order.id, order.correlation, order.is_ours) == (order_id, correlation, False)


@pytest.mark.parametrize("correlation", [b"x" * 257, b"\xff" * 129])
def test_correlation_data_that_is_too_long_is_refused(correlation: bytes) -> None:
    """It is written to disk for each command, and is the sender's to choose."""
    with pytest.raises(BadCommand, match="256 characters"):
        order_of(correlation_data=correlation)


def test_without_an_id_what_may_have_been_done_is_not_repeated() -> None:
    """With one the desk knows."""
    with pytest.raises(Doubtful):
        order_of(is_doubtful=True)
    assert order_of(b'{"id": "a"}', is_doubtful=True).id == "a"


class Pongs:
    """As much of a session as a backlog's end needs."""

    pings = pongs = 0


def test_a_backlog_is_at_its_end_when_nothing_came_before_the_pong() -> None:
    """And nothing waits: what the server still has it sends when it reads our acknowledgement."""
    session, watch = Pongs(), BacklogWatch(away_since_s=100.0)
    watch.connected(is_session_present=True, kept_s=None)

    def look(received: int, *, is_idle: bool = True) -> bool:
        asks = watch.wants_pong(session, received=received, is_idle=is_idle)  # type: ignore[arg-type]
        session.pings += asks
        return asks

    assert watch.oldest_s(400.0) == 300.0
    assert look(0)
    assert not look(1, is_idle=False)
    session.pongs = 1
    assert look(1)  # something came meanwhile: asked again
    assert not look(1)
    assert watch.is_open
    session.pongs = 2
    assert not look(1)
    assert not watch.is_open
    assert watch.oldest_s(400.0) == 0.0


def test_an_outage_during_the_backlog_does_not_make_it_younger() -> None:
    """A flapping link: what waited since the first outage still does."""
    watch = BacklogWatch()
    watch.connected(is_session_present=False, kept_s=3600.0)
    assert watch.oldest_s(10.0) == 0.0
    watch.lost(50.0)
    watch.connected(is_session_present=True, kept_s=3600.0)
    watch.lost(90.0)
    watch.connected(is_session_present=True, kept_s=3600.0)

    assert watch.oldest_s(100.0) == 50.0


def test_an_unknown_outage_is_as_long_as_the_server_keeps_a_session() -> None:
    """Or a year, where it does not say."""
    for kept_s, oldest_s in ((3600.0, 3600.0), (None, 365 * 86_400.0)):
        watch = BacklogWatch()
        watch.connected(is_session_present=True, kept_s=kept_s)

        assert watch.oldest_s(7.0) == oldest_s
