"""``fieldgate rules explain`` against a running gateway."""

from __future__ import annotations

import json
from pathlib import Path

from command_kit import fieldgate
from gateway_kit import eventually
from rule_state_kit import rule_site

HOT = """
rules:
  - id: hot
    on: {profile: boiler}
    when: temperature > 80
    for: 10m
    do: [{alert: {severity: critical, text: "{device} is hot"}}]
"""


async def test_the_line_that_stopped_a_rule_is_named_for_a_device_and_for_an_event(tmp_path: Path) -> None:
    """What a person types when nothing happens: about the last event, about an earlier one by its id, as JSON."""
    async with rule_site(tmp_path, hot=HOT) as site:
        config = site.gateway.config
        await site.says(71)
        await site.says(85)
        await eventually("both are upstream", lambda: len(site.upstream.arrived) >= 2)
        first = next(one for one in site.upstream.arrived if one["data"].get("temperature") == 71)

        waits = await fieldgate("rules", "explain", "hot", "--device", "b1", config=config)
        earlier = await fieldgate("rules", "explain", "hot", "--event", first["id"].split("/")[-1], config=config)
        as_json = await fieldgate("rules", "explain", "hot", "--json", config=config)
        unseen = await fieldgate("rules", "explain", "hot", "--device", "b7", config=config)
        unknown = await fieldgate("rules", "explain", "hat", config=config)

    assert waits.code == 0, waits.err
    assert "hot.yaml:6:10: for: it has held for" in waits.out
    assert "hot.yaml:5:11: when: temperature > 80 is false: temperature is 71" in earlier.out
    report = json.loads(as_json.out)
    assert (report["outcome"], report["stopped"]["where"]["line"]) == ("waiting", 6)
    assert len(report["decisions"]) == 2
    assert "b7 was never heard" in unseen.out
    assert unknown.code == 1
    assert "there is no rule 'hat'; did you mean 'hot'?" in unknown.err
