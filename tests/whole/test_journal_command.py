"""``fieldgate journal`` on a running gateway and on a stopped one's files, which it must not change."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from command_kit import Ended, fieldgate
from gateway_kit import Gateway, Publisher, running

NOWHERE = {"mqtt": {"url": "mqtt://127.0.0.1:9"}}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One that runs, with 60 events of two devices that its uplink never gets."""
    gateway = Gateway(tmp_path, uplinks={"up": NOWHERE})
    async with running(gateway):
        for name in ("a", "b"):
            device = Publisher(gateway.port, name=name, total=30)
            device.start()
            await device.finished()
            device.close()
        yield gateway


async def ask(gateway: Gateway, *args: object) -> Ended:
    return await fieldgate("journal", *args, config=gateway.config)


def lines(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        file.name: (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in folder.iterdir()
        if file.is_file()
    }


async def test_the_same_is_said_running_killed_and_stopped_and_looking_changes_nothing(gateway: Gateway) -> None:
    """Whoever looks after a crash must not destroy what the next start has to find."""
    questions: list[tuple[object, ...]] = [
        ("export", "-"),
        ("tail", "-n", "7", "--device", "*.b"),
        ("verify",),
    ]
    answers: dict[str, list[str]] = {}
    for state in ("running", "killed", "stopped"):
        if state == "killed":
            await gateway.kill()
        elif state == "stopped":
            await gateway.start()
            assert await gateway.stop() == 0
        before = fingerprint(gateway.state) if state != "running" else {}
        answers[state] = [one.out for one in await asyncio.gather(*(ask(gateway, *each) for each in questions))]
        stats = (await ask(gateway, "stats", "--json")).json
        if state != "running":
            assert fingerprint(gateway.state) == before
            assert stats["notes"] == []
        assert stats["lanes"]["normal"]["events"] == 60

    assert answers["running"] == answers["killed"] == answers["stopped"]
    assert "sound: " in answers["running"][-1]
    assert "uplink up: 60 pending by its account, 60 stored for it" in answers["running"][-1]
    exported = [json.loads(line) for line in answers["running"][0].splitlines()]
    assert [one["number"] for one in exported] == list(range(1, 61))
    tailed = [line.split()[1].partition("-")[2] for line in answers["running"][1].splitlines()]
    assert tailed == [str(number) for number in range(54, 61)]


async def test_a_line_of_an_export_has_all_there_is(gateway: Gateway) -> None:
    """An export must do without the gateway: id, time, quality, and the data as the device sent them."""
    device = paho.Client(paho.CallbackAPIVersion.VERSION2)
    device.connect("127.0.0.1", gateway.port)
    device.loop_start()
    device.publish("t/c", b"\xff\x00", qos=1).wait_for_publish(5)
    device.publish("t/d", b'{\n  "x": 1e2\n}', qos=1).wait_for_publish(5)
    device.disconnect()
    device.loop_stop()

    *_, binary, pretty = lines(await ask(gateway, "export", "-"))

    assert binary | {"id": "", "run": "", "time": "", "uptime_s": 0, "number": 0} == {
        "id": "", "gateway": "g", "run": "", "number": 0, "lane": "normal", "device": "t.c", "type": "generic",
        "topic": "t/c", "time": "", "timequality": "synced", "uptime_s": 0, "is_json": False, "data": None,
        "data_base64": "/wA=",
    }  # fmt: skip
    assert binary["id"] == f"{binary['run']}-{binary['number']}"
    assert binary["time"].startswith("20")
    assert binary["time"].endswith("Z")
    assert pretty["data"] == {"x": 100}
    assert "base64:/wA=" in (await ask(gateway, "tail")).out


async def test_an_exported_database_is_for_any_tool(gateway: Gateway, tmp_path: Path) -> None:
    """The sqlite-utils command line reads it, with times that sort as text and JSON that it can look into."""
    file = tmp_path / "out.db"

    ended = await ask(gateway, "export", file)

    tool = Path(sys.executable).with_name("sqlite-utils")
    if not tool.exists():
        pytest.skip("the sqlite-utils command is not beside this Python")
    query = "select device, count(*) n, max(json_extract(data, '$.n')) m from events where time > '2020' group by 1"
    process = await asyncio.create_subprocess_exec(tool, "query", file, query, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert ended.err == f"60 events in {file}\n"
    assert json.loads(out) == [{"device": "t.a", "n": 30, "m": 29}, {"device": "t.b", "n": 30, "m": 29}]
    with sqlite3.connect(file) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        assert database.execute("select count(*) from ledger").fetchone() == (0,)
        assert [row[1] for row in database.execute("pragma table_info(events)")][:4] == [
            "id",
            "gateway",
            "run",
            "number",
        ]
    database.close()


async def test_an_export_never_overwrites_and_never_leaves_half_a_file(gateway: Gateway, tmp_path: Path) -> None:
    """Half an export that looks whole is worse than none."""
    there = tmp_path / "there.jsonl"
    there.write_text("mine")

    refused = await ask(gateway, "export", there)
    nowhere = await ask(gateway, "export", tmp_path / "no" / "folder.db")
    bad = await ask(gateway, "export", tmp_path / "half.jsonl", "--since", "yesterday")
    good = await ask(gateway, "export", tmp_path / "whole.jsonl", "--json")

    assert (refused.code, refused.err) == (1, f"error: {there} exists; export to a new file\n")
    assert there.read_text() == "mine"
    assert nowhere.code == 1
    assert "no such file or directory" in nowhere.err or "unable to open" in nowhere.err
    assert bad.code == 1
    assert "since 'yesterday' is neither a duration (90s, 15m, 1h, 7d) nor a time" in bad.err
    assert good.json == {"file": str(tmp_path / "whole.jsonl"), "events": 60}
    assert [file.name for file in tmp_path.glob("*half*")] == []
    assert len((tmp_path / "whole.jsonl").read_text().splitlines()) == 60


async def test_what_cannot_be_done_is_one_sentence(gateway: Gateway, tmp_path: Path) -> None:
    """No traceback, exit code 1, and what to do instead."""
    unknown = await ask(gateway, "replay", "--uplink", "nope")
    not_kept = await ask(gateway, "replay")
    await gateway.kill()
    stopped = await ask(gateway, "replay")
    follow = await ask(gateway, "tail", "-f")
    shutil.rmtree(gateway.state)
    nothing = await ask(gateway, "stats")

    assert unknown.err == "error: no uplink 'nope'; uplinks: up\n"
    assert not_kept.err == "error: nothing is kept for a replay: set journal.keep, for example {age: 7d}\n"
    assert "a replay needs the running gateway" in stopped.err
    assert "nothing new is stored; leave out --follow" in follow.err
    assert "there is no journal yet" in nothing.err
    assert {one.code for one in (unknown, not_kept, stopped, follow, nothing)} == {1}


async def test_tail_follows_what_is_stored_and_ends_with_its_reader(gateway: Gateway) -> None:
    """``tail -f | grep -m1`` ends when grep does, and leaves nothing running in the gateway."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fieldgate", "journal", "tail", "-n", "2", "-f", "--json", "-c", str(gateway.config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    device = Publisher(gateway.port, name="late", total=3)
    try:
        first = [json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["number"] for _ in range(2)]
        device.start()

        later = [json.loads(await asyncio.wait_for(process.stdout.readline(), 30)) for _ in range(3)]
        process.terminate()
        await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        device.close()

    assert first == [59, 60]
    assert [one["number"] for one in later] == [61, 62, 63]
    assert {one["device"] for one in later} == {"t.late"}


async def test_a_reader_that_goes_away_gets_no_traceback(gateway: Gateway) -> None:
    """``fieldgate journal export - | head -1``."""
    command = f"{sys.executable} -m fieldgate journal export - -c {gateway.config} | head -1"
    process = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)

    assert json.loads(out)["number"] == 1
    assert err == b""


async def test_verify_finds_damage_and_wrong_accounts(gateway: Gateway) -> None:
    """Mutants: one flipped byte in a block's body; one event too many in an uplink's account."""
    await gateway.stop()
    whole = (await ask(gateway, "verify", "--json")).json
    database = next(gateway.state.glob("journal-*.db"))
    content = database.read_bytes()
    with sqlite3.connect(database) as connection:
        connection.execute("update block_normal set body = cast(substr(body, 1, length(body) - 1) || x'00' as blob)")
    connection.close()
    damaged = await ask(gateway, "verify")
    database.write_bytes(content)
    for left in gateway.state.glob("journal-*.db-*"):
        left.unlink()
    gateway.settings["uplinks"]["up"] = {**NOWHERE, "only": {"devices": ["t.a"]}}
    gateway.config.write_text(json.dumps(gateway.settings))
    other = await ask(gateway, "verify")

    assert whole["sound"] is True
    account = {"uplink": "up", "pending": 60, "stored": 60, "parked": 0, "parked_kept": 0}
    assert whole["accounts"] == [account]
    assert damaged.code == 1
    assert "events cannot be read" in damaged.out
    assert other.code == 1
    assert "uplink up: 60 events are pending by its account, 30 are stored" in other.out


async def test_a_slow_reader_of_an_export_holds_up_nothing(tmp_path: Path) -> None:
    """Row 27: `journal export - | something slow` while devices send: PUBACKs go on, the log stays short."""
    async with running(Gateway(tmp_path, uplinks={"up": NOWHERE})) as gateway:
        first = Publisher(gateway.port, name="first", total=3_000, window=500, noise_bytes=100)
        first.start()
        await first.finished()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldgate", "journal", "export", "-", "-c", str(gateway.config),
            stdout=asyncio.subprocess.PIPE, limit=4096,
        )  # fmt: skip
        assert process.stdout is not None
        out = await process.stdout.readexactly(10)
        second = Publisher(gateway.port, name="second", total=1_000, noise_bytes=100)
        second.start()
        sizes = []
        while len(second.acked) < second.total:
            out += await process.stdout.read(1_000)
            sizes.append(sum(file.stat().st_size for file in gateway.state.glob("*-wal")))
            await asyncio.sleep(0.1)  # 10 KB/s
        read_meanwhile = len(out)
        out += await process.stdout.read()
        assert await process.wait() == 0
        first.close()
        second.close()

    numbers = [json.loads(line)["number"] for line in out.splitlines()]
    assert read_meanwhile < len(out) / 5
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 3_000
    assert max(sizes) < 3 << 20
