"""The guide's first rule, at work: ``rules/README.md``, chapter "Your first rule", in a gateway that runs already."""

from __future__ import annotations

import json
import re

import aiomqtt

from gateway_kit import Gateway, eventually, publish_once, running
from guide_blocks import blocks

FIRST = blocks()[0].text


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
