"""What an eviction counts: each event once, also where a damaged block lies on the way (P4)."""

from __future__ import annotations

from pathlib import Path

from fieldgate.journal.eviction import UplinkLimits
from fieldgate.journal.policy import UplinkDemand
from fieldgate_devices.event import Lane
from journal_kit import fill, open_journal


def test_a_damaged_block_neither_hides_what_lies_behind_it_nor_its_own_loss(tmp_path: Path) -> None:
    """The journal tells a loss once: a plan that swallowed it would leave events that are in no account."""
    journal = open_journal(tmp_path)
    fill(journal, 1, 400, a_block=100)
    connection = journal._active.file.connection
    connection.execute("UPDATE block_normal SET body = zeroblob(length(body)) WHERE block_no = 1")
    size_bytes = journal.stats().lanes[Lane.NORMAL].body_bytes
    demand = UplinkDemand("up", (0, 0, 0), is_required=False, max_size_bytes=size_bytes * 3 // 8)

    plan = UplinkLimits().plan(journal, demands=[demand], written_bytes=0)

    (eviction,) = plan.evictions
    assert eviction.through_seq == 300
    assert [(loss.first_seq, loss.last_seq) for loss in plan.losses] == [(1, 100)]
    assert [event.seq for event in plan.events[Lane.NORMAL]] == list(range(101, 301))
