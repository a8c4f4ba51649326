"""Backoff, rate cap, version choice: small cores that an outage leans on."""

from __future__ import annotations

from random import Random

import pytest

from fieldgate.forward.rate import TokenBucket
from fieldgate.mqtt.version_choice import VersionChoice
from fieldgate.net.backoff import Backoff


class TestBackoff:
    def test_waits_are_uniform_from_zero_to_a_doubling_bound(self):
        """Full jitter: a fleet that lost its broker together does not come back together."""
        firsts, bounds = [], [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
        for seed in range(400):
            backoff = Backoff(Random(seed), base_s=0.5, cap_s=60.0)
            waits = [backoff.next_s() for _ in bounds]
            assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
            firsts.append(waits[0])

        assert min(firsts) < 0.05
        assert max(firsts) > 0.45
        assert 0.22 < sum(firsts) / len(firsts) < 0.28

    def test_reset_begins_again_at_the_base(self):
        """One good hour forgives a bad night."""
        backoff = Backoff(Random(1))
        for _ in range(20):
            backoff.next_s()

        backoff.reset()

        assert backoff.next_s() <= 0.5

    def test_ten_thousand_failures_do_not_overflow(self):
        """A gateway may be offline for a year."""
        backoff = Backoff(Random(1))

        assert max(backoff.next_s() for _ in range(10_000)) <= 60

    def test_a_base_above_the_cap_is_refused(self):
        """It would silently be the cap."""
        with pytest.raises(ValueError, match="base_s"):
            Backoff(Random(1), base_s=2, cap_s=1)


class TestRate:
    @pytest.mark.parametrize("rate", [0.5, 1, 7, 500, 100_000])
    def test_no_second_sees_more_than_the_rate_and_its_burst(self, rate):
        """A cloud broker throws out who exceeds its rate."""
        bucket, now_s, passed = TokenBucket(rate), 0.0, []
        rng = Random(3)
        while now_s < 10:
            count = bucket.available(now_s)
            bucket.spend(count)
            passed.append((now_s, count))
            now_s += rng.uniform(0, 0.05)

        for begin in range(9):
            inside = sum(count for at, count in passed if begin <= at < begin + 1)
            assert inside <= 1.1 * rate + 1
        assert sum(count for _, count in passed) == pytest.approx(10 * rate, rel=0.11, abs=1.1)

    def test_the_wait_is_exactly_until_the_next_event_may_pass(self):
        """Woken too early the pump would spin; too late, the rate would not be reached."""
        bucket = TokenBucket(4)
        bucket.spend(bucket.available(100.0))

        wait_s = bucket.wait_s()

        assert wait_s == pytest.approx(0.25)
        assert bucket.available(100.0 + wait_s) == 1

    def test_a_pause_saves_up_no_more_than_the_burst(self):
        """An hour of silence must not end in a flood."""
        bucket = TokenBucket(100)
        bucket.spend(bucket.available(0.0))

        assert bucket.available(3600.0) == 10

    def test_time_that_steps_back_gives_nothing_and_breaks_nothing(self):
        """Boot time does not; a suspended machine's may jump ahead."""
        bucket = TokenBucket(10)
        bucket.spend(bucket.available(50.0))

        assert bucket.available(40.0) == 0
        assert bucket.available(40.1) == 1

    def test_a_rate_of_nothing_is_refused(self):
        """It would hold everything for ever."""
        with pytest.raises(ValueError, match="above 0"):
            TokenBucket(0)


class TestVersionChoice:
    def test_auto_falls_back_on_a_refusal_and_remembers(self):
        """The second connection must not begin with a refusal again."""
        choice = VersionChoice("auto")
        assert choice.level == 5

        assert choice.refused()
        choice.accepted()

        assert choice.level == 4
        assert not choice.closed()
        assert not choice.closed()
        assert choice.level == 4

    def test_auto_falls_back_after_two_closes_during_connect(self):
        """Some old brokers hang up on a protocol level that they do not know."""
        choice = VersionChoice("auto")

        assert not choice.closed()
        assert choice.closed()
        assert choice.level == 4

    def test_auto_returns_to_5_while_nothing_was_ever_accepted(self):
        """A load balancer without a broker behind it closes every connection."""
        choice = VersionChoice("auto")
        for _ in range(4):
            choice.closed()

        assert choice.level == 5

    def test_closes_after_a_success_do_not_change_the_version(self):
        """A broker that restarts is the same broker."""
        choice = VersionChoice("auto")
        choice.accepted()
        for _ in range(10):
            assert not choice.closed()

        assert choice.level == 5

    @pytest.mark.parametrize(("wanted", "level"), [("5", 5), ("3.1.1", 4)])
    def test_a_configured_version_is_never_changed(self, wanted, level):
        """Who wrote it meant it."""
        choice = VersionChoice(wanted)

        assert not choice.refused()
        assert not choice.closed()
        assert not choice.closed()
        assert choice.level == level
