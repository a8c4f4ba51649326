"""An explanation as a person reads it, and as a program does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

import msgspec

from condition_kit import condition, facts
from fieldgate_devices.event import Lane
from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import Reads
from fieldgate_rules.explain.build import build_report
from fieldgate_rules.explain.lines import report_lines
from fieldgate_rules.explain.report import Report
from fieldgate_rules.explain.seen import Seen
from fieldgate_rules.explain.triggers import Heard
from fieldgate_rules.model import RuleSpec
from fieldgate_rules.rule import EventTrigger, Rule

WALL_S = 1_767_607_200.0
BOILER = Heard("b1", "boiler", Lane.NORMAL, {"temperature": 71.0}, 2.0)


def rule(**more: object) -> Rule:
    """``hot``: above 80 for 30 s, at most once in 10 min."""
    spec = {
        "id": "hot",
        "on": {"profile": "boiler"},
        "when": "x",
        "for": "30s",
        "throttle": "10m",
        "do": [{"log": "x"}],
    }
    keys = ("on", "when", "for", "throttle", "do[0]", "enabled")
    return Rule(
        id="hot",
        spec=RuleSpec.model_validate(spec | more),
        where=Location("c.yaml", 1, 1),
        places={key: Location("c.yaml", line, 9) for line, key in enumerate(keys, 2)},
        fingerprint="",
        zone=ZoneInfo("UTC"),
        triggers=(EventTrigger(types=frozenset({"boiler"})),),
        when=condition("temperature > 80 and flow > 2"),
        until=None,
        steps=(),
        window=(),
        having=None,
        actions=(),
        reads=Reads(),
        emits=(),
    )


def seen(
    outcome: str,
    stopped_by: str,
    why: str = "",
    *,
    fields: Mapping[str, object],
    event: str = "a-1",
    at_s: float = 90.0,
) -> Seen:
    return Seen(outcome, stopped_by, why, "b1", "b1", event, at_s, WALL_S, facts(dict(fields)), {"on": "takes b1"})


def report(*decisions: Seen, of: Rule | None = None, device: str | None = "b1", event: str | None = None) -> Report:
    return build_report(
        of or rule(), decisions, device=device, event=event, heard=[BOILER], now_s=100.0, now_wall_s=WALL_S + 10
    )


WAITS = seen("waiting", "for", "it has held for 12 s of 30 s", fields={"temperature": 85, "flow": 3}, event="a-2")
FALSE = seen("false", "when", fields={"temperature": 71, "flow": 3})


def test_each_key_is_gone_through_and_the_last_line_names_what_stopped_it() -> None:
    assert list(report_lines(report(FALSE, WAITS), has_decisions=False)) == [
        "rule hot (c.yaml:1:1)",
        "  device b1, event a-2, 2026-01-05T10:00:00.000Z: waiting",
        "",
        "  on        2:9  passed   takes b1",
        "  when      3:9  passed   temperature > 80 and flow > 2 is true: temperature is 85, flow is 3",
        "      1:1  temperature > 80 and flow > 2  is true",
        "        1:1  temperature > 80  is true",
        "          1:1  temperature  is 85",
        "        1:22  flow > 2  is true",
        "          1:22  flow  is 3",
        "  for       4:9  waits    it has held for 12 s of 30 s",
        "  throttle  5:9  skipped  not asked any more",
        "",
        "c.yaml:4:9: for: it has held for 12 s of 30 s",
    ]


def test_a_false_condition_is_stopped_by_its_smallest_clause() -> None:
    """With the place of that clause, not of the condition."""
    found = report(seen("false", "when", fields={"temperature": 85, "flow": 1}))

    assert str(found.stopped) == "c.yaml:1:22: when: flow > 2 is false: flow is 1"


def test_an_event_is_found_by_its_id_and_an_unknown_one_is_said_to_be() -> None:
    assert report(FALSE, WAITS, event="a-1").outcome == "false"
    missing = report(FALSE, WAITS, event="a-9")
    assert missing.outcome == "never_asked"
    assert missing.notes[-1].startswith("no decision about event a-9")


def test_the_decisions_are_a_table() -> None:
    lines = list(report_lines(report(FALSE, WAITS)))

    assert lines[-3:] == [
        "  time                      device  event  outcome",
        "  2026-01-05T10:00:00.000Z  b1      a-1    false    1:1 when: temperature > 80 is false: temperature is 71",
        "  2026-01-05T10:00:00.000Z  b1      a-2    waiting  4:9 for: it has held for 12 s of 30 s",
    ]


def test_the_last_fifty_decisions_are_told_though_one_of_each_device_is_kept() -> None:
    """A rule over ten thousand devices would answer with a megabyte, made while nothing else runs."""
    many = [seen("false", "when", fields={"temperature": 71}, event=f"a-{number}") for number in range(200)]

    assert [one.event for one in report(*many).decisions] == [f"a-{number}" for number in range(150, 200)]
    assert report(*many, event="a-3").event == "a-3"


def test_a_device_that_was_never_asked_about_is_told_what_the_condition_would_say() -> None:
    """Of the values that it said last."""
    found = report()

    assert found.outcome == "never_asked"
    assert found.stopped is None
    assert [(one.key, one.state) for one in found.parts] == [("on[0]", "passed"), ("when", "skipped")]
    assert found.parts[1].text == "of what it said last, temperature > 80 is false: temperature is 71"


def test_without_a_device_it_says_how_many_devices_the_rule_takes() -> None:
    assert report(device=None).parts[0].text == "takes 1 of 1 devices that were heard"


class Devices(list[Heard]):
    """Counts how often somebody goes through them."""

    passes = 0

    def __iter__(self) -> Iterator[Heard]:
        self.passes += 1
        return super().__iter__()


def test_devices_are_not_gone_through_once_for_each_device() -> None:
    """With ten thousand the gateway stood still for seconds when somebody asked."""
    others = [Heard(f"b{number}", kind, Lane.NORMAL, {}, 1.0) for number in range(30) for kind in ("boiler", "pump")]
    heard = Devices(others)

    found = build_report(rule(), [], device=None, event=None, heard=heard, now_s=100.0, now_wall_s=WALL_S)

    assert found.parts[0].text == "takes 30 of 30 devices that were heard"
    assert heard.passes < 10


def test_a_disabled_rule_says_so_first() -> None:
    assert str(report(of=rule(enabled=False)).stopped) == "c.yaml:7:9: enabled: the rule is disabled"


def test_as_json_it_is_read_back_the_same() -> None:
    """What programs take is the whole of it."""
    found = report(FALSE, WAITS)

    assert msgspec.json.decode(msgspec.json.encode(found), type=Report) == found
