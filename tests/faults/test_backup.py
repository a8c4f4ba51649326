"""The disk is lost, the backup is there (row 26): what was acknowledged before it arrives, and no id comes twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import backup_kit
from command_kit import fieldgate, log_lines
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running

NOWHERE = {"up": {"mqtt": {"url": "mqtt://127.0.0.1:9"}}}
SESSION = 300


async def exported(gateway: Gateway) -> list[dict[str, Any]]:
    ended = await fieldgate("journal", "export", "-", config=gateway.config)
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


async def test_a_backup_under_load_brings_back_all_that_was_acknowledged(tmp_path: Path) -> None:
    """Devices publish all the time; the machine burns a while after its backup and another takes its place."""
    (tmp_path / "old").mkdir()
    archive = tmp_path / "b.tar"
    old = Gateway(tmp_path / "old", uplinks=NOWHERE, journal={"path": "state"})
    devices = [Publisher(old.port, name=f"d{number}") for number in range(2)]
    async with running(old):
        for device in devices:
            device.start()
        await eventually("there is a backlog", lambda: all(len(device.acked) > SESSION for device in devices))
        before = {device.name: set(device.acked) for device in devices}
        ended = await fieldgate("backup", archive, "--json", config=old.config)
        assert ended.json["with_secrets"] is False
        after = {device.name: len(device.acked) for device in devices}
        await eventually("more comes", lambda: all(len(one.acked) > after[one.name] for one in devices))
        assert not (old.state / "backup.part").exists()
        await old.kill()
        for device in devices:
            device.close()
        known = await exported(old)
    assert (await fieldgate("journal", "verify", config=old.config)).code == 0
    shutil.rmtree(tmp_path / "old")

    (tmp_path / "new").mkdir()
    ended = await fieldgate("restore", archive, config=tmp_path / "new" / "fieldgate.yaml")
    assert ended.code == 0, ended.err

    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        restored = json.loads((tmp_path / "new" / "fieldgate.yaml").read_text(encoding="utf-8"))
        new = Gateway(tmp_path / "new", uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}})
        assert restored["gateway"] == new.settings["gateway"]
        async with running(new):
            status = await new.status()
            fresh = Publisher(new.port, name="fresh", total=30)
            fresh.start()
            await fresh.finished()
            await new.drained("up")
            fresh.close()
        await eventually("all is upstream", lambda: not upstream.missing([fresh]))
        upstream.close()

    assert status["journal"]["epoch"] == 2
    for name, acked in before.items():
        assert acked <= set(upstream.numbers(name))
    oracle(upstream, [fresh])
    data_of = {one["id"]: one["data"] for one in known}
    for one in upstream.events():
        if one["data"]["device_"] == "fresh":
            assert one["id"] not in data_of
            assert int(one["id"].split("-")[1]) > max(event["number"] for event in known)
        else:
            assert one["data"]["n"] == data_of[one["id"]]["n"]


class _PowerCut(BaseException):
    pass


async def test_a_start_finishes_a_restore_that_was_cut_and_uses_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may be there to type it again; the old configuration with the new events would be a third thing."""
    gateway = Gateway(tmp_path, uplinks=NOWHERE)
    async with running(gateway):
        device = Publisher(gateway.port, total=20)
        device.start()
        await device.finished()
        device.close()
        assert (await fieldgate("backup", tmp_path / "b.tar", config=gateway.config)).code == 0
        assert await gateway.stop() == 0
    settings = gateway.settings
    changed = settings | {"uplinks": {**NOWHERE, "since": {"mqtt": {"url": "mqtt://127.0.0.1:9"}}}}
    gateway.config.write_text(json.dumps(changed), encoding="utf-8")
    calls: list[Path] = []

    def cut(folder: Path) -> bool:
        calls.append(folder)
        if len(calls) > 1:
            raise _PowerCut
        return False

    monkeypatch.setattr("fieldgate.cli.restore_plan.finish_restore", cut)
    with pytest.raises(_PowerCut):
        backup_kit.fieldgate("restore", tmp_path / "b.tar", "-c", gateway.config, "--force")
    assert "since" in gateway.config.read_text(encoding="utf-8")
    gateway.settings = changed

    async with running(gateway):
        status = await gateway.status()

    assert list(status["uplinks"]) == ["up"]
    assert (status["journal"]["epoch"], status["uplinks"]["up"]["pending"]) == (2, 20)
    names = [line["event"] for line in log_lines(gateway.log_text())]
    assert "restore.finished" in names
