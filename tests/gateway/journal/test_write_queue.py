"""When the next group commit is due, as far as it depends on the last one (`fieldgate.journal.policy` has the rest).

And what goes into it: batches that are bound to each other, all or none.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest

from fieldgate.journal.window import Batch
from fieldgate.journal.write_queue import WriteJob, WriteQueue
from fieldgate_devices.event import Address, Event, Stamp

STAMP = Stamp(1, 0, 0)
EVENT = Event(Address("d", "message", "t"), STAMP, b"1", True, 0, 1)


def make_queue() -> WriteQueue:
    return WriteQueue(is_relay=False, hold_s=0.2, commit_delay_s=0.05, keeps_delivered=True)


def fill(queue: WriteQueue, count: int, *, now_s: float, stalls: bool = True) -> None:
    """A device sends ``count`` events; if it ``stalls`` then, its window is full."""
    queue.append(Batch([EVENT] * count, b"\1" * count, accepted_s=now_s))
    if stalls:
        queue.stalled(10**9)


def commit(queue: WriteQueue, *, now_s: float, meanwhile: int = 0) -> None:
    """Write what waits; ``meanwhile`` so many events come from others."""
    job: WriteJob = queue.take(now_s, everything=True)
    if meanwhile:
        fill(queue, meanwhile, now_s=now_s)
    queue.write_ends()
    for batch in job.batches:
        queue.left(batch)


def test_a_device_that_stalls_is_committed_for_at_once() -> None:
    queue = make_queue()
    fill(queue, 20, now_s=5.0)

    assert queue.due_s(5.0) == 5.0


def test_devices_that_took_turns_share_the_next_commit() -> None:
    """Two groups of two, each waiting for the other's commit, would stay so for ever at half a commit each."""
    queue = make_queue()
    fill(queue, 200, now_s=5.0)
    commit(queue, now_s=5.0, meanwhile=200)

    while_the_first_group_fills_up = queue.due_s(5.002)
    fill(queue, 200, now_s=5.0025)
    when_all_are_there = queue.due_s(5.0025)

    assert while_the_first_group_fills_up == pytest.approx(5.003)
    assert when_all_are_there is not None
    assert when_all_are_there <= 5.0025


def test_nobody_waits_longer_than_a_moment_for_devices_that_send_no_more() -> None:
    queue = make_queue()
    fill(queue, 200, now_s=5.0)
    commit(queue, now_s=5.0, meanwhile=20)

    first, later = queue.due_s(5.002), queue.due_s(5.0031)

    assert first == later == pytest.approx(5.003)


def test_a_single_device_never_waits() -> None:
    queue = make_queue()
    fill(queue, 20, now_s=5.0)
    commit(queue, now_s=5.0)
    assert queue.due_s(5.002) is None
    fill(queue, 20, now_s=5.0023)

    assert queue.due_s(5.0023) == 5.0023


@pytest.mark.parametrize(
    ("uplink_s", "is_far", "due_s"),
    [(0.050, True, 5.0), (0.002, True, 5.2), (0.050, False, 5.2)],
    ids=["slow uplink", "quick uplink", "device nearby"],
)
def test_a_source_far_away_does_not_wait_for_hold_where_the_uplink_is_slower_than_a_commit(
    uplink_s: float, is_far: bool, due_s: float
) -> None:
    """Each window would cost the uplink's round trip on top of its own; what is delivered in time is not written."""
    queue = WriteQueue(is_relay=True, hold_s=0.2, commit_delay_s=0.05, keeps_delivered=False)
    queue.hurries = False
    for n in range(30):
        earlier = Batch([EVENT], b"\0", accepted_s=n)
        queue.acknowledged(earlier)
        queue.due_s(n + uplink_s)
    queue.append(Batch([EVENT] * 20, b"\1" * 20, accepted_s=5.0))

    queue.stalled(10**9, is_far=is_far)

    assert queue.due_s(5.0) == pytest.approx(due_s)
    assert queue.take(5.0, everything=False).count == (20 if due_s == 5.0 else 0)


# -- what must be on disk together ------------------------------------------------------------------------------------


