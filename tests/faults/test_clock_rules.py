"""P6 as rules see it, in a running gateway whose clock is set: nothing fires early, and nothing twice."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from clock_kit import FakeTime, needs_faketime
from gateway_kit import Gateway, eventually, running
from rule_gateway import rule_gateway, say, stored

pytestmark = needs_faketime

RULES = """
rules:
  - {id: spring, on: {cron: "0 3 * * *"}, zone: Europe/Berlin, do: [{emit: {type: spring}}]}
  - {id: lost, on: {cron: "30 2 * * *"}, zone: Europe/Berlin, do: [{emit: {type: lost}}]}
  - {id: nightly, on: {cron: "0 1 * * *"}, do: [{emit: {type: nightly}}]}
  - {id: beat, on: {every: 3s}, do: [{emit: {type: beat}}]}
  - {id: daily, on: {device: b1}, once_per: day, fires: each, do: [{emit: {type: daily}}]}
  - {id: held, on: {device: b1}, when: temperature > 80, for: 25s, do: [{emit: {type: held}}]}
  - {id: gone, on: {device: b2}, absent: 25s, do: [{emit: {type: gone}}]}
"""


ONCE = ("lost", "daily", "held", "gone")
KINDS = ("boiler", "beat", "spring", "nightly")


async def made(gateway: Gateway, kind: str) -> list[dict[str, Any]]:
    return await stored(gateway, kind)


async def test_a_clock_that_is_set_fires_no_rule_early_or_twice(tmp_path: Path) -> None:
    """The night of summer time, and a time server that is wrong by seconds, minutes and days, and right again."""
    fake = FakeTime(tmp_path, "@2026-03-29 00:59:50")
    async with running(rule_gateway(tmp_path, RULES, env=fake.env)) as gateway:
        await say(gateway, "b1", temperature=90)
        await say(gateway, "b2", temperature=20)
        await eventually("it is three in Berlin", lambda: made(gateway, "spring"))
        for now in ("2026-03-29 00:59:57", "2026-03-29 00:50:00", "2026-03-31 00:59:57", "2026-03-29 00:59:58"):
            fake.set(f"@{now}")
            await asyncio.sleep(4)  # time goes by: the clock is read anew, and one o'clock comes again
            await say(gateway, "b1", temperature=91)
        await eventually("it was held", lambda: made(gateway, "held"))
        await eventually("it is gone", lambda: made(gateway, "gone"))
        events = await stored(gateway)

    at_s = {kind: [one["uptime_s"] for one in events if one["type"] == kind] for kind in (*ONCE, *KINDS)}
    came = {one["time"][:16] for one in events if one["type"] == "nightly"}
    assert {kind: len(at_s[kind]) for kind in ONCE} == dict.fromkeys(ONCE, 1)
    assert len(at_s["spring"]) == len(at_s["nightly"]) == 2
    assert came == {"2026-03-29T01:00", "2026-03-31T01:00"}, "each one o'clock that the clock has shown, once"
    assert at_s["held"][0] - at_s["boiler"][0] >= 25
    assert at_s["gone"][0] - at_s["boiler"][1] >= 25
    gaps = [later - earlier for earlier, later in itertools.pairwise(at_s["beat"])]
    assert min(gaps) > 1, "none early: one that is late has its time behind it"
    assert len(gaps) <= round(sum(gaps) / 3) + 1, "none twice"
