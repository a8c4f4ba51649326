"""``fieldgate rules replay`` of the journal: of a running gateway, and of a stopped one's files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from command_kit import fieldgate
from gateway_kit import Gateway, Publisher, running

NOWHERE = {"mqtt": {"url": "mqtt://127.0.0.1:9"}}
RULE = """\
rules:
  - id: {id}
    on: {{device: "t.*"}}
    fires: each
    when: n >= {least}
    do: [{{log: "{{device}} is at {{n}}"}}]
"""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One that runs, with 60 events of two devices that its uplink never gets, and a rule about them in force."""
    gateway = Gateway(tmp_path, uplinks={"up": NOWHERE})
    folder = gateway.config.parent / "rules.d"
    folder.mkdir()
    async with running(gateway):
        for name in ("a", "b"):
            device = Publisher(gateway.port, name=name, total=30)
            device.start()
            await device.finished()
            device.close()
        (folder / "counting.yaml").write_text(RULE.format(id="counting", least=25))
        yield gateway


async def replayed(gateway: Gateway, file: Path, *args: object) -> dict[str, Any]:
    ended = await fieldgate("rules", "replay", file, "--json", *args, config=gateway.config)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


async def test_the_journal_says_what_would_have_been_running_or_stopped(gateway: Gateway, tmp_path: Path) -> None:
    """Whoever changes a rule asks the days that were, without stopping the gateway."""
    new = tmp_path / "new.yaml"
    new.write_text(RULE.format(id="counting", least=20))

    while_running = await replayed(gateway, new)
    assert await gateway.stop() == 0
    when_stopped = await replayed(gateway, new)

    assert while_running == when_stopped
    assert (while_running["events"], while_running["devices"]) == (60, 2)
    assert while_running["rules"] == {
        "counting": {"in_force": 10, "with_file": 20, "same": 10, "added": 10, "gone": 0, "changed": 0}
    }
    assert [one["after"]["text"] for one in while_running["differences"]] == [
        "t.a is at 20", "t.a is at 21", "t.a is at 22",
    ]  # fmt: skip
    assert while_running["left_out"] == 7
    assert while_running["unknown"][0].startswith("journal.keep is not set: ")


async def test_since_is_a_time_that_was(gateway: Gateway, tmp_path: Path) -> None:
    """Control: nothing is from the future."""
    new = tmp_path / "new.yaml"
    new.write_text(RULE.format(id="counting", least=20))

    facts = await replayed(gateway, new, "--since", "2100-01-01T00:00:00Z")

    assert (facts["events"], facts["same"], facts["from"]) == (0, True, None)
