"""What a source makes of what its broker sends: a session of ours, a broker by hand, an intake that waits."""

from __future__ import annotations

import pytest
import zstandard

from fieldgate.ingest.last_seen import LastSeen
from fieldgate.ingest.source_inbox import SourceLimits
from fieldgate.mqtt.client_happenings import Ended, Happening
from fieldgate.mqtt.packets import (
    Disconnect,
    Packet,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Reason,
)
from source_kit import OWN_RUN
from source_line import Line, message

# -- acknowledging -----------------------------------------------------------------------------------------


def test_one_read_is_one_batch_and_one_write() -> None:
    """Nothing is done per message that a read can share."""
    line = Line()
    line.give(*(message(n, b"%d" % n) for n in range(1, 31)))

    assert [len(received) for _, _, received in line.intake.batches] == [30]
    assert line.taken() == []
    assert line.settle_all() == [PubAck(n) for n in range(1, 31)]


def test_acknowledgements_leave_in_order_of_receipt_whatever_settles_first() -> None:
    """[MQTT-4.6.0-2], with QoS 0 and what is no event in between."""
    line = Line()
    line.give(message(5))
    line.give(message(0, qos=0))
    line.give(message(3, topic="other"), message(9, qos=2), message(2))

    line.intake.settle(2)
    line.intake.settle(1)
    assert line.taken() == []
    line.intake.settle(0)

    assert line.taken() == [PubAck(5), PubAck(3), PubRec(9), PubAck(2)]


@pytest.mark.parametrize("version", [4, 5])
def test_what_comes_again_while_the_first_copy_waits_joins_it(version: int) -> None:
    """A cut during redelivery, twice: one event, acknowledged on the connection that is there."""
    line = Line(version)
    line.give(message(1, b"a"), message(2, b"b"), message(3, b"c"))
    for _ in range(2):
        line.connect()
        line.give(message(1, b"a", dup=True), message(2, b"b", dup=True))
        assert line.taken() == []

    acks = line.settle_all()

    assert line.intake.heard == []
    assert acks == [PubAck(1), PubAck(2)]
    line.give(message(3, b"c", dup=True))
    assert line.taken() == [PubAck(3)]  # it was safe all the while
    assert (line.state.tally.events, line.state.tally.joined) == (3, 5)


@pytest.mark.parametrize(
    ("session", "again"),
    [
        (False, message(1, b"a", dup=True)),  # the broker has forgotten the session: its ids mean nothing
        (True, message(1, b"b", dup=True)),  # other content under the id
        (True, message(1, b"a")),  # not marked as sent again
        (True, message(1, b"a", topic="sensors/b", dup=True)),
    ],
)
def test_what_is_not_the_same_message_is_never_swallowed(session: bool, again: Publish) -> None:
    """Rather a copy too many than an event too few."""
    line = Line()
    line.give(message(1, b"a"))

    line.connect(session=session)
    line.give(again)

    assert len(line.intake.heard) == 2
    assert line.settle_all() == [PubAck(1)]


def test_the_mutant_that_joins_by_id_alone_would_swallow_a_message() -> None:
    """The control of the test above: what is compared is the content, not only the id."""
    line = Line()
    line.give(message(1, b"a"))
    line.connect()
    line.state.owed[1].content_id = line.inbox._content_id(line.state.topics.known["sensors/a"], 1, b"b")  # type: ignore[union-attr]

    line.give(message(1, b"b", dup=True))

    assert line.intake.payloads == [b"a"]


def test_a_copy_after_the_acknowledgement_is_a_new_event() -> None:
    """The PUBACK may have been lost on its way: at least once."""
    line = Line()
    line.give(message(1, b"a"))
    assert line.settle_all() == [PubAck(1)]
    line.connect()

    line.give(message(1, b"a", dup=True))

    assert len(line.intake.heard) == 1
    assert line.settle_all() == [PubAck(1)]


def test_a_settled_message_of_an_old_connection_is_not_acknowledged_on_the_new_one() -> None:
    """The id may be another message's there."""
    line = Line()
    line.give(message(1, b"a"))
    line.connect()

    assert line.settle_all() == []


