"""A rule that never sees a device: which part of ``on`` keeps it out."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from fieldgate_devices.event import Lane
from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import Reads
from fieldgate_rules.explain.triggers import Heard, trigger_answers
from fieldgate_rules.model import RuleSpec
from fieldgate_rules.rule import CronTrigger, EventTrigger, EveryTrigger, GatewayTrigger, Rule, RuleTrigger, Trigger

KEYS = ("on", "on[0]", "on[0].device", "on[0].profile", "on[0].lane", "on[0].tag")


def rule_on(*triggers: Trigger, keys: tuple[str, ...] = KEYS, tag: str | None = None) -> Rule:
    """A rule of which only ``on`` matters; each of ``keys`` stands in a line of its own."""
    on = {"device": "x"} if tag is None else {"tag": tag}
    return Rule(
        id="r",
        spec=RuleSpec.model_validate({"id": "r", "on": on, "do": [{"log": "x"}]}),
        where=Location("r.yaml", 1, 1),
        places={key: Location("r.yaml", line, 5) for line, key in enumerate(keys, 2)},
        fingerprint="",
        zone=ZoneInfo("UTC"),
        triggers=triggers,
        when=None,
        until=None,
        steps=(),
        window=(),
        having=None,
        actions=(),
        reads=Reads(),
        emits=(),
    )


B1 = Heard("b1", "boiler", Lane.NORMAL)


@pytest.mark.parametrize(
    ("trigger", "heard", "takes", "said", "line"),
    [
        (EventTrigger(types=frozenset({"boiler"})), [B1], True, "takes b1, profile boiler", 3),
        (EventTrigger(devices=("pump-*",)), [B1], False, "b1 is not pump-*", 4),
        (EventTrigger(types=frozenset({"meter"})), [B1], False, "b1 is of profile boiler, not meter", 5),
        (
            EventTrigger(types=frozenset({"meter", "valve"})),
            [B1, Heard("b1", "meter")],
            True,
            "takes b1, profile meter",
            3,
        ),
        (EventTrigger(lanes=frozenset({Lane.HIGH})), [B1], False, "b1 comes in lane normal, not high", 6),
        (EventTrigger(tagged_devices=("garden-*",)), [B1], False, "b1 has not the tag outdoor", 7),
        (
            EventTrigger(tagged_devices=(), tagged_types=frozenset({"boiler"})),
            [B1],
            True,
            "takes b1, profile boiler",
            3,
        ),
        (EventTrigger(types=frozenset({"boiler"})), [], False, "b1 was never heard", 3),
        (EventTrigger(devices=("pump-1",)), [], False, "b1 is not pump-1", 4),
        (RuleTrigger(frozenset({"a"})), [B1], False, "asked when a fires", 3),
        (GatewayTrigger(frozenset({"uplink_down"})), [B1], False, "asked when the gateway says uplink down", 3),
        (EveryTrigger(300.0), [B1], False, "asked every 5m", 3),
        (CronTrigger("0 6 * * *", ZoneInfo("UTC")), [B1], False, "asked at '0 6 * * *' of UTC", 3),
    ],
)
def test_the_part_that_decides_is_named_with_its_place(
    trigger: Trigger, heard: list[Heard], takes: bool, said: str, line: int
) -> None:
    """The commonest reason why a rule does nothing is that it is never asked."""
    (answer,) = trigger_answers(rule_on(trigger, tag="outdoor"), "b1", heard)

    assert (answer.takes, answer.text, answer.where.line) == (takes, said, line)


def test_a_key_without_a_place_of_its_own_is_found_where_it_belongs() -> None:
    """Templates bring keys that the file does not have."""
    (answer,) = trigger_answers(rule_on(EventTrigger(devices=("x",)), keys=("on",)), "b1", [B1])

    assert answer.where.line == 2
