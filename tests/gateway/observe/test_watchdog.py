"""The watchdog is fed on progress, not on being alive: a strand that hangs starves it, whatever the others do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fieldgate.observe.watchdog import Watchdog

STRANDS = ("journal", "uplinks")


def fed_at(watchdog: Watchdog, answers: Callable[[str, float], bool], *, until_s: float) -> list[float]:
    """Run it on a virtual clock with a tick every second; return when it may be fed."""
    fed = []
    for now_s in range(int(until_s)):
        for strand in watchdog.asks(now_s):
            if answers(strand, now_s):
                watchdog.heard(strand)
        if watchdog.may_feed(now_s):
            fed.append(float(now_s))
    return fed


def test_while_everything_moves_it_is_fed_at_once_and_then_every_half_of_the_time_out() -> None:
    """As sd_watchdog_enabled(3) recommends."""
    assert fed_at(Watchdog(STRANDS, timeout_s=20), lambda *_: True, until_s=41) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("frozen", STRANDS)
def test_one_strand_that_hangs_starves_it_though_the_others_go_on(frozen: str) -> None:
    """A loop that runs while nothing is committed acknowledges nothing: a restart is what helps."""
    watchdog = Watchdog(STRANDS, timeout_s=20)

    fed = fed_at(watchdog, lambda strand, now_s: strand != frozen or now_s < 15, until_s=200)

    assert fed == [0, 10]
    assert watchdog.missing == (frozen,)


def test_a_sign_of_an_earlier_round_is_none_in_this_one() -> None:
    """What moved before it hung says nothing."""
    watchdog = Watchdog(STRANDS, timeout_s=20)
    fed_at(watchdog, lambda *_: True, until_s=1)
    watchdog.heard("journal")  # between two rounds

    watchdog.asks(10)
    watchdog.heard("uplinks")

    assert not watchdog.may_feed(10)
    assert watchdog.missing == ("journal",)


def test_a_slow_strand_that_comes_in_time_is_fed_for_when_it_comes() -> None:
    """A memory card that takes 8 s for a sync is no reason to restart; the next round counts from there."""
    slow = Watchdog(STRANDS, timeout_s=20)

    assert fed_at(slow, lambda strand, now_s: strand != "journal" or now_s % 9 == 8, until_s=45) == [8, 26, 44]


def test_a_late_round_is_told_while_it_lasts() -> None:
    """The log is to say what hung before the manager kills the process."""
    watchdog = Watchdog(STRANDS, timeout_s=20)
    watchdog.asks(0)

    assert not watchdog.is_late(4.9)
    assert watchdog.is_late(5)

    for strand in STRANDS:
        watchdog.heard(strand)
    assert watchdog.may_feed(6)
    assert not watchdog.is_late(7)


def test_the_test_notices_a_watchdog_that_only_shows_that_the_loop_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: most programs feed theirs from a timer."""
    monkeypatch.setattr(Watchdog, "may_feed", lambda *_: True)

    with pytest.raises(AssertionError):
        test_one_strand_that_hangs_starves_it_though_the_others_go_on("journal")
