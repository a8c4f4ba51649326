"""What rules are told of the gateway itself, and how often."""

from __future__ import annotations

from fieldgate.decide.gateway_notices import SLACK, GatewayNotices
from fieldgate_rules.effects import Notice


def kinds(notices: list[Notice]) -> list[tuple[str, object]]:
    return [(one.kind, one.fields.get("uplink", one.threshold)) for one in notices]


def test_an_uplink_is_told_of_when_it_goes_and_when_it_is_back() -> None:
    watch = GatewayNotices("g")

    told = [kinds(watch.uplinks({"cloud": problem})) for problem in ("", "", "no route", None, "no route", None, "")]

    down = [("uplink_down", "cloud")]
    up = [("uplink_up", "cloud")]
    assert told == [up, [], down, [], [], [], up]


def test_what_is_not_known_yet_is_not_told() -> None:
    """An uplink that is tried for the first time is neither up nor down."""
    watch = GatewayNotices("g")

    assert watch.uplinks({"cloud": None}) == []
    assert watch.uplinks({"cloud": "refused"}) == [
        Notice("uplink_down", "g", {"uplink": "cloud", "reason": "refused"})
    ]  # so that an alert about it begins, also where it never was up


def test_a_buffer_around_its_threshold_is_told_of_once() -> None:
    """Nobody wants an alarm a second while the journal wavers between 79.9 and 80.1 percent."""
    watch = GatewayNotices("g")
    watch.buffer(10, {80})

    told = [
        kinds(watch.buffer(percent, {80})) for percent in (79.9, 80.1, 79.9, 80.1, 80 - SLACK, 80 - SLACK - 0.1, 79.9)
    ]

    assert told == [[], [("buffer_above", 80)], [], [], [], [("buffer_below", 80)], []]


def test_each_threshold_is_told_of_apart() -> None:
    """A rule for 95 percent must not be asked because 80 were passed."""
    watch = GatewayNotices("g")

    first = watch.buffer(85, {95, 80})
    later = watch.buffer(97, {95, 80})

    assert kinds(first) == [("buffer_above", 80), ("buffer_below", 95)]
    assert kinds(later) == [("buffer_above", 95)]
    assert later[0].fields == {"percent": 97}
