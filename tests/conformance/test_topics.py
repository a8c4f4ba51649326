"""Which filter matches which topic [MQTT5 4.7; 3.1.1 4.7]: live and retained alike."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

clause = pytest.mark.clause

MATCHES = [
    ("a", "a", True), ("a", "A", False), ("a", "a/", False), ("a", "/a", False), ("/a", "/a", True), ("a/", "a/", True),
    ("a//b", "a//b", True), ("a//b", "a/b", False), ("#", "a", True), ("#", "a/b/c", True), ("#", "/", True),
    ("a/#", "a", True), ("a/#", "a/", True), ("a/#", "a/b", True), ("a/#", "a/b/c", True), ("a/#", "ab", False),
    ("a/#", "/a", False), ("/#", "/", True), ("/#", "/a", True), ("/#", "a", False), ("+", "a", True),
    ("+", "/a", False), ("+", "a/b", False), ("+/+", "/a", True), ("+/+", "a/", True), ("/+", "/a", True),
    ("/+", "/", True), ("a/+", "a", False), ("a/+", "a/", True), ("a/+", "a/b", True), ("a/+", "a/b/c", False),
    ("a/+/c", "a/b/c", True), ("a/+/c", "a//c", True),
    ("a/+/c", "a/b/b/c", False), ("+/b/#", "a/b", True), ("+/b/#", "a/b/c/d", True), ("+/b/#", "b", False),
    ("+/#", "a", True), ("+/#", "/", True), ("a/+/+/d", "a/b/c/d", True), ("a/+/+/d", "a/b/d", False),
    ("+/+/+", "//", True), ("+/+", "//", False), (" ", " ", True), ("a b", "a b", True), ("é/+", "é/x", True),
]  # fmt: skip
DOLLAR = [
    ("#", "$x", False), ("#", "$x/y", False), ("+", "$x", False), ("+/y", "$x/y", False), ("+/#", "$x/y", False),
    ("$x/#", "$x/y", True), ("$x/#", "$x", True), ("$x/+", "$x/y", True), ("$x/y", "$x/y", True), ("a/#", "a/$x", True),
    ("a/+", "a/$x", True), ("/#", "/$x", True), ("+/+", "/$x", True),
]  # fmt: skip


def _is_matched(server: Server, level: int, topic_filter: str, topic: str, *, is_retained: bool) -> bool:
    mark = fresh("mark").encode()
    watcher, publisher = server.connect(level=level), server.connect(level=level)
    if not is_retained:
        watcher.subscribe((topic_filter, 1))
    publisher.publish(topic, mark, retain=is_retained)
    if is_retained:
        watcher.subscribe((topic_filter, 1))
        publisher.publish(topic, b"", retain=True)
    return mark in [got.payload for got in watcher.messages()]


@clause(
    "MQTT5-4.7.1-1 MQTT5-4.7.1-2 MQTT5-3.3.2-3",
    "MQTT311-4.7.1-2 MQTT311-4.7.1-3 MQTT311-3.3.2-3",
)
@pytest.mark.parametrize("is_retained", [False, True], ids=["live", "retained"])
@pytest.mark.parametrize(("topic_filter", "topic", "is_match"), MATCHES)
def test_a_filter_matches_level_by_level(
    server: Server, topic_filter: str, topic: str, is_match: bool, is_retained: bool
) -> None:
    """`+` is one level, which may be empty; `#` is the rest, and its parent."""
    assert _is_matched(server, 5, topic_filter, topic, is_retained=is_retained) is is_match


@clause("MQTT5-4.7.2-1", "MQTT311-4.7.2-1")
@pytest.mark.parametrize("is_retained", [False, True], ids=["live", "retained"])
@pytest.mark.parametrize(("topic_filter", "topic", "is_match"), DOLLAR)
def test_a_leading_wildcard_does_not_match_a_leading_dollar(
    server: Server, level: int, topic_filter: str, topic: str, is_match: bool, is_retained: bool
) -> None:
    """Who subscribes to everything does not subscribe to what servers say of themselves."""
    assert _is_matched(server, level, topic_filter, topic, is_retained=is_retained) is is_match


@clause("MQTT5-4.7.3-4", "MQTT311-4.7.3-4")
@pytest.mark.parametrize(
    ("one", "other"),
    [("A", "a"), ("\u00e4", "a\u0308"), ("\u212b", "\u00c5"), ("ﬁ", "fi"), ("a", "a "), ("a", "a\u200b")],
    ids=ascii,
)
def test_what_looks_alike_is_not_the_same(server: Server, level: int, one: str, other: str) -> None:
    """Bytes are compared, both ways."""
    root = fresh("t")

    assert _is_matched(server, level, f"{root}/{one}", f"{root}/{one}", is_retained=False)
    assert not _is_matched(server, level, f"{root}/{one}", f"{root}/{other}", is_retained=False)
    assert not _is_matched(server, level, f"{root}/{other}", f"{root}/{one}", is_retained=True)


@clause("MQTT5-4.7.3-2", "MQTT311-4.7.3-2")
@pytest.mark.parametrize("place", ["topic", "filter", "filter to unsubscribe"])
def test_a_null_character_in_a_topic_ends_the_connection(server: Server, level: int, place: str) -> None:
    """At the beginning, within, and alone."""
    make = {"topic": mb.publish, "filter": mb.subscribe, "filter to unsubscribe": mb.unsubscribe}[place]

    for topic in (b"\0", b"\0a", b"a\0", b"a/\0/b"):
        peer = server.connect(level=level)
        peer.send(make(topic, level=level))
        peer.rejected(0x81, 0x82, 0x8F, 0x90)


@clause("MQTT5-4.7.3-3", "MQTT311-4.7.3-3")
def test_a_filter_of_65_535_bytes_is_a_filter(server: Server, level: int) -> None:
    """It is taken, or refused by a code: the client lives."""
    peer = server.connect(level=level)

    got = peer.ask(mb.subscribe(("f" * 65_535, 1), level=level), kind=mb.SUBACK)

    assert got.reasons[0] in (1, 0x80, 0x8F, 0x97)
    assert peer.drain() == []
