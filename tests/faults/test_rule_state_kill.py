"""kill -9 while rules wait, hold back or count: they go on where they were, and nothing happens twice."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from fieldgate.journal.rule_file import rule_path
from gateway_kit import eventually
from rule_state_kit import rule_site

HOT = """
rules:
  - id: hot
    on: {profile: boiler}
    when: temperature > 80
    for: 6s
    until: temperature < 75
    do: [{alert: {severity: critical, text: "{device} is hot"}}]
"""
LIMITED = """
rules:
  - id: seen
    on: {profile: boiler}
    do: [{emit: {type: seen, fields: {temperature: "{temperature}"}}}]
  - id: throttled
    on: {profile: boiler}
    throttle: 1h
    do: [{emit: {type: throttled}}]
  - id: daily
    on: {profile: boiler}
    once_per: day
    zone: Pacific/Kiritimati
    do: [{emit: {type: daily}}]
"""
MEAN = """
rules:
  - id: mean
    on: {profile: boiler}
    window: {size: 20s, values: {newest: {last: temperature}, n: {count: true}}}
"""
SIZE_S = 20


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_a_timer_that_was_started_before_a_kill_fires_at_its_time(tmp_path: Path) -> None:
    """No further event comes: a timer that was forgotten would never fire. It may only be late, never early."""
    async with rule_site(tmp_path, hot=HOT) as site:
        await site.says(90)
        await site.state_is_written()
        await site.restart()

        (alert,) = await site.comes("alert", state="raised")
        heard = next(one for one in site.upstream.arrived if one["type"] == "fieldgate.boiler")
        raised = next(one for one in site.upstream.arrived if one["type"] == "fieldgate.alert")

    assert alert["rule"] == "hot"
    assert seconds(raised["time"]) - seconds(heard["time"]) >= 6.0


async def test_a_timer_whose_state_is_gone_does_not_fire(tmp_path: Path) -> None:
    """The control: it is the file that remembers it. A second device shows that the gateway works and time passes."""
    async with rule_site(tmp_path, hot=HOT.replace("for: 6s", "for: 3s")) as site:
        await site.says(90)
        await site.state_is_written()
        await site.gateway.kill()
        for path in rule_path(site.gateway.state).parent.glob("rules.db*"):
            path.unlink()
        await site.gateway.start()
        await site.says(90, device="b2")

        await site.comes("alert", key="b2")

    assert not site.events("alert", key="b1")


async def test_what_was_held_back_stays_held_back(tmp_path: Path) -> None:
    """An installer is not told twice in an hour because the power failed."""
    async with rule_site(tmp_path, limited=LIMITED) as site:
        await site.says(20)
        await site.comes("throttled")
        await site.comes("daily")
        await site.state_is_written()
        await site.restart()

        await site.says(21)
        await site.comes("seen", temperature=21.0)
        await site.restart()
        await site.says(22)
        await site.comes("seen", temperature=22.0)

    assert len(site.events("seen")) == 3
    assert len(site.events("throttled")) == 1
    assert len(site.events("daily")) == 1


async def test_an_alert_stays_and_is_told_again_and_ends(tmp_path: Path) -> None:
    """Also where the retained message is lost, the alert is not: whoever subscribes is told."""
    async with rule_site(tmp_path, hot=HOT.replace("for: 6s", "for: 100ms")) as site:
        await site.says(90)
        await site.comes("alert", state="raised")
        await site.state_is_written()
        await site.gateway.kill()
        for path in site.gateway.state.glob("sessions.db*"):
            path.unlink()
        await site.gateway.start()

        async def is_told() -> bool:
            return (await site.retained_alerts()).keys() == {"fieldgate/g/alerts/hot/b1"}

        await eventually("it is retained again", is_told)
        await site.says(70)
        await site.comes("alert", state="resolved")

        async def is_over() -> bool:
            return not await site.retained_alerts()

        await eventually("nothing is retained", is_over)

    assert len(site.events("alert", state="raised")) == 1


def window() -> int:
    """The number of the window that lasts now."""
    return int(time.time() // SIZE_S)


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("is_kill", [True, False], ids=["kill", "stop"])
async def test_a_window_is_partial_after_a_kill_and_whole_after_a_stop(tmp_path: Path, is_kill: bool) -> None:
    """Who adds up energy must know which sum lacks something. All of it in one window, else once more in the next.

    The same on a virtual clock, every time: ``tests/rules/state/restarts.yaml``.
    """
    async with rule_site(tmp_path, mean=MEAN) as site:
        begun = 0
        while begun != window():
            before = window()
            await eventually("a window begins", lambda before=before: window() > before)
            begun = window()
            await site.says(20)
            await site.restart(is_kill=is_kill)
            await site.says(begun % 100)

        (found,) = await site.comes("mean", newest=float(begun % 100))

    if is_kill:
        assert (found["n"], found.get("partial")) == (1, True)
    else:
        assert (found["n"], found.get("partial")) == (2, None)


async def test_a_damaged_file_of_state_is_set_aside_and_events_go_on(tmp_path: Path) -> None:
    """Rules lose their state then, and nothing else is lost (P5, P7)."""
    async with rule_site(tmp_path, hot=HOT, limited=LIMITED) as site:
        await site.says(20)
        await site.comes("seen")
        await site.state_is_written()
        await site.gateway.kill()
        for path in site.gateway.state.glob("rules.db-*"):
            path.unlink()
        rule_path(site.gateway.state).write_bytes(b"no database" * 1000)
        await site.gateway.start()

        await site.says(21)
        await site.comes("seen", temperature=21.0)

    assert list(site.gateway.state.glob("rules.db.damaged-*"))
    assert "rules.state_damaged" in site.gateway.log_text()


async def test_editing_one_rule_leaves_the_timer_of_the_other(tmp_path: Path) -> None:
    """In Home Assistant any edit forgets all of them. That of the edited one is gone: it means something else now."""
    other = HOT.replace("id: hot", "id: other")
    async with rule_site(tmp_path, hot=HOT, other=other) as site:
        await site.says(90)
        site.write("other", other.replace("temperature > 80", "temperature > 81"))
        await eventually("the new rules are in force", lambda: "rules.loaded" in site.gateway.log_text())
        await site.says(90, device="b2")

        await site.comes("alert", rule="other", key="b2")

    assert len(site.events("alert", rule="hot", key="b1", state="raised")) == 1
    assert not site.events("alert", rule="other", key="b1")
