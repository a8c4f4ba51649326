"""Which publishes are events."""

from __future__ import annotations

import pytest

from fieldgate.ingest.event_filter import EventFilter, TopicRefused
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.violation import Violation


@pytest.mark.parametrize(
    ("filters", "topic", "is_event"),
    [
        (("#",), "site/1", True),
        (("#",), "/", True),
        (("#",), "$aws/things", False),
        (("#",), "homeassistant/sensor/x/config", False),
        (("#",), "homeassistant", False),
        (("#",), "homeassistants/x", True),
        (("#",), "fieldgate/plant/x", False),
        (("#", "homeassistant/#"), "homeassistant/x", True),
        (("$aws/#",), "$aws/things", True),
        (("a/+", "b"), "a/1", True),
        (("a/+", "b"), "a/1/2", False),
        ((), "a", False),
    ],
)
def test_the_filters_of_the_entry_decide(filters: tuple[str, ...], topic: str, is_event: bool) -> None:
    """DESIGN 3; asked twice, because answers are remembered."""
    events = EventFilter(filters)

    assert [events.seed(topic) is not None for _ in range(2)] == [is_event] * 2


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("", Reason.TOPIC_NAME_INVALID),
        ("a/#", Reason.TOPIC_NAME_INVALID),
        ("+", Reason.TOPIC_NAME_INVALID),
        ("a\0b", Reason.TOPIC_NAME_INVALID),
        ("a/b/c/d", Reason.TOPIC_NAME_INVALID),
        ("a\tb", Reason.MALFORMED_PACKET),
    ],
)
def test_a_topic_that_no_client_should_send_is_a_violation(topic: str, reason: Reason) -> None:
    with pytest.raises(Violation) as caught:
        EventFilter(("#",), max_levels=3).seed(topic)

    assert caught.value.reason == reason
    assert not isinstance(caught.value, TopicRefused)


@pytest.mark.parametrize("topic", ["$SYS", "$SYS/x", "$share/g/t"])
def test_a_topic_of_the_broker_is_refused(topic: str) -> None:
    """Whoever tries may stay."""
    with pytest.raises(TopicRefused) as caught:
        EventFilter(("#",)).seed(topic)

    assert caught.value.reason == Reason.NOT_AUTHORIZED


def test_what_is_remembered_is_bounded() -> None:
    """A device that puts a counter into its topic must not eat the memory."""
    events = EventFilter(("a/#",))

    for one in range(20_000):
        events.seed(f"a/{one}")
        events.seed(f"b/{one}")
    for one in range(100):
        events.seed("a/" + "x" * 300 + f"{one}")

    assert len(events.seeds) + len(events._others) <= 8192
    assert not any(len(topic) > 256 for topic in events.seeds)


def test_seeds_differ_between_topics_and_not_between_processes() -> None:
    """They are part of the content id; the figure is a constant of xxh3."""
    events, again = EventFilter(("#",)), EventFilter(("#",))

    assert events.seed("a") == again.seed("a") == 16_629_034_431_890_738_719
    assert events.seed("a") != events.seed("b")
