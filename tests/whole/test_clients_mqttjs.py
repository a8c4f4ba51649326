"""MQTT.js, the client of Node-RED and zigbee2mqtt, against our listener."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from listener_kit import SettlingIntake, serving

PACKAGE = "mqtt@5.16.0"
SCRIPT = Path(__file__).with_name("mqttjs_client.cjs")


@pytest.fixture(scope="session")
def node_modules(request: pytest.FixtureRequest) -> Path:
    """The folder with MQTT.js, fetched once and kept in pytest's cache."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed (MQTT.js needs them)")
    assert request.config.cache is not None
    folder = request.config.cache.mkdir(PACKAGE.replace("@", "-"))
    modules = folder / "node_modules"
    if not (modules / "mqtt" / "package.json").exists():
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), PACKAGE]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm could not fetch {PACKAGE} in 50 s")
        if done.returncode != 0:
            pytest.skip(f"npm cannot fetch {PACKAGE}: {done.stderr.strip()[-200:]}")
    return modules


@pytest.mark.parametrize("version", [4, 5])
async def test_mqttjs_publishes_and_hears_itself_at_every_qos(node_modules: Path, version: int) -> None:
    """In MQTT 5 it uses topic aliases and a Receive Maximum of 10 by itself."""
    intake = SettlingIntake()
    async with serving(intake) as listener:
        process = await asyncio.create_subprocess_exec(
            "node", str(SCRIPT), str(listener.port), str(version),
            env={**os.environ, "NODE_PATH": str(node_modules)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(15):
            out, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    told = json.loads(out)
    assert told["granted"] == 1
    for qos in range(3):
        numbers = [payload for topic, payload, _ in told["heard"] if topic == f"js/{qos}"]
        assert numbers == [str(one) for one in range(100)]
        assert [one.payload.decode() for one in intake.heard if one.topic == f"js/{qos}"] == numbers