# -- QoS 2 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 5])
def test_qos_2_makes_one_event_whatever_is_repeated(version: int) -> None:
    """[MQTT-4.3.3-8 ff.]: from PUBLISH to PUBREL the id stands for one message, over connections."""
    line = Line(version)
    line.give(message(7, b"a", qos=2))
    line.give(message(7, b"a", qos=2, dup=True))
    line.connect()
    line.give(message(7, b"a", qos=2, dup=True))
    assert line.settle_all() == [PubRec(7)]
    line.give(message(7, b"a", qos=2, dup=True))  # the PUBREC was lost
    assert line.taken() == [PubRec(7)]
    line.connect()
    line.give(PubRel(7))
    assert line.taken() == [PubComp(7)]
    line.give(PubRel(7))
    assert line.taken() == [PubComp(7, Reason.PACKET_ID_NOT_FOUND if version == 5 else 0)]
    assert line.state.tally.events == 1

    line.give(message(7, b"a", qos=2))

    assert line.state.tally.events == 2


def test_messages_of_qos_2_that_are_never_released_are_bounded() -> None:
    """Each costs memory for as long as the session lives."""
    line = Line(4, limits=SourceLimits(receive_maximum=65_535, max_unsettled_bytes=1 << 30))
    happenings: list[Happening] = []
    for first in range(1, 6000, 500):
        happenings = line.give(*(message(n, qos=2) for n in range(first, first + 500)))
        line.settle_all()
        if happenings:
            break

    assert isinstance(happenings[0], Ended)
    assert "never released" in happenings[0].text
    assert len(line.state.unreleased) < 5000


# -- back-pressure -----------------------------------------------------------------------------------------


def test_a_closed_intake_is_given_nothing_and_nothing_is_acknowledged() -> None:
    """`reject_new` with a full journal: the broker keeps what we do not take."""
    line = Line()
    line.intake.open = False
    line.give(message(1), message(2))
    assert (line.intake.heard, line.taken()) == ([], [])

    line.intake.open = True
    assert line.inbox is not None
    line.inbox.retry()

    assert len(line.intake.heard) == 2
    assert line.settle_all() == [PubAck(1), PubAck(2)]


def test_what_was_held_when_the_connection_ended_comes_again_and_counts_then() -> None:
    """It was heard and never kept: neither joined nor taken for known."""
    line = Line()
    line.intake.open = False
    line.give(message(1, b"a", retain=True))
    line.connect()
    line.intake.open = True

    line.give(message(1, b"a", retain=True, dup=True))

    assert line.intake.payloads == [b"a"]
    assert line.state.tally.unsaved == 1


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1])
def test_reading_pauses_at_the_byte_limit_and_goes_on_below_half_of_it(version: int, qos: int) -> None:
    """3.1.1 and QoS 0 know no other limit."""
    line = Line(version, limits=SourceLimits(max_unsettled_bytes=10_000))
    for n in range(1, 12):
        line.give(message(n if qos else 0, b"x" * 900, qos=qos))
        if not line.is_reading:
            break

    assert not line.is_reading
    assert line.intake.stalls
    for batch in range(3):
        line.intake.settle(batch)
    line.taken()
    assert not line.is_reading
    line.settle_all()
    assert line.is_reading


def test_a_broker_that_exceeds_our_receive_maximum_is_not_read_rather_than_thrown_out() -> None:
    """mosquitto 2.0 does when a session resumes; thrown out, it would do it again for ever."""
    line = Line(5, limits=SourceLimits(receive_maximum=10))

    assert line.give(*(message(n) for n in range(1, 16))) == []

    assert not line.is_reading
    assert len(line.settle_all()) == 15
    assert line.is_reading


def test_a_window_that_is_full_hurries_the_commit() -> None:
    """Learned at 20 as for devices; our own Receive Maximum is known without learning."""
    line = Line()
    stalls = []
    for _ in range(4):
        line.give(*(message(n) for n in range(1, 21)))
        stalls.append(line.intake.stalls)
        line.settle_all()
    small = Line(5, limits=SourceLimits(receive_maximum=3))
    small.give(*(message(n) for n in range(1, 4)))

    assert stalls == [0, 1, 2, 3]
    assert small.intake.stalls == 1


# -- retained ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 5])
def test_a_replay_is_an_event_only_if_it_differs_from_what_was_last_heard(version: int) -> None:
    """Each SUBSCRIBE of a 3.1.1 session brings them all; a live message always counts."""
    line = Line(version)
    line.give(message(1, b"20", retain=True))
    line.connect(session=False)
    line.give(message(9, b"20", retain=True))  # known
    line.give(message(2, b"20"))  # live
    line.give(message(3, b"21"))
    line.connect(session=False)
    line.give(message(1, b"21", retain=True), message(2, b"7", "sensors/b", retain=True))

    assert line.intake.payloads == [b"20", b"20", b"21", b"7"]
    assert line.state.tally.skipped_retained == 2
    line.connect(session=False)
    line.give(message(1, b"20", retain=True))
    assert line.intake.payloads[-1] == b"20"


