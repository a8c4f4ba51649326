"""Topic names and filters: the examples of [MQTT5 4.7], and the trie against the plain matcher."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.mqtt.topics import TopicTrie, matches, split_share, valid_filter, valid_topic

MATCHING = [
    ("sport/tennis/player1/#", "sport/tennis/player1"),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking"),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
    ("sport/#", "sport"),
    ("#", "sport"),
    ("#", "/"),
    ("sport/tennis/+", "sport/tennis/player1"),
    ("sport/+", "sport/"),
    ("+", "finance"),
    ("+/+", "/finance"),
    ("/+", "/finance"),
    ("+/tennis/#", "sport/tennis"),
    ("+/tennis/#", "sport/tennis/x/y"),
    ("sport/+/player1", "sport/tennis/player1"),
    ("$SYS/#", "$SYS/monitor/Clients"),
    ("$SYS/#", "$SYS"),
    ("$SYS/monitor/+", "$SYS/monitor/Clients"),
    ("a/+", "a/$b"),
    ("a/#", "a/$b"),
    ("a//b", "a//b"),
    ("a/+/b", "a//b"),
    ("+/+/+", "//"),
    ("é/+", "é/x"),
    ("A", "A"),
]
DIFFERENT = [
    ("sport/tennis/+", "sport/tennis/player1/ranking"),
    ("sport/+", "sport"),
    ("+", "/finance"),
    ("#", "$SYS/x"),
    ("#", "$SYS"),
    ("+/monitor/Clients", "$SYS/monitor/Clients"),
    ("+/#", "$SYS"),
    ("+", "$SYS"),
    ("A", "a"),
    ("a", "a/"),
    ("a/", "a"),
    ("/a", "a"),
    ("a/b/#", "a"),
    ("a/b/#", "a/c"),
    ("a/b", "a"),
    ("a/+/c", "a/b/d"),
    ("a/#", "b"),
]


@pytest.mark.parametrize(("filter", "topic"), MATCHING)
def test_a_filter_matches(filter: str, topic: str):
    """[4.7.1] and its examples."""
    assert matches(filter, topic)
    assert _trie(filter).match(topic) == [filter]


@pytest.mark.parametrize(("filter", "topic"), DIFFERENT)
def test_a_filter_does_not_match(filter: str, topic: str):
    """[4.7.1], [4.7.2] and [4.7.3]: case, empty levels and ``$`` count."""
    assert not matches(filter, topic)
    assert _trie(filter).match(topic) == []


@pytest.mark.parametrize("topic", ["a", "/", "a b/c", "$SYS/x", "é" * 32_767, "x" * 65_535, "\ufeff", " "])
def test_a_topic_is_valid(topic: str):
    """[4.7.3]: any character but NUL and wildcards, and 65,535 bytes."""
    assert valid_topic(topic)


@pytest.mark.parametrize(
    "topic", ["", "a/+", "#", "a#", "a+b", "\0", "a\0", "é" * 32_768, "x" * 65_536, "\ud800", "a\udfff"]
)
def test_a_topic_is_not_valid(topic: str):
    """[MQTT-4.7.0-1], [MQTT-4.7.3-1] to [MQTT-4.7.3-3], and lone surrogates, which UTF-8 cannot say."""
    assert not valid_topic(topic)


@pytest.mark.parametrize(
    "filter", ["#", "+", "a/#", "+/#", "/+", "a/+/b/#", "//#", "a", "$SYS/#", "$share/g/a/#", "$share/g//", "$share2/a"]
)
def test_a_filter_is_valid(filter: str):
    """[4.7.1] and [4.8.2]."""
    assert valid_filter(filter)


@pytest.mark.parametrize(
    "filter",
    [
        "", "a#", "#/", "#/a", "a/#/b", "a+", "+a", "a/b+/c", "##", "a/##", "a/#b#", "\0", "x" * 65_536, "\ud800",
        "$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/g+/a", "$share/#/a", "$share/g/a#",
    ],
)  # fmt: skip
def test_a_filter_is_not_valid(filter: str):
    """[MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.8.2-1], [MQTT-4.8.2-2]."""
    assert not valid_filter(filter)


def test_a_shared_filter_splits_into_name_and_filter():
    """Matching takes the filter without its share."""
    assert split_share("$share/group/a/+/#") == ("group", "a/+/#")
    assert split_share("a/$share/b") == (None, "a/$share/b")


_levels = st.sampled_from(("a", "b", "", "$x"))
_topics = st.lists(_levels, min_size=1, max_size=4).map("/".join).filter(valid_topic)
_filters = (
    st.lists(st.one_of(_levels, st.sampled_from(("+", "#"))), min_size=1, max_size=4).map("/".join).filter(valid_filter)
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(_filters, st.integers(0, 2), st.booleans()), max_size=25), _topics)
def test_the_trie_answers_what_the_plain_matcher_would(changes: list[tuple[str, int, bool]], topic: str):
    """Any history of adding, replacing and removing; one wrong answer is a command to the wrong device."""
    trie: TopicTrie[tuple[str, int]] = TopicTrie()
    model: dict[tuple[str, int], tuple[str, int]] = {}
    for number, (filter, key, is_added) in enumerate(changes):
        if is_added:
            trie.add(filter, key, (filter, number))
            model[filter, key] = (filter, number)
        else:
            assert trie.remove(filter, key) == ((filter, key) in model)
            model.pop((filter, key), None)

    found = trie.match(topic)

    assert sorted(found) == sorted(value for (filter, _), value in model.items() if matches(filter, topic))
    assert len(trie) == len(model)


@settings(deadline=None, max_examples=50)
@given(st.lists(_filters, max_size=15))
def test_a_trie_that_was_emptied_holds_nothing(filters: list[str]):
    """Clients come and go for years; a level left behind by each would be a leak."""
    trie: TopicTrie[str] = TopicTrie()
    for filter in filters:
        expected = trie.nodes + trie.new_nodes(filter)
        trie.add(filter, "key", filter)
        assert (trie.nodes, trie.new_nodes(filter)) == (expected, 0)

    for filter in filters:
        trie.remove(filter, "key")

    assert (len(trie), trie.nodes) == (0, 0)
    assert trie._root.is_empty()


def test_a_value_is_answered_once_for_each_of_its_filters():
    """Overlapping subscriptions are the session's to merge [3.3.4]; the trie says what there is."""
    trie: TopicTrie[str] = TopicTrie()
    for filter in ("a/#", "a/+", "a/b"):
        trie.add(filter, "client", filter)

    assert sorted(trie.match("a/b")) == ["a/#", "a/+", "a/b"]


def test_many_filters_that_do_not_match_cost_nothing():
    """10,000 devices each subscribe to their own commands; a publish looks at one path."""
    trie: TopicTrie[int] = TopicTrie()
    for number in range(10_000):
        trie.add(f"device/{number}/set", number, number)

    assert trie.match("device/77/set") == [77]
    assert trie.match("device/77") == []


def _trie(*filters: str) -> TopicTrie[str]:
    trie: TopicTrie[str] = TopicTrie()
    for filter in filters:
        trie.add(filter, "key", filter)
    return trie
