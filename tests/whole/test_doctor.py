"""``fieldgate doctor`` and ``fieldgate diag`` beside a running gateway, and after one that was killed."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from command_kit import fieldgate
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, eventually, publish_once, running


async def examined(gateway: Gateway, *words: str) -> dict[str, dict[str, Any]]:
    ended = await fieldgate("doctor", "--json", *words, config=gateway.config)
    return {one["id"]: one for one in json.loads(ended.out)["findings"]}


async def test_beside_a_running_gateway_it_disturbs_nothing_and_sees_more(tmp_path: Path) -> None:
    """Somebody runs it because something is wrong; it must not be the next thing that is."""
    async with Broker() as broker:
        gateway = Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}})
        async with running(gateway):
            await eventually("it is connected", lambda: "uplink.connected" in gateway.log_text())
            found = await examined(gateway)
            state = (await gateway.status())["uplinks"]["up"]["state"]
            connected = gateway.log_text().count("uplink.connected")
            lost = gateway.log_text().count("uplink.lost")
            pid = (await gateway.status())["pid"]

    assert found["gateway.running"]["figures"]["pid"] == pid
    assert found["uplink.accepts"]["about"] == "uplink up"
    assert found["machine.open_files"]["seen"].startswith("the gateway may have")
    assert not [one for one in found.values() if one["level"] == "error"]
    assert (state, connected, lost) == ("connected", 1, 0)


async def test_after_a_gateway_that_was_killed_it_says_so(tmp_path: Path) -> None:
    """And not after one that was stopped, which is the control."""
    gateway = Gateway(tmp_path, uplinks={})
    await gateway.start()
    await gateway.stop()
    stopped = await examined(gateway, "--offline")
    await gateway.start()
    await gateway.kill()
    killed = await examined(gateway, "--offline")

    assert "gateway.ended_badly" not in stopped
    assert killed["gateway.ended_badly"]["level"] == "warning"


async def test_a_bundle_holds_what_devices_said_only_if_it_was_asked_for(tmp_path: Path) -> None:
    """It goes to strangers. Status, statistics and log are in it either way."""
    gateway = Gateway(tmp_path, uplinks={})
    async with running(gateway):
        for number in range(3):
            await publish_once(gateway.port, "site/a/b/telemetry", b'{"planted_payload":%d}' % number)

        async def is_stored() -> bool:
            return (await gateway.status())["journal"]["events"] == 3

        await eventually("the events are stored", is_stored)
        without = await bundle(gateway, tmp_path / "without.tar.gz")
        some = await bundle(gateway, tmp_path / "with.tar.gz", "--with-events", "2")

    assert "planted_payload" not in str(without)
    assert "events.jsonl" not in without
    events = [json.loads(line) for line in some["events.jsonl"].splitlines()]
    assert ["planted_payload" in str(event["data"]) for event in events] == [True, True]
    assert json.loads(without["status.json"])["journal"]["events"] == 3
    assert json.loads(without["journal.json"])["lanes"]["normal"]["events"] == 3
    assert "gateway.started" in without["log.txt"]


async def bundle(gateway: Gateway, path: Path, *words: str) -> dict[str, str]:
    log = gateway.config.parent / "gateway.log"
    ended = await fieldgate("diag", path, "--offline", "--json", "--log", log, *words, config=gateway.config)
    assert ended.json["file"] == str(path)
    with tarfile.open(path) as archive:
        return {
            one.name.partition("/")[2]: archive.extractfile(one).read().decode()  # type: ignore[union-attr]
            for one in archive.getmembers()
        }
