"""A gateway that has had rules and has none any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dead_letter_kit import Device
from fieldgate import clock
from fieldgate.config import Config
from fieldgate.ingest.source import Received
from fieldgate.journal.journal import Journal
from fieldgate.journal.rule_file import stored_rows
from fieldgate.pipeline import Pipeline
from fieldgate_devices.event import Lane

RULE = 'rules: [{id: hot, on: {device: "*"}, when: temperature > 80, fires: once, do: [{alert: {text: hot}}]}]'
HOT = b'{"temperature": 99}'


def pipeline_at(folder: Path, *, run: int) -> Pipeline:
    """All parts of a gateway, none of which runs."""
    state = folder / "state"
    config = Config.model_validate({"journal": {"path": state}}, context={"folder": folder})
    journal = Journal.open(
        state, run=run, os_boot=clock.os_boot_id(), gateway="g", boot_ns=clock.boot_ns(), wall_ns=clock.wall_ns(),
        max_size_bytes=1 << 24,
    )  # fmt: skip
    return Pipeline(config, journal, run=run)


def alerts_in(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The alerts of which this process has told."""
    taken = [one for lane in pipeline.outbox.lanes for batch in lane for one in batch.events]
    return [json.loads(one.data) for one in taken if one.address.type == "alert"]


async def test_an_alert_of_a_rule_whose_file_went_while_the_gateway_was_off_is_ended_once(tmp_path: Path) -> None:
    """Without a file of rules no engine is made, but for this: else the alert would last for ever upstream."""
    file = tmp_path / "rules.d" / "hot.yaml"
    file.parent.mkdir()
    file.write_text(RULE)
    first = pipeline_at(tmp_path, run=1)
    first.accept([Received("t/b1", HOT, 0, len(HOT))], Device(), 0, lane=Lane.NORMAL)
    raised = alerts_in(first)
    await first.stop()
    file.unlink()

    second = pipeline_at(tmp_path, run=2)
    ended = alerts_in(second)
    await second.stop()
    left = stored_rows(tmp_path / "state")
    third = pipeline_at(tmp_path, run=3)
    more = alerts_in(third)
    await third.stop()

    assert [one["state"] for one in raised] == ["raised"]
    assert [(one["state"], one["reason"]) for one in ended] == [("resolved", "the rule is gone")]
    assert more == []
    assert left is not None
    assert [kind for _, _, kind in left] == ["alive"], "which is nothing that a rule remembers"
    assert second.rules.host.engine is not None
    assert third.rules.host.engine is None
