"""The measurement of how soon a rule's command is there works; its figure is for a machine that does nothing else."""

from __future__ import annotations

from pathlib import Path

from bench.rule_command_latency import measure


async def test_every_command_of_a_rule_reaches_its_device_while_events_flow(tmp_path: Path) -> None:
    """A limit that only a hang would pass: a busy machine must not make it fail."""
    measured = await measure(tmp_path, count=30, per_s=20.0, events_per_s=200.0)

    assert len(measured.latencies_s) == 30
    assert measured.events > 0
    assert measured.share(0.5) < 5.0
