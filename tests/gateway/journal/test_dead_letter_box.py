"""The dead letters' core: who is settled when, how many are kept, and what a replay leaves."""

from __future__ import annotations

from collections import Counter

import pytest

from dead_letter_kit import Device, letter
from fieldgate.journal.dead_letter import UNKNOWN_DEVICE, DeadLetter, LetterChanges
from fieldgate.journal.dead_letter_box import BoxLimits, DeadLetterBox
from fieldgate.journal.dead_letter_rates import Allowance, LetterRates

WIDE = BoxLimits(rate_per_s=1000.0, waiting_bytes=1 << 20, letter_bytes=64 << 10)
NOTHING: Counter[tuple[str, str]] = Counter()


class Bench:
    """A box, and a disk that takes what it is told to."""

    def __init__(self, limits: BoxLimits = WIDE) -> None:
        self.calls = 0
        self.stored: dict[int, DeadLetter] = {}
        self.next_number = 1
        self.box = DeadLetterBox(limits, base_s=1000.0, commit_delay_s=0.05, attention=self._called)

    def _called(self) -> None:
        self.calls += 1

    def write(self, now_s: float = 0.0) -> LetterChanges:
        changes = self.box.begin_write(now_s)
        for one in changes.new:
            one.number = self.next_number
            self.next_number += 1
        self.stored |= {one.number: one for one in [*changes.new, *changes.again]}
        for number in changes.gone:
            self.stored.pop(number, None)
        self.box.written(changes, NOTHING)
        return changes

    def kept(self, count: int) -> list[DeadLetter]:
        """So many letters on the disk."""
        for number in range(count):
            self.box.put(letter(b"%d" % number), Device(), 0, now_s=0.0)
        return self.write().new


def test_a_letter_is_settled_once_it_is_on_the_disk() -> None:
    """P1: the device that was told so need not send it again."""
    bench, device = Bench(), Device()

    assert bench.box.put(letter(), device, 7, now_s=1.5)
    changes = bench.box.begin_write(1.5)
    before = list(device.told)
    bench.box.written(changes, NOTHING)
    bench.box.begin_turn()

    assert before == []
    assert (device.told, device.flushes) == ([7], 1)
    assert changes.new[0].heard_s == 1001
    assert not bench.box.is_behind
    assert bench.box.waiting_bytes == 0


def test_what_the_disk_did_not_take_waits_at_its_old_place() -> None:
    """Full or failing: nothing is acknowledged, and the order is kept."""
    bench, device = Bench(), Device()
    bench.box.put(letter(b"1"), device, 0, now_s=0.0)
    changes = bench.box.begin_write(0.0)
    bench.box.put(letter(b"2"), device, 1, now_s=0.0)

    bench.box.write_failed(changes, retry_at_s=9.0)

    assert device.told == []
    assert bench.box.waiting == 2
    assert bench.box.due_s(0.6) == 9.0
    assert [one.payload for one in bench.write(9.0).new] == [b"1", b"2"]
    assert device.told == [0, 1]


def test_what_a_disk_takes_nothing_of_is_bounded() -> None:
    """Beyond it letters are counted and settled: they are no events, and memory is finite."""
    bench, device = Bench(BoxLimits(1000.0, waiting_bytes=10_000, letter_bytes=5_000)), Device()

    kept = [bench.box.put(letter(bytes(1000)), device, n, now_s=0.0) for n in range(20)]

    assert kept.count(True) == 6
    assert bench.box.waiting_bytes <= 10_000
    assert device.told == list(range(6, 20))
    assert bench.box.sampled_out == {("boiler", "missing"): 14}
    assert bench.box.sampled_out_by == {"memory": 14}


def test_a_payload_that_is_too_large_for_the_file_is_counted() -> None:
    """It would push out everything else."""
    bench, device = Bench(), Device()

    assert not bench.box.put(letter(bytes(70_000)), device, 0, now_s=0.0)

    assert device.told == [0]
    assert bench.box.sampled_out_by == {"size": 1}


