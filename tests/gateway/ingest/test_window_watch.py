"""The learned window: when a client waits for us, a commit must not wait for a timer."""

from __future__ import annotations

from fieldgate.ingest.window_watch import WindowWatch
from session_kit import Server


def test_a_count_that_is_reached_again_and_never_passed_is_the_window() -> None:
    """The first time it may be on its way further up."""
    watch = WindowWatch()

    assert [watch.is_full(count) for count in (8, 16, 20, 12, 20, 7, 20)] == [False] * 4 + [True, False, True]


def test_a_window_below_8_is_not_learned() -> None:
    """One commit per message would wear out the flash."""
    watch = WindowWatch()

    assert not any(watch.is_full(1) for _ in range(1000))


def test_a_client_that_never_stops_has_no_window() -> None:
    """It does not wait for us."""
    watch = WindowWatch()

    assert not any(watch.is_full(count) for count in range(1000))


def test_a_smaller_window_is_learned_when_the_larger_one_is_not_reached_any_more() -> None:
    """Otherwise one burst would cost every later message the timer."""
    watch = WindowWatch()
    watch.is_full(1000)

    answers = [watch.is_full(20) for _ in range(66)]

    assert answers == [False] * 64 + [True] * 2


def test_a_client_with_a_window_of_20_is_committed_for_at_its_20th_message() -> None:
    """paho and mosquitto let 20 stand; at 50 ms per commit that would be 400 messages a second."""
    server = Server()
    client = server.connect()
    for batch in range(4):
        client.publish(*range(1, 11))
        client.publish(*range(11, 21))
        server.intake.settle(2 * batch)
        server.intake.settle(2 * batch + 1)

    assert server.intake.stalls == 3
