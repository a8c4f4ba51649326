"""When the next group commit is due, as far as it depends on the last one (`fieldgate.journal.policy` has the rest)."""

from __future__ import annotations

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