def test_what_is_skipped_is_acknowledged() -> None:
    """Otherwise the broker's window would fill with it."""
    line = Line()
    line.give(message(1, b"20", retain=True))
    line.give(message(2, b"20", retain=True))

    assert line.settle_all() == [PubAck(1), PubAck(2)]


def test_memory_of_what_was_heard_is_bounded() -> None:
    """A hostile broker has a topic for each message."""
    line = Line()
    seen = line.state.last_seen = LastSeen(limit=200)
    for first in range(0, 1000, 50):
        line.give(*(message(0, topic=f"sensors/{first + n}", qos=0) for n in range(50)))

    assert len(seen.young) + len(seen._old) <= 500
    assert seen.get("sensors/999") is not None
    assert seen.get("sensors/0") is None


def test_the_publishers_expiry_comes_along() -> None:
    """An uplink with ``honour_expiry`` needs it."""
    line = Line()

    line.give(message(1), message(2, properties=Properties(message_expiry_s=60)), message(3))

    assert [one.expiry_s for one in line.intake.heard] == [None, 60, None]


# -- what comes back ---------------------------------------------------------------------------------------

OURS = b'{"specversion":"1.0","id":"0123456789abcdef-7","source":"fieldgate/gw/a","type":"fieldgate.message","data":1}'
SPEAKS_OF_US = b'{"note":"fieldgate/gw/a","source":"x"}'


@pytest.mark.parametrize(
    "echo",
    [
        message(1, OURS),
        message(1, OURS.replace(b",", b" ,\n ")),  # a bridge that writes JSON anew
        message(1, b"[%b,%b]" % (OURS, OURS)),
        message(1, zstandard.compress(b"[%b]" % OURS)),
        message(1, b"raw", properties=Properties(user=(("x", "y"), ("fieldgate-id", f"{OWN_RUN:016x}-7")))),
        message(1, b"1", properties=Properties(user=(("id", "7"), ("source", "fieldgate/gw/a")))),
        message(1, b"any", topic="fieldgate/gw/b/message"),
        message(1, b"any", topic="up/x"),
    ],
    ids=["json", "json anew", "batch", "zstd", "raw", "binary", "own topic", "uplink's topic"],
)
def test_our_own_events_are_dropped_and_acknowledged_however_they_come_back(echo: Publish) -> None:
    """Fault 49: a bridge that sends them back must not make two of one, four of two …"""
    line = Line(mqtt={"subscribe": ["sensors/#", "fieldgate/#", "up/#"]})

    line.give(message(9), echo, message(8))

    assert len(line.intake.heard) == 2
    assert line.state.tally.looped == 1
    assert line.settle_all() == [PubAck(9), PubAck(1), PubAck(8)]


@pytest.mark.parametrize(
    "other",
    [
        message(1, OURS.replace(b"/gw/", b"/gw2/").replace(b"0123456789abcdef", b"fedcba9876543210")),
        message(1, SPEAKS_OF_US),
        message(1, b'"fieldgate/gw/a"'),
        message(1, b'"fieldgate/gw/ not JSON'),
        message(1, zstandard.compress(b"[1]")),
        message(1, b"\x28\xb5\x2f\xfdnot zstd"),
        message(1, b"x", properties=Properties(user=(("fieldgate-id", "ffffffffffffffff-7"),))),
        message(1, b"x", properties=Properties(user=(("fieldgate-id", "ours"),))),
        message(1, b"x", topic="fieldgate/gw2/b/message"),
    ],
)
def test_events_of_other_gateways_and_texts_about_us_are_events(other: Publish) -> None:
    """A gateway may well read what others have published."""
    line = Line(mqtt={"subscribe": ["sensors/#", "fieldgate/#"]})

    line.give(other)

    assert len(line.intake.heard) == 1


# -- a broker that breaks the rules ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (message(2, properties=Properties(topic_alias=1)), Reason.TOPIC_ALIAS_INVALID),
        (PubComp(1), Reason.PROTOCOL_ERROR),
    ],
)
def test_a_broken_rule_ends_the_connection_and_keeps_what_came_before(bad: Packet, reason: Reason) -> None:
    """The events before it are on their way; the broker is told why."""
    line = Line()

    (ended,) = line.give(message(1), bad)

    assert isinstance(ended, Ended)
    assert len(line.intake.heard) == 1
    assert line.taken()[-1] == Disconnect(reason)
