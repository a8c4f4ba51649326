"""The guide's first rule, at work: ``rules/README.md``, chapter "Your first rule", in a gateway that runs already."""

from __future__ import annotations

import json
import re

import aiomqtt

from command_kit import fieldgate
from gateway_kit import Gateway, eventually, publish_once, running
from guide_blocks import blocks
from rules_tables import PAGE

FIRST = blocks()[0].text
GUIDE = PAGE.read_text(encoding="utf-8")
CONFIG = "gateway: {id: plant-7}\nlisten:\n  - {mqtt: 127.0.0.1:1883}\njournal: {path: state}\n"


async def test_the_guides_first_rule_is_checked_and_tested_as_the_guide_says(tmp_path):
    (tmp_path / "fieldgate.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d/kitchen.yaml").write_text(FIRST, encoding="utf-8")
    typed = re.findall(r"^fieldgate (rules \w+)$", GUIDE, re.MULTILINE)

    ended = [await fieldgate(*line.split(), cwd=tmp_path) for line in typed]

    assert typed == ["rules check", "rules test"]
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]


async def test_every_command_that_the_guide_names_is_one():
    """Who is sent to a command that is not there trusts nothing else of the page."""
    named = set(re.findall(r"fieldgate rules ([a-z]+)", GUIDE))

    ended = {name: await fieldgate("rules", name, "--help") for name in sorted(named)}

    assert named >= {"check", "test", "explain", "replay", "eject", "list", "schema", "reload", "resolve", "status"}
    assert [name for name, one in ended.items() if one.code != 0] == []


async def test_the_guides_first_rule_raises_its_alert_without_a_restart_and_ends_it(tmp_path):
    """What a new author sees within five minutes decides whether there will be a second rule."""
    gateway = Gateway(tmp_path, uplinks={})
    text = re.sub("for: 5s", "for: 200ms", FIRST)

    async with running(gateway), aiomqtt.Client("127.0.0.1", gateway.port) as display:
        await display.subscribe("fieldgate/+/alerts/#")
        (tmp_path / "rules.d").mkdir()
        (tmp_path / "rules.d/kitchen.yaml").write_text(text, encoding="utf-8")
        await eventually("the rule is in force", lambda: _rules(gateway))
        await publish_once(gateway.port, "kitchen", b'{"temperature": 26}')
        raised = await anext(aiter(display.messages))
        await publish_once(gateway.port, "kitchen", b'{"temperature": 23}')
        ended = await anext(aiter(display.messages))

    assert str(raised.topic) == str(ended.topic) == "fieldgate/g/alerts/kitchen-warm/kitchen"
    said, over = json.loads(raised.payload), json.loads(ended.payload)
    assert (said["state"], said["severity"], said["text"]) == ("raised", "warning", "kitchen is at 26.0 °C")
    assert over["state"] == "resolved"


async def _rules(gateway: Gateway) -> bool:
    status = await gateway.status()
    return bool(status["rules"]["count"])
