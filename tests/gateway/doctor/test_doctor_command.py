"""``fieldgate doctor`` as a person and a program have it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import sys
from pathlib import Path
from typing import Any

from command_kit import fieldgate
from fieldgate.doctor.catalogue import CATALOGUE, link_of
from gateway_kit import free_port
from readme_kit import README

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "gateway/DOCTOR.md").read_text(encoding="utf-8")


def write(folder: Path, text: str = "") -> Path:
    path = folder / "fieldgate.yaml"
    path.write_text(f"gateway: {{id: plant-7}}\njournal: {{path: state, max_size: 64MB}}\n{text}", encoding="utf-8")
    path.chmod(0o640)
    (folder / "state").mkdir(mode=0o750, exist_ok=True)
    return path


async def examined(*words: str, config: Path) -> tuple[int, dict[str, Any]]:
    ended = await fieldgate("doctor", "--json", *words, config=config)
    return ended.code, json.loads(ended.out)


async def test_it_works_without_a_gateway_and_tells_a_program_everything(tmp_path: Path) -> None:
    """The keys are what somebody's monitoring reads for years."""
    code, told = await examined(config=write(tmp_path))

    assert code == 0
    assert set(told) == {"version", "path", "ok", "errors", "warnings", "notes", "findings"}
    assert {part["part"] for part in told["findings"]} == {
        "clock", "config", "software", "storage", "gateway", "machine", "uplinks",
    }  # fmt: skip
    assert "uplink.none" in [one["id"] for one in told["findings"]]
    for one in told["findings"]:
        assert set(one) == {"id", "level", "part", "about", "seen", "do", "see", "readme", "figures"}
        assert one["level"] == CATALOGUE[one["id"]].level.value
        assert one["do"] or one["level"] in ("ok", "note")
    assert told["warnings"] == sum(one["level"] == "warning" for one in told["findings"])
    assert list((tmp_path / "state").iterdir()) == []


async def test_an_error_ends_it_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    config = write(tmp_path, f"uplinks: {{cloud: {{mqtt: {{url: 'mqtt://127.0.0.1:{free_port()}'}}}}}}\n")

    ended = await fieldgate("doctor", config=config)
    code, told = await examined("--uplink", "cloud", config=config)

    assert ended.code == code == 1
    assert "ERROR    127.0.0.1:" in ended.out
    assert "do: the machine is there and nothing listens on that port" in ended.out
    assert f"see: {link_of('uplink.nothing_listens')}" in ended.out
    assert re.search(r"^\d+ findings: 1 error, ", ended.out, re.MULTILINE)
    assert ended.err == ""  # progress is for terminals
    assert {part["part"] for part in told["findings"]} == {"clock", "uplink cloud"}


async def test_offline_connects_to_nothing(tmp_path: Path) -> None:
    """A technician in the field without a SIM card, and whoever may not connect from here."""
    config = write(tmp_path, f"uplinks: {{cloud: {{mqtt: {{url: 'mqtt://127.0.0.1:{free_port()}'}}}}}}\n")

    code, told = await examined("--offline", config=config)

    assert code == 0
    assert [one["id"] for one in told["findings"] if one["part"] == "uplinks"] == ["uplink.offline"]


async def test_an_uplink_that_is_not_configured_is_named_with_those_that_are(tmp_path: Path) -> None:
    config = write(tmp_path, "uplinks: {cloud: {mqtt: {url: 'mqtt://127.0.0.1:1'}}, here: {mqtt: self}}\n")

    ended = await fieldgate("doctor", "--uplink", "here", config=config)

    assert ended.code == 2
    assert "'here' is no uplink or source with a server; there are: cloud" in " ".join(ended.err.split())


async def test_a_configuration_that_cannot_be_read_at_all_is_a_finding(tmp_path: Path) -> None:
    """Then nothing is known of uplinks or of the journal's place, and nothing is made up about them."""
    config = write(tmp_path, "uplinks: [\n")

    code, told = await examined(config=config)

    assert code == 1
    assert {part["part"] for part in told["findings"]} == {"clock", "config", "software"}


async def test_a_person_at_a_terminal_sees_it_go_on(tmp_path: Path) -> None:
    """Looking up a name can take as long as the system's resolver likes."""
    config = write(tmp_path, "uplinks: {cloud: {mqtt: {url: 'mqtt://broker.invalid'}}}\n")
    leader, follower = pty.openpty()
    slow = "from fieldgate.cli import progress; progress._TELL_EVERY_S = 0; from fieldgate.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", slow, "doctor", "-c", str(config), stdout=asyncio.subprocess.PIPE, stderr=follower
    )
    os.close(follower)
    out, _ = await process.communicate()
    told = b""
    while b"connecting" not in told and b"looking up" not in told:
        told += os.read(leader, 65_536)
    os.close(leader)

    assert b"looking up broker.invalid" in told or b"connecting" in told
    assert b"uplink cloud" in out


# -- documentation ----------------------------------------------------------------------------------------------


def test_every_finding_is_documented_with_its_level_and_none_that_is_not_there() -> None:
    """A link in an answer that leads nowhere is worse than none."""
    documented = re.findall(r"^### ([a-z_]+\.[a-z0-9_]+)\n\n\*(\w+)\*", PAGE, re.MULTILINE)

    assert sorted(documented) == sorted((name, entry.level.value) for name, entry in CATALOGUE.items())


def test_every_finding_leads_to_a_section_of_the_readme_that_there_is() -> None:
    headings = set(re.findall(r"^##+ (.+)$", README, re.MULTILINE))

    assert {entry.readme for entry in CATALOGUE.values()} <= headings


def test_every_finding_is_made_to_appear_by_a_test() -> None:
    """One that cannot appear is a promise that nobody keeps."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert [name for name in CATALOGUE if f'"{name}"' not in text] == []
