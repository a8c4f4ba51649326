"""Sources in view of each other and of the uplinks: loops, and rules that do nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate.config import load
from fieldgate.config.loops import covers, overlaps, published_filter
from fieldgate.mqtt.topics import matches


@pytest.mark.parametrize(
    ("one", "other", "overlap", "cover"),
    [
        ("a", "a", True, True),
        ("a", "b", False, False),
        ("a/+", "a/b", True, True),
        ("a/b", "a/+", True, False),
        ("a/#", "a", True, True),
        ("a", "a/#", True, False),
        ("a/#", "a/+/c", True, True),
        ("#", "a/b", True, True),
        ("a/b", "#", True, False),
        ("+/b", "a/+", True, False),
        ("+/b/c", "a/+", False, False),
        ("+", "a/b", False, False),
        ("a/+/c", "a/#", True, False),
        ("#", "$SYS/x", False, False),
        ("$SYS/#", "#", False, False),
        ("$share/g/a/#", "a/b", True, True),
        ("+/#", "#", True, False),
    ],
)
def test_filters_are_compared_as_sets_of_topics(one: str, other: str, overlap: bool, cover: bool) -> None:
    """What cannot be said of single topics must be said of filters, before anything runs."""
    assert overlaps(one, other) == overlaps(other, one) == overlap
    assert covers(one, other) == cover


@pytest.mark.parametrize(
    ("template", "topic", "filter_"),
    [
        ("fieldgate/{gateway}/{device}/{type}", "fieldgate/g/a.b/message", "fieldgate/g/+/+"),
        ("up/{gateway}/{topic}", "up/g/a/b/c", "up/g/#"),
        ("{topic}", "a/b", "#"),
        ("x/dev-{device}/y", "x/dev-1/y", "x/+/y"),
        ("a/{topic}/{lane}", "a/b/c/high", "a/#"),
        ("plain", "plain", "plain"),
    ],
)
def test_a_filter_takes_in_everything_that_a_template_makes(template: str, topic: str, filter_: str) -> None:
    """Rather too much than too little: what is missed is a loop."""
    assert published_filter(template, "g") == filter_
    assert matches(filter_, topic)


def test_loops_and_rules_that_do_nothing_are_told_with_their_place(tmp_path: Path) -> None:
    """Both work, and neither does what was meant."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text(
        """\
gateway: {id: g}
sources:
  - name: shop
    mqtt:
      url: mqtt://127.0.0.1:1999
      subscribe:
        - sensors/#
        - "#"
    remap:
      - {match: "sensors/#", to: "s/{#}"}
      - {match: "sensors/{x}/state", to: "x/{x}"}
  - name: other
    mqtt: {url: mqtts://elsewhere, subscribe: [sensors/#]}
    remap: [{match: "nothing/+", to: x}]
    events: [sensors/+, valves/#]
uplinks:
  cloud: {mqtt: {url: mqtt://localhost:1999}}
""",
        encoding="utf-8",
    )

    warnings = [line.removeprefix(f"{file}:") for line in load(file).warnings if "max_size" not in line]

    assert warnings == [
        "8:11: warning: subscribe: '#' also reads what uplinks.cloud publishes to the same broker "
        "('fieldgate/{gateway}/{device}/{type}'): each event comes back and is dropped; subscribe to less",
        "11:17: warning: match: 'sensors/{x}/state' has no effect: 'sensors/#' before it takes all of it",
        "14:21: warning: match: 'nothing/+' has no effect: nothing that is subscribed to matches it",
        "15:25: warning: events: 'valves/#' has no effect: nothing that is subscribed to matches it",
    ]
