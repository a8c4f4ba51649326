"""The retained messages against a dictionary."""

from __future__ import annotations

import random
import tracemalloc

from hypothesis import example, given
from hypothesis import strategies as st

from fieldgate.mqtt.message import Message
from fieldgate.mqtt.packets import Properties
from fieldgate.mqtt.retained import RetainedStore
from fieldgate.mqtt.topics import matches, valid_filter

TOPICS = st.lists(st.sampled_from(["", "a", "b", "$s"]), min_size=1, max_size=3).map("/".join).filter(bool)
NODE_BYTES = 250
FILTERS = st.lists(st.sampled_from(["", "a", "b", "$s", "+", "#"]), min_size=1, max_size=4).map("/".join)


def message(topic: str, payload: bytes = b"x") -> Message:
    return Message(topic, payload, 0, True, 0.0)


@example([("a", b"1"), ("a/b", b"1"), ("a/b/c", b"1")], "a/#")
@given(st.lists(st.tuples(TOPICS, st.sampled_from([b"", b"1", b"22"])), max_size=20), FILTERS.filter(valid_filter))
def test_a_search_finds_what_matches_and_the_last_of_each_topic(puts: list[tuple[str, bytes]], wanted: str) -> None:
    """The wildcard rules are those of subscriptions [MQTT-4.7]."""
    store = RetainedStore(max_count=100, max_bytes=10**6)
    model: dict[str, bytes] = {}
    for topic, payload in puts:
        assert store.put(message(topic, payload))
        if payload:
            model[topic] = payload
        else:
            model.pop(topic, None)

    found, _ = store.search(wanted)

    assert {one.topic: one.payload for one in found} == {
        topic: payload for topic, payload in model.items() if matches(wanted, topic)
    }
    assert len(found) == len({one.topic for one in found})
    assert store.count == len(model)
    nodes = {topic[:end] for topic in model for end in [*(i for i, c in enumerate(topic) if c == "/"), len(topic)]}
    assert store.size_bytes == sum(message(*one).size_bytes for one in model.items()) + NODE_BYTES * len(nodes)


def test_count_and_bytes_are_bounded_and_replacing_goes_on() -> None:
    """FAULTS 66: a storm of retained topics."""
    store = RetainedStore(max_count=3, max_bytes=3000)

    kept = [store.put(message(f"t/{one}")) for one in range(5)]

    assert kept == [True] * 3 + [False] * 2
    assert store.put(message("t/1", b"new"))
    assert not store.put(message("t/1", b"x" * 3000))
    assert store.refused == {"max_retained": 2, "max_retained_size": 1}
    assert [one.payload for one in store.search("t/1")[0]] == [b"new"]


def test_a_topic_that_is_too_deep_is_not_kept() -> None:
    """A level costs a node; 60,000 of them would cost megabytes."""
    store = RetainedStore(max_count=3, max_bytes=10**6)

    assert store.put(message("/" * 200))
    assert not store.put(message("/" * 201))
    assert store.refused == {"topic_levels": 1}


def test_deep_topics_cost_what_they_cost() -> None:
    """10,000 retained messages of 200 levels were 6 MB by their bytes and 460 MB in memory."""
    store = RetainedStore(max_count=10_000, max_bytes=2**20)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    for number in range(10_000):
        store.put(message(f"{number}{'/a' * 199}"))
    used_bytes = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert store.count < 30
    assert store.size_bytes / 2 < used_bytes < store.size_bytes * 1.5


def test_what_is_removed_leaves_nothing_behind() -> None:
    """Empty nodes would be a leak."""
    store = RetainedStore(max_count=10, max_bytes=10**6)
    store.put(message("a/b/c"))
    store.put(message("a/b"))
    for topic in ("a/b/c", "a/x", "a/b", "a"):
        store.put(message(topic, b""))

    assert store.search("#") == ([], 1)


def test_what_has_expired_is_removed() -> None:
    """[MQTT-3.3.2-5]; else a device that retains short-lived states fills the store with what nobody gets."""
    store = RetainedStore(max_count=10, max_bytes=10**6)
    for topic, expiry_s in (("a", 5), ("b", 10), ("c", None), ("d", 5)):
        store.put(Message(topic, b"x", 0, True, 100.0, properties=Properties(message_expiry_s=expiry_s)))
    store.put(Message("d", b"again", 0, True, 103.0, properties=Properties(message_expiry_s=5)))

    store.expire(105.0)
    first = sorted(one.topic for one in store.messages())
    store.expire(110.0)

    assert first == ["b", "c", "d"]
    assert [one.topic for one in store.messages()] == ["c"]
    assert (store.count, store.size_bytes) == (1, next(store.messages()).size_bytes + NODE_BYTES)


def test_what_is_known_of_expiries_is_bounded() -> None:
    """A state that is replaced every second, and expires in a day, must not leave a trace each time."""
    store = RetainedStore(max_count=10, max_bytes=10**6)
    for second in range(10_000):
        store.put(Message("a", b"x", 0, True, float(second), properties=Properties(message_expiry_s=86_400)))

    assert len(store._expiring) <= 70


def test_each_change_is_told() -> None:
    """Who keeps retained messages over a restart must end up with the same ones."""
    store, mirror = RetainedStore(max_count=3, max_bytes=10**6), dict[str, Message]()

    def note(topic: str, message: Message | None) -> None:
        if message is None:
            del mirror[topic]
        else:
            mirror[topic] = message

    store.on_change = note
    rng = random.Random(1)
    for second in range(500):
        properties = Properties(message_expiry_s=rng.choice([None, 3]))
        payload = rng.choice([b"", b"x", b"y"])
        store.put(Message(rng.choice("abcde"), payload, 0, True, float(second), properties=properties))
        store.expire(float(second))
        assert mirror == {one.topic: one for one in store.messages()}
