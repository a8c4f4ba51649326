"""Dead letters that go through rules: the event is of the past, the rules are asked now."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dead_letter_kit import letter
from fieldgate import clock
from fieldgate.config import Config
from fieldgate.journal.journal import Journal
from fieldgate.pipeline import Pipeline

RULES = """
rules:
  - {id: monthly, on: {device: "*"}, fires: each, once_per: month, do: [{emit: {type: first}}]}
  - {id: yearly, on: {cron: "0 0 29 2 *"}, do: [{log: {text: leap}}]}
"""
DAY_NS = 86_400 * 10**9


def pipeline_at(folder: Path) -> Pipeline:
    """All parts of a gateway with `RULES`, none of which runs."""
    (folder / "rules.d").mkdir()
    (folder / "rules.d" / "r.yaml").write_text(RULES)
    state = folder / "state"
    config = Config.model_validate({"journal": {"path": state}}, context={"folder": folder})
    journal = Journal.open(
        state, run=1, os_boot=clock.os_boot_id(), gateway="g", boot_ns=clock.boot_ns(), wall_ns=clock.wall_ns(),
        max_size_bytes=1 << 24,
    )  # fmt: skip
    return Pipeline(config, journal, run=1)


async def test_a_replay_is_no_step_of_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter bears the time of its receipt. Taken for the present, `once_per` takes it for another month, and each
    `cron` says that its time went by unnoticed."""
    monkeypatch.setattr(clock, "is_synced", lambda: True)
    pipeline = pipeline_at(tmp_path)
    now_ns = pipeline.now_stamp().wall_ns
    letters = [
        msgspec.structs.replace(letter(b'{"t": 1}'), number=number, received_wall_ns=now_ns - days * DAY_NS)
        for number, days in ((1, 40), (2, 2), (3, 0))
    ]
    try:
        pipeline.replay(letters)
    finally:
        await pipeline.stop()

    engine = pipeline.rules.host.engine
    assert engine is not None
    assert [one.outcome for one in engine.decisions("monthly")] == ["fired", "used_up", "used_up"]
    assert [one.outcome for one in engine.decisions("yearly")] == []
    taken = [one for lane in pipeline.outbox.lanes for batch in lane for one in batch.events]
    replayed = [one.stamp.wall_ns for one in taken if one.address.type != "first"]
    assert replayed == [one.received_wall_ns for one in letters], "the events bear the time of their receipt"
