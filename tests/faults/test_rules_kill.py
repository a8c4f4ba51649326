"""kill -9 while rules make events of events: a cause and what came of it, both or neither (row 3 of FAULTS.md)."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway_kit import Gateway, Publisher, eventually, running
from ports import free_port
from rule_gateway import rule_gateway, stored

SIZE = "8MiB"  # a sixteenth of it is what one commit takes
RULES = """
rules:
  - id: seen
    on: {profile: generic}
    do:
      - emit: {type: seen, lane: high, fields: {n: "{n}"}}
      - emit: {type: noted, lane: low, fields: {n: "{n}"}}
"""


def _broken(events: list[dict[str, Any]]) -> list[str]:
    """What of a journal is a cause without what came of it, or the other way round."""
    causes = {one["id"]: one["data"]["n"] for one in events if one["type"] == "generic"}
    found = []
    for kind in ("seen", "noted"):
        made = Counter((one["cause"], one["data"]["n"]) for one in events if one["type"] == kind)
        found += [f"{kind} {one} {count} times" for one, count in made.items() if count != 1]
        found += [f"{kind} {one} without its cause" for one in made.keys() - causes.items()]
        found += [f"cause {one} without its {kind}" for one in causes.items() - made.keys()]
    return found


def _gateway(folder: Path, *, durability: str = "relay") -> Gateway:
    """One that delivers nothing, so that all that is safe is on this disk.

    More waits than a commit of so small a journal takes, so that commits end wherever they may.
    """
    uplinks = {"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}"}}}
    return rule_gateway(folder, RULES, uplinks=uplinks, durability=durability, journal={"max_size": SIZE})


def _devices(gateway: Gateway, number: int = 0) -> list[Publisher]:
    return [Publisher(gateway.port, f"d{number}{one}", total=60, window=60, noise_bytes=8_000) for one in "abc"]


async def _crash(folder: Path, *, at: int, durability: str = "relay", mutant: str = "") -> list[str]:
    """Let it die when that commit is on disk; return what is broken then."""
    gateway = _gateway(folder, durability=durability)
    gateway.env = {"FIELDGATE_CRASH_AT": f"after-commit:{at}", "FIELDGATE_MUTANT": mutant}
    await gateway.start()
    devices = _devices(gateway)
    try:
        for device in devices:
            device.start()
        assert gateway.process is not None
        assert await asyncio.wait_for(gateway.process.wait(), 30) == -9
    finally:
        for device in devices:
            device.close()
        await gateway.kill()
    gateway.env = {}
    async with running(gateway):
        events = await stored(gateway)
    assert events, "it died before anything was stored"
    return _broken(events)


@pytest.mark.parametrize("durability", ["relay", "journal"])
@pytest.mark.parametrize("at", [2, 4])
async def test_after_each_commit_a_cause_and_what_came_of_it_are_both_stored_or_neither(
    tmp_path: Path, at: int, durability: str
) -> None:
    """An alarm whose cause was acknowledged cannot be raised again: nobody sends the cause once more."""
    assert await _crash(tmp_path, at=at, durability=durability) == []


async def test_a_commit_that_divides_them_is_found_out(tmp_path: Path) -> None:
    """Mutant: batches are bound to nothing. If that passes, the tests here prove nothing."""
    for at in range(2, 8):
        folder = tmp_path / str(at)
        folder.mkdir()
        if await _crash(folder, at=at, mutant="commit-divides-causes"):
            return
    raise AssertionError("no commit ended between a cause and what came of it")


async def _kills(folder: Path, *, kills: int, seed: int) -> None:
    """Kill it at any moment, again and again, with devices that are new each time."""
    rng = random.Random(seed)
    gateway = _gateway(folder)
    acked: set[tuple[str, int]] = set()
    try:
        for number in range(kills):
            await gateway.start()
            devices, enough = _devices(gateway, number), rng.randrange(1, 120)
            try:
                for device in devices:
                    device.start()
                await eventually("so much is safe", lambda: sum(len(one.acked) for one in devices) >= enough)  # noqa: B023
                await gateway.kill()
            finally:
                for device in devices:
                    device.close()
            acked |= {(f"t.{device.name}", one) for device in devices for one in device.acked}
            await gateway.start()
            events = await stored(gateway)
            assert _broken(events) == []
            assert acked <= {(one["device"], one["data"]["n"]) for one in events if one["type"] == "seen"}
            await gateway.kill()
            if number % 3 == 2:  # before the journal is full, and drops what is old
                shutil.rmtree(gateway.state)
                acked.clear()
    finally:
        await gateway.kill()


async def test_so_it_is_after_kills_at_any_moment(tmp_path: Path) -> None:
    await _kills(tmp_path, kills=3, seed=11)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
async def test_so_it_is_after_many_kills(tmp_path: Path, seed: int) -> None:
    await _kills(tmp_path, kills=30, seed=seed)


def test_the_check_finds_a_cause_or_an_alarm_that_is_alone() -> None:
    """Mutants of the journal: what the check above must not let pass."""
    cause = {"id": "r-1", "type": "generic", "data": {"n": 5}}
    seen = {"id": "r-2", "type": "seen", "cause": "r-1", "data": {"n": 5}}
    noted = seen | {"id": "r-3", "type": "noted"}

    assert _broken([cause, seen, noted]) == []
    assert _broken([cause, seen]) == ["cause ('r-1', 5) without its noted"]
    assert len(_broken([seen, noted])) == 2
    assert _broken([cause, seen, noted, noted]) == ["noted ('r-1', 5) 2 times"]
