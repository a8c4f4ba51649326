"""What the running gateway answers about its rules: bounded, however many alerts last, and clean while it stops."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from fieldgate.answers.rules import rule_handlers, rules_facts
from fieldgate.cli.rules_status import _lines
from fieldgate.control import ControlError
from fieldgate.rule_files import RulesClosed
from fieldgate_rules.engine.alerts import Alerts
from rule_engine_kit import World

DEVICES = 6_000
RULES = """
rules:
  - {id: hot, on: {device: "d*"}, do: [{alert: {text: "{device} is hot"}}]}
  - {id: quiet, on: {device: other}, do: [{alert: {text: "never"}}]}
  - {id: shadow, mode: shadow, on: {device: "d*"}, do: [{alert: {text: "{device} is hot"}}]}
"""


class Files:
    """Files that are read no more."""

    problems = ()
    loaded = SimpleNamespace(warnings=())

    async def reload(self) -> tuple[str, ...]:
        raise RulesClosed("rules.d")  # type: ignore[arg-type]  # only shown


def pipeline_of(world: World) -> Any:
    """As much of a pipeline as the answers look at."""
    actuator = SimpleNamespace(refused=Counter(), counts=Counter())
    host = SimpleNamespace(engine=world.engine, rules=world.rules, actuator=actuator)
    keeper = SimpleNamespace(is_behind=False, commits=0, written_bytes=0, problem="")
    config = SimpleNamespace(rules=SimpleNamespace(path="rules.d"))
    return SimpleNamespace(rules=SimpleNamespace(host=host, files=Files(), keeper=keeper), config=config)


@pytest.fixture(scope="module")
def many() -> Any:
    """A gateway in which an alert lasts for each of 6,000 devices."""
    world = World(RULES)
    for number in range(DEVICES):
        world.say({}, device=f"d{number}", type_="generic")
    return pipeline_of(world)


async def listed(pipeline: Any, **asked: Any) -> list[dict[str, Any]]:
    """What `rules.list` answers."""
    return [one async for one in rule_handlers(pipeline)["rules.list"](asked)]


@pytest.mark.parametrize(("asked", "shown"), [({}, 20), ({"alerts": 0}, 0), ({"rule": "hot", "alerts": 1000}, 1000)])
async def test_no_more_alerts_are_made_than_are_shown(
    many: Any, asked: dict[str, Any], shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site that loses its heating has 6,000 of them, and whoever looks must not hold up the gateway."""
    made: list[str] = []
    change = Alerts.change
    monkeypatch.setattr(
        Alerts, "change", lambda self, alert, *more: made.append(alert.key) or change(self, alert, *more)
    )

    hot, *others = await listed(many, **asked)

    assert len(made) == shown
    assert (len(hot["alerts"]), hot["alert_count"]) == (shown, DEVICES)
    assert [one["alert_count"] for one in others] == ([] if "rule" in asked else [0, 0])
    assert rules_facts(many)["alerts"] == DEVICES
    assert len(made) == shown, "status counts them, and makes none"


async def test_the_command_says_how_many_more_there_are(many: Any) -> None:
    """Nobody takes the first ones for all."""
    (some,), (none,) = await listed(many, rule="hot", alerts=2), await listed(many, rule="hot", alerts=0)

    assert _lines(some)[1:] == ["    WARNING d0: d0 is hot", "    WARNING d1: d1 is hot", "    and 5,998 more alerts"]
    assert _lines(none)[1:] == ["    and 6,000 alerts"]


async def test_what_max_age_stopped_is_not_said_to_be_done() -> None:
    """A timer that was due while the gateway was down has fired, and its message went nowhere."""
    rule = "{id: lamp, on: {device: b1}, when: hot, for: 1m, do: [{publish: {topic: lamp}}, {log: x, if: not hot}]}"
    world = World(f"rules: [{rule}]")
    world.say({"hot": True}, type_="generic")

    world.restart(after_s=600)
    world.to(700)

    (lamp,) = await listed(pipeline_of(world))
    assert (lamp["fired"], lamp["stopped"], world.times("LocalPublish")) == (1, {"max_age": 1}, [])
    assert _lines(lamp) == ["lamp   fired 1   stopped by max_age 1"]


async def test_reading_again_while_the_gateway_stops_is_refused(many: Any) -> None:
    """The socket is open a moment longer than the files."""
    with pytest.raises(ControlError, match=r"rules\.d is not read any more: the gateway is about to stop"):
        [one async for one in rule_handlers(many)["rules.reload"]({})]
