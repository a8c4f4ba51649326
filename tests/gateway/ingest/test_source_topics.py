"""Which messages of a source are events, and under which topic."""

from __future__ import annotations

from typing import Any

import pytest

from fieldgate.ingest.source_topics import SourceTopics
from fieldgate.mqtt.violation import Violation
from source_kit import source_config


def topics(*, own: tuple[str, ...] = (), subscribe: tuple[str, ...] = ("#",), **changes: Any) -> SourceTopics:
    return SourceTopics(source_config(1, mqtt={"subscribe": list(subscribe)}, **changes), own=own)


def name(made: SourceTopics, topic: str) -> str | None:
    """Asked twice, because answers are remembered."""
    first, again = made.place(topic), made.place(topic)
    assert first == again
    return None if first is None else first[1]


@pytest.mark.parametrize(
    ("subscribe", "events", "topic", "is_event"),
    [
        (("#",), None, "a/b", True),
        (("#",), None, "homeassistant/x", False),
        (("#",), None, "fieldgate/other/x", False),
        (("+/x",), None, "fieldgate/x", False),
        (("#", "fieldgate/#"), None, "fieldgate/other/x", True),
        (("homeassistant/#",), None, "homeassistant/x", True),
        (("$share/g/#",), None, "a", True),
        (("$share/g/fieldgate/+",), None, "fieldgate/x", True),
        (("$SYS/#",), None, "$SYS/broker/uptime", True),
        (("a/#",), None, "b", False),  # of an earlier configuration, and still subscribed
        (("a/#",), ["a/+/state"], "a/1/state", True),
        (("a/#",), ["a/+/state"], "a/1/other", False),
        (("fieldgate/#",), None, "fieldgate/gw/x", False),  # our own
    ],
)
def test_the_filters_decide(subscribe: tuple[str, ...], events: list[str] | None, topic: str, is_event: bool) -> None:
    """What is subscribed to is an event, but for what is not meant for the flow."""
    made = topics(subscribe=subscribe, own=("fieldgate/gw/#",), **({} if events is None else {"events": events}))

    assert (name(made, topic) is not None) == is_event


@pytest.mark.parametrize(
    ("match", "to", "topic", "made"),
    [
        ("zigbee2mqtt/+/state", "site/a/{1}/state", "zigbee2mqtt/lamp/state", "site/a/lamp/state"),
        ("zigbee2mqtt/{device}/state", "site/{device}", "zigbee2mqtt/lamp/state", "site/lamp"),
        ("{a}/{b}", "{b}/{a}-{2}{1}", "x/y", "y/x-yx"),
        ("a/{x}/#", "b/{#}/{x}", "a/1/2/3", "b/2/3/1"),
        ("a/#", "b/{#}", "a", "b"),
        ("a/#", "b/{#}", "a/", "b/"),
        ("#", "all/{#}", "x/y", "all/x/y"),
        ("+/#", "{1}", "x/y", "x"),
        ("a", "b", "a", "b"),
        ("a", "b", "c", "c"),
        ("#", "{#}", "x", "x"),
        ("+", "{1}", "", None),
    ],
)
def test_a_rule_gives_events_another_topic(match: str, to: str, topic: str, made: str | None) -> None:
    """Devices of a broker get the names that the site gives them."""
    rules = topics(remap=[{"match": match, "to": to}])

    if made is None:
        with pytest.raises(Violation):
            rules.place(topic)
    else:
        assert name(rules, topic) == made


def test_the_first_rule_that_matches_is_taken() -> None:
    """Exceptions stand before the rule."""
    rules = topics(remap=[{"match": "a/b", "to": "first"}, {"match": "a/#", "to": "second"}, {"match": "#", "to": "x"}])

    assert [name(rules, topic) for topic in ("a/b", "a/c", "d")] == ["first", "second", "x"]


def test_a_topic_that_would_be_too_long_stays_as_it_is() -> None:
    """MQTT knows none of more than 65,535 bytes, and an event must have one."""
    rules = topics(remap=[{"match": "{x}", "to": "{x}{x}"}])

    assert name(rules, "é" * 20_000) == "é" * 20_000


def test_what_is_remembered_is_bounded() -> None:
    """A broker may have a topic for each message."""
    made = topics()
    for number in range(20_000):
        made.place(f"a/{number}")
        made.place(f"fieldgate/{number}")

    assert len(made.known) + len(made._others) <= 8192
