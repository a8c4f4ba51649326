"""What the running gateway does without: it lives for months on a small machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOT_NEEDED = (
    "typer",
    "rich",
    "pygments",
    "attr",
    "websockets.server",
    "websockets.client",
    "sqlite_utils",
    "aiomqtt",
    "paho",
    "amqtt",
    "h11",
    "re2",
    "serial",
    "anycrc",
    "fieldgate.forward.encode",
    "fieldgate.forward.home_assistant",
    "fieldgate.forward.local_uplink",
    "fieldgate.forward.mqtt_uplink",
    "fieldgate.forward.webhook_uplink",
    "fieldgate.ingest.mqtt_source",
    "fieldgate.ingest.serial_source",
    "fieldgate.mqtt.client_session",
    "fieldgate.net.broker_connection",
    "cbor2",
    "bitstruct",
    "dsmr_parser",
    "importlib.resources.readers",
    "pymodbus",
    "fieldgate.contract_export",
    "fieldgate.doctor",
    "fieldgate.cli.devices_infer",
    "fieldgate_devices.infer",
    "fieldgate_rules.explain.build",
    "fieldgate_rules.tester",
)
OF_RULES = (
    "cronsim",
    "fieldgate_rules.condition",
    "fieldgate_rules.engine",
    "fieldgate_rules.leaf",
    "fieldgate_rules.model",
    "fieldgate_rules.reading",
)
LOOK = "import sys, fieldgate.cli, fieldgate.cli.serve; print([one for one in sys.argv[1:] if one in sys.modules])"
ASSEMBLE = """
import asyncio, sys
from pathlib import Path

import fieldgate.cli
import fieldgate.cli.serve
from fieldgate import clock
from fieldgate.config import Config
from fieldgate.journal.journal import Journal
from fieldgate.pipeline import Pipeline


async def assemble(folder):
    state = folder / "state"
    config = Config.model_validate({"journal": {"path": state}}, context={"folder": folder})
    now = {"boot_ns": clock.boot_ns(), "wall_ns": clock.wall_ns()}
    journal = Journal.open(state, run=1, os_boot=clock.os_boot_id(), gateway="g", max_size_bytes=1 << 24, **now)
    pipeline = Pipeline(config, journal, run=1)
    await pipeline.stop()


asyncio.run(assemble(Path(sys.argv[1])))
print([one for one in sys.argv[2:] if one in sys.modules])
"""
RULE = 'rules: [{id: hot, on: {device: "*"}, when: temperature > 80, do: [{alert: {text: hot}}]}]'


def loaded(before: str = "") -> str:
    return printed(before + LOOK, *NOT_NEEDED, *OF_RULES)


def printed(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_the_gateway_loads_nothing_that_it_does_not_need() -> None:
    """Each of these costs a megabyte or more; a listener or an uplink over WebSocket loads its own."""
    assert loaded() == "[]"


def test_what_is_loaded_is_seen() -> None:
    """The control."""
    assert "'paho'" in loaded("import paho;")


@pytest.mark.parametrize("has_rule", [False, True])
def test_a_first_start_loads_what_rules_consist_of_only_where_there_is_one(tmp_path: Path, has_rule: bool) -> None:
    """All parts of a gateway were made, its journal too, and stopped. With a rule it is the control."""
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d" / "readme.txt").write_text("no file of rules")
    if has_rule:
        (tmp_path / "rules.d" / "hot.yaml").write_text(RULE)

    found = printed(ASSEMBLE, str(tmp_path), *NOT_NEEDED, *OF_RULES).splitlines()[-1]

    assert found == str(list(OF_RULES) if has_rule else [])