def _batch(seq: int, *, count: int = 1, is_bound: bool = False, accepted_s: float = 0.0, lane: int = 1) -> Batch:
    events = [msgspec.structs.replace(EVENT, seq=seq + number, lane=lane) for number in range(count)]
    return Batch(events, b"\1" * count, accepted_s=accepted_s, is_bound=is_bound)


def _seqs(job: WriteJob) -> list[int]:
    return [batch.events[0].seq for batch in job.batches]


def test_what_rules_made_of_a_read_is_never_put_off_to_the_next_commit() -> None:
    """A cause on disk without its alarm is an alarm lost with a kill -9: nobody sends the cause again."""
    queue = make_queue()
    queue.append(_batch(1, count=2_500))  # more than one commit takes
    queue.append(_batch(2_501, lane=0, is_bound=True))
    queue.append(_batch(2_502, lane=2, is_bound=True))
    queue.append(_batch(2_503))

    first, second = queue.take(9.0, everything=True), queue.take(9.0, everything=True)

    assert _seqs(first) == [1, 2_501, 2_502]
    assert _seqs(second) == [2_503]


def test_batches_that_are_not_bound_are_divided_there() -> None:
    """The control: without the mark the alarm does go with the next commit."""
    queue = make_queue()
    queue.append(_batch(1, count=2_500))
    queue.append(_batch(2_501, lane=0))

    assert _seqs(queue.take(9.0, everything=True)) == [1]


def test_a_batch_that_is_bound_does_not_wait_for_a_hold_of_its_own() -> None:
    """A device that stalls hurries its own event, and the alarm that came of it has a greater number."""
    queue = WriteQueue(is_relay=True, hold_s=0.2, commit_delay_s=0.05, keeps_delivered=False)
    queue.hurries = False
    queue.append(_batch(1, accepted_s=5.0))
    queue.append(_batch(2, lane=0, accepted_s=5.05, is_bound=True))
    queue.append(_batch(3, accepted_s=5.05))

    assert _seqs(queue.take(5.21, everything=False)) == [1, 2]


def _divided(seed: int, *, binds: bool = True) -> int:
    """How many neighbours of a group went with different commits; sizes, holds, failures, uplinks by chance."""
    rng = Random(seed)
    queue = WriteQueue(
        is_relay=True, hold_s=0.2, commit_delay_s=0.05, keeps_delivered=False, job_bytes=rng.choice([1, 50, 5_000])
    )
    queue.hurries = rng.random() < 0.5
    batches: list[Batch] = []
    groups: list[int] = []
    seq, now_s = 1, 0.0
    for number in range(40):
        is_first = not number or rng.random() < 0.5
        count = rng.choice([1, 1, 3, 900, 2_100])
        now_s += rng.random() / 10 if is_first else 0
        lane, is_bound = rng.randrange(3), binds and not is_first
        batches.append(_batch(seq, count=count, is_bound=is_bound, accepted_s=now_s, lane=lane))
        groups.append(number if is_first else groups[-1])
        seq += count
        queue.append(batches[-1])
    commit_of: dict[int, int] = {}
    for commit in range(10_000):
        if not len(queue):
            break
        now_s += rng.random() / 10
        if rng.random() < 0.3:
            delivered = rng.choice(batches)
            delivered.waits = bytearray(len(delivered.events))
        job = queue.take(now_s, everything=rng.random() < 0.2)
        if rng.random() < 0.3:
            queue.put_back(job)
        else:
            commit_of |= {batch.events[0].seq: commit for batch in job.batches}
    seqs = [batch.events[0].seq for batch in batches]
    assert list(commit_of) == sorted(commit_of), "out of order"
    assert all(seq in commit_of for seq, batch in zip(seqs, batches, strict=True) if batch.is_wanted()), "lost"
    written = [(group, commit_of[seq]) for group, seq in zip(groups, seqs, strict=True) if seq in commit_of]
    return sum(one[0] == other[0] and one[1] != other[1] for one, other in pairwise(written))


def test_whatever_happens_no_group_is_divided_and_nothing_is_lost() -> None:
    assert [seed for seed in range(150) if _divided(seed)] == []


def test_the_same_histories_divide_groups_that_are_not_bound() -> None:
    """The control of the test above."""
    assert sum(_divided(seed, binds=False) for seed in range(150)) > 100