def test_a_long_detail_is_cut() -> None:
    """A decoder's words must not be larger than what it speaks of."""
    bench = Bench()
    bench.box.put(letter(detail="x" * 10_000), Device(), 0, now_s=0.0)

    assert len(bench.write().new[0].detail) == 500


def test_ten_a_second_of_each_topic_are_kept_and_a_hundred_over_all() -> None:
    """A device that breaks its contract a thousand times a second for a minute."""
    bench, device = Bench(WIDE._replace(rate_per_s=10.0)), Device()
    kept: Counter[str] = Counter()
    for millisecond in range(60_000):
        now_s = millisecond / 1000
        kept["one"] += bench.box.put(letter(), device, millisecond, now_s=now_s)
        if millisecond % 100 == 0:
            bench.write(now_s)
    for number in range(1000):
        kept["many"] += bench.box.put(letter(topic=f"t/{number}"), device, number, now_s=60.5)

    assert 590 <= kept["one"] <= 610
    assert 90 <= kept["many"] <= 100  # the one topic may have had its ten of this second
    assert bench.box.sampled_out.total() == 61_000 - kept.total()
    assert bench.box.sampled_out_by.keys() == {"rate"}


@pytest.mark.parametrize(("per_s", "burst", "period_s"), [(10.0, 10, 1.0), (0.5, 1, 2.0), (1 / 3600, 1, 3600.0)])
def test_an_allowance_is_whole_letters_of_a_period(per_s: float, burst: int, period_s: float) -> None:
    """Also less than one a second."""
    allowance = Allowance(per_s)
    taken = []
    for step in range(401):
        now_s = 5.0 + step * period_s / 100
        while allowance.has_room(now_s):
            allowance.take()
            taken.append(now_s)

    assert len(taken) == 5 * burst
    assert taken[:burst] == [5.0] * burst


def test_a_device_that_invents_topics_costs_bounded_memory_and_gets_no_more() -> None:
    """Each new topic has its own allowance; the one over all does not grow."""
    rates = LetterRates(10.0)

    kept = sum(rates.takes("s", f"t/{number}", 1.0) for number in range(50_000))

    assert kept == 100
    assert len(rates._topics) == 1000


def test_a_write_waits_for_company_unless_a_device_waits() -> None:
    """A page of flash for a letter of 30 bytes is what must not be."""
    bench = Bench()
    box = bench.box
    assert box.due_s(0.0) is None
    box.put(letter(), Device(), 0, now_s=10.0)
    alone = box.due_s(10.0)
    for number in range(40):
        box.put(letter(), Device(), number, now_s=10.1)
    in_company = box.due_s(10.1)
    box.stalled()

    assert (alone, in_company) == (10.5, 10.05)
    assert box.due_s(10.1) == 10.1
    bench.write(10.1)
    box.put(letter(), Device(), 0, now_s=10.11)
    box.stalled()
    assert box.due_s(10.11) == pytest.approx(10.2), "not more than ten writes a second, whoever waits"


def test_a_stall_without_letters_costs_nothing() -> None:
    """It is told at every full window of every device."""
    bench = Bench()

    bench.box.stalled()

    assert bench.calls == 0


def test_attention_is_asked_for_once_a_turn() -> None:
    """Not per message."""
    bench = Bench()
    for number in range(100):
        bench.box.put(letter(), Device(), number, now_s=0.0)

    assert bench.calls == 1
    bench.box.begin_turn()
    bench.box.stalled()
    assert bench.calls == 2


def test_what_is_rejected_is_settled_and_counted_by_reason() -> None:
    """`unknown: reject`."""
    bench, device = Bench(), Device()

    bench.box.reject("unknown_device", device, 3, 4)

    assert device.told == [3, 4, 5, 6]
    assert bench.box.rejected == {"unknown_device": 4}
    assert not bench.box.is_behind


