"""Random lives of a few clients against a small model of what a client can see.

That is: session present, who gets what, in which order, at which QoS, with which flags, and what comes again. A
failure names the step; hypothesis then finds the shortest life that fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldgate.mqtt.packets import Subscription
from session_model import MOURNED, Due, Session, World

TOPICS = ("t", "t/a", "t/b", "t/a/x", "$d/a", "u/")
FILTERS = ("t", "t/a", "t/+", "t/#", "#", "+", "+/a", "$d/#", "$d/+", "+/+", "u/+", "t/+/x")
WATCHERS = ("a", "b", "c")

names = st.sampled_from([*WATCHERS, MOURNED])
watchers = st.sampled_from(WATCHERS)
subscriptions = st.builds(
    Subscription,
    st.sampled_from(FILTERS),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
)
publishes = st.tuples(
    st.just("publish"),
    watchers,
    st.sampled_from(TOPICS),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from([False] * 4 + [True]),
)
steps = st.one_of(
    publishes,
    publishes,
    publishes,
    st.tuples(st.just("subscribe"), watchers, subscriptions, st.integers(0, 3)),
    st.tuples(st.just("subscribe"), watchers, subscriptions, st.integers(0, 3)),
    st.tuples(st.just("connect"), names, st.sampled_from([4, 5]), st.booleans(), st.booleans()),
    st.tuples(st.just("connect"), names, st.sampled_from([4, 5]), st.just(False), st.just(True)),
    st.tuples(st.just("leave"), names, st.booleans()),
    st.tuples(st.just("unsubscribe"), names, st.sampled_from(FILTERS)),
    st.tuples(st.just("lazy"), names, st.booleans()),
    st.tuples(st.just("time"), names),
)
lives = st.lists(steps, min_size=20, max_size=50)
at_first: list[tuple[Any, ...]] = [
    *(("connect", name, version, False, True) for name, version in zip("abc", (4, 5, 5), strict=True)),
    ("subscribe", "a", Subscription("#", 1), 0),
    ("subscribe", "b", Subscription("t/#", 2, False, True), 1),
    ("subscribe", "b", Subscription("+/a", 1), 2),
]


def live(life: list[tuple[Any, ...]]) -> World:
    world = World()
    for step in [*at_first, *life]:
        world.step(step)
    return world


CLAUSES = pytest.mark.clause(
    "MQTT5-3.1.2-4 MQTT5-3.1.2-5 MQTT5-3.1.2-6 MQTT5-3.2.2-2 MQTT5-3.2.2-3 MQTT5-3.3.1-12 MQTT5-3.3.1-13",
    "MQTT5-3.3.4-2 MQTT5-3.8.4-8 MQTT5-4.4.0-1 MQTT5-4.5.0-1 MQTT5-4.6.0-5 MQTT5-4.7.2-1",
    "MQTT311-3.1.2-4 MQTT311-3.1.2-5 MQTT311-3.1.2-6 MQTT311-3.3.5-1 MQTT311-4.4.0-1 MQTT311-4.5.0-1 MQTT311-4.6.0-6",
)


@CLAUSES
@pytest.mark.parametrize("count", [150, pytest.param(3_000, marks=pytest.mark.long)])
def test_every_client_sees_what_the_standard_says(count: int, figure: Callable[[str], None]) -> None:
    """Whatever four clients of either version do, in any order."""
    heard = lived = 0

    @settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow])
    @given(life=lives)
    def run(life: list[tuple[Any, ...]]) -> None:
        nonlocal heard, lived
        heard += live(life).heard
        lived += 1

    run()
    assert heard > lived, "hardly anything was delivered: the lives are too dull to show anything"
    figure(f"{lived} lives, {heard} deliveries as the model says")


SUBSCRIBED = ("subscribe", "b", Subscription("t/+", 2), 3)


@pytest.mark.parametrize(
    ("life", "spoil"),
    [
        pytest.param([SUBSCRIBED, ("publish", "a", "t/a", 1, False, False)], "qos", id="QoS"),
        pytest.param([SUBSCRIBED, ("publish", "a", "t/a", 2, True, False)], "retain", id="retain"),
        pytest.param([SUBSCRIBED, ("publish", "a", "t/a", 2, True, False)], "ids", id="subscription ids"),
        pytest.param(
            [
                SUBSCRIBED,
                ("leave", "b", True),
                ("publish", "a", "t/a", 1, False, False),
                ("connect", "b", 5, False, True),
            ],
            "queue",
            id="what waited",
        ),
    ],
)
def test_a_server_that_does_otherwise_is_noticed(
    life: list[tuple[Any, ...]], spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the model differs from the server by one rule, and the first delivery shows it."""
    honest = World.expect

    def expect(self: World, name: str, session: Session, due: Due) -> None:
        changed = {"qos": replace(due, qos=0), "retain": replace(due, retain=True), "ids": replace(due, ids=())}
        if spoil == "queue" and name not in self.clients:
            return
        honest(self, name, session, changed.get(spoil, due))

    live(life)
    monkeypatch.setattr(World, "expect", expect)

    with pytest.raises(AssertionError):
        live(life)
