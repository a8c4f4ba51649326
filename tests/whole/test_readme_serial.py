"""The chapter "Connect a serial device" of the README, typed word by word: a scale on a pty, a pulled plug."""

from __future__ import annotations

import re
from pathlib import Path

from gateway_kit import eventually
from ports import free_port
from readme_kit import Reader, chapter, is_shown

BLOCKS = chapter("Connect a serial device")


def of_any_scale(printed: str) -> list[str]:
    """What any scale would have said by any time."""
    printed = re.sub(r"[▁-█]+", "▁", printed)
    printed = re.sub(r"   [0-9]+ not safe yet", "", printed)
    printed = re.sub(r"\b[0-9.]+ (?:k?B|m?s|min)\b", "0 x", printed)
    return re.sub(r"[0-9][0-9.,]*", "0", printed).replace("state   US", "state   ST").splitlines()


async def test_a_scale_is_connected_as_the_readme_says(tmp_path: Path) -> None:
    """Without any hardware, from the chapter alone: its simulator, its two files, its commands, and what they show."""
    reader = Reader(tmp_path, {"/tmp/scale": str(tmp_path / "scale")})
    simulate, check_and_run, ask = [text.splitlines() for kind, text in BLOCKS if kind == "sh"]
    source, profile = [reader.settled(text) for kind, text in BLOCKS if kind == "yaml"]
    shown = next(text for kind, text in BLOCKS if kind == "text")
    own = f"listen: [{{mqtt: '127.0.0.1:{free_port()}'}}]\njournal: {{path: state}}\n"
    (tmp_path / "fieldgate.yaml").write_text(source + own, encoding="utf-8")
    (tmp_path / "devices.d").mkdir()
    (tmp_path / "devices.d" / "my_scale.yaml").write_text(profile, encoding="utf-8")
    (check, run), log = check_and_run, tmp_path / "gateway.log"

    async def says(pattern: str) -> bool:
        return re.search(pattern, (await reader.types(ask[0]))[1]) is not None

    async with reader.leaves_running(run, log):
        async with reader.leaves_running(simulate[0], tmp_path / "simulator.log"):
            checked = await reader.types(check)
            await eventually("three readings", lambda: says(r" ([3-9]|\d\d+) frames "), within_s=90)
            printed = "".join([(await reader.types(line))[1] for line in ask])
        await eventually("it is missed", lambda: says("NOT CONNECTED"), within_s=90)
        async with reader.leaves_running(simulate[0], tmp_path / "simulator.log"):
            await eventually("it is back", lambda: says("1 reconnect"), within_s=90)
            changes = re.findall(r"event=serial\.(\w+)", log.read_text(encoding="utf-8"))

    assert (checked[0], checked[1].splitlines()[-1]) == (0, "fieldgate.yaml: ok")
    assert is_shown(of_any_scale(shown), of_any_scale(printed)), f"shown:\n{shown}\nprinted:\n{printed}"
    assert changes == ["connected", "lost", "connected"]