def test_what_had_to_go_is_counted() -> None:
    """The oldest, when the file is full."""
    bench = Bench()
    bench.box.put(letter(), Device(), 0, now_s=0.0)
    changes = bench.box.begin_write(0.0)

    bench.box.written(changes, Counter({("", "undecodable"): 3}))

    assert bench.box.evicted == {("", "undecodable"): 3}


# -- replay -----------------------------------------------------------------------------------------------------------


def test_a_replayed_letter_leaves_once_its_event_is_safe() -> None:
    """A crash on the way repeats it and loses nothing."""
    bench = Bench()
    one, other = bench.kept(2)
    replay = bench.box.replay([one, other])

    assert replay.left == {1, 2}
    assert bench.box.is_replaying(1)
    replay.settled(0, 1)
    on_the_way = (set(bench.stored), set(replay.left))
    changes = bench.write()
    replay.flush()

    assert on_the_way == ({1, 2}, {1, 2})
    assert changes.gone == [1]
    assert (set(bench.stored), replay.left) == ({2}, {2})
    assert (bench.box.replaying, bench.box.is_replaying(1)) == (1, False)


def test_what_is_refused_again_keeps_its_number_and_says_the_new_reason() -> None:
    """And is not measured against the rate: a person asked for it."""
    bench = Bench(WIDE._replace(rate_per_s=1.0))
    (old,) = bench.kept(1)
    replay = bench.box.replay([old])

    kept = bench.box.put(
        letter(old.payload, reason="out_of_range", source="replay", received_wall_ns=5), replay, 0, now_s=0.0
    )
    assert bench.box.due_s(3.0) == 3.0
    changes = bench.write(3.0)

    assert kept
    (again,) = changes.again
    assert (again.number, again.attempts, again.reason) == (1, 1, "out_of_range")
    assert (again.source, again.received_wall_ns, again.heard_s) == (old.source, old.received_wall_ns, old.heard_s)
    assert (replay.left, replay.again) == (set(), [again])
    assert bench.box.sampled_out == {}


def test_a_failed_write_forgets_neither_replays_nor_removals() -> None:
    """The disk is full while a person mends."""
    bench = Bench()
    letters = bench.kept(3)
    replay = bench.box.replay(letters[:2])
    replay.settled(0, 1)
    bench.box.put(letter(reason="still"), replay, 1, now_s=0.0)
    bench.box.purge([3])

    changes = bench.box.begin_write(1.0)
    bench.box.write_failed(changes, retry_at_s=2.0)

    assert bench.box.is_leaving([1])
    assert bench.box.is_leaving([3])
    assert replay.left == {1, 2}
    bench.write(2.0)
    assert {number: one.reason for number, one in bench.stored.items()} == {2: "still"}
    assert not bench.box.is_behind
    assert replay.left == set()


def test_what_is_purged_while_it_is_replayed_is_gone() -> None:
    """Whatever becomes of the replay."""
    bench = Bench()
    replay = bench.box.replay(bench.kept(1))
    bench.box.put(letter(reason="still"), replay, 0, now_s=0.0)

    bench.box.purge([1])
    bench.write()

    assert bench.stored == {}
    assert replay.left == set()


def test_many_removals_are_spread_over_writes() -> None:
    """The journal's own writes stand in the same line."""
    bench = Bench()
    bench.box.purge(range(1, 1201))
    sizes = []
    now_s = 0.0
    while (due_s := bench.box.due_s(now_s)) is not None:
        now_s = due_s
        sizes.append(len(bench.write(now_s).gone))

    assert sizes == [500, 500, 200]
    assert now_s == pytest.approx(0.2)


def test_bytes_that_never_were_a_message_are_told_from_those_that_broke_a_contract() -> None:
    """A replay asks: no contract makes an event of a wrong checksum."""
    damaged = letter(profile="scale", version=0, reason="checksum")
    of_nobody = letter(profile="", version=0, reason="malformed")
    unknown = letter(profile="", version=0, reason=UNKNOWN_DEVICE)

    assert [one.is_damaged for one in (damaged, of_nobody, unknown, letter())] == [True, True, False, False]
