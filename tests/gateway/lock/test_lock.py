"""The locks pin all that Fieldgate needs and what builds it, so that pip takes nothing else: versions and hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8")
BUILD_LOCK = (ROOT / "deploy" / "build-requirements.txt").read_text(encoding="utf-8")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNS: list[str] = SETTINGS["project"]["dependencies"]
BUILDS: list[str] = [*SETTINGS["build-system"]["requires"], "setuptools"]  # the latter for tailer


def pinned(text: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes by name; what is not pinned has no version."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    found = {}
    for line in filter(str.strip, lines):
        requirement = Requirement(line.partition("--hash")[0].strip())
        versions = [one.version for one in requirement.specifier if one.operator == "=="]
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
        found[canonicalize_name(requirement.name)] = (versions[0] if len(versions) == 1 else "", hashes)
    return found


def problems(text: str, needed: list[str] = RUNS) -> list[str]:
    """What is wrong with a lock of what is needed."""
    locked = pinned(text)
    wrong = [f"{name}: not pinned" for name, (version, hashes) in locked.items() if not version or not hashes]
    for written in needed:
        wanted = Requirement(written)
        version, _ = locked.get(canonicalize_name(wanted.name), ("", []))
        if not version or not wanted.specifier.contains(version, prereleases=True):
            wrong.append(f"{written}: {version or 'not there'}; run: make lock")
    if "://" in text or "index-url" in text or "find-links" in text:
        wrong.append("it names where packages come from, which is for the machine to say")
    return wrong


def test_every_requirement_has_a_version_and_hashes() -> None:
    """One without is one that anybody on the way may replace; one that is missing keeps pip from installing."""
    assert problems(LOCK) == []
    assert problems(BUILD_LOCK, BUILDS) == []


def test_a_build_tool_that_is_not_pinned_is_noticed() -> None:
    """The mutant: it would run as root on the machine that installs."""
    assert problems(BUILD_LOCK, [*BUILDS, "hatch-vcs"]) == ["hatch-vcs: not there; run: make lock"]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda text: re.sub(r" \\\n +--hash=sha256:[0-9a-f]+", "", text, count=2), "aiomqtt: not pinned"),
        (lambda text: text.replace("aiomqtt==", "aiomqtt>="), "aiomqtt: not pinned"),
        (lambda text: text.replace("aiomqtt==2", "aiomqtt==9"), "aiomqtt>=2.5,<3: 9"),
        (lambda text: text + "--extra-index-url https://packages.example/simple\n", "it names where"),
    ],
)
def test_a_lock_that_is_none_is_noticed(spoil: object, what: str) -> None:
    """The mutants."""
    spoiled: str = spoil(LOCK)  # type: ignore[operator]
    text, _, tail = spoiled.partition("--extra-index-url")

    found = problems(text) if not tail else problems_of_tail(spoiled)

    assert any(one.startswith(what) for one in found), found


def problems_of_tail(text: str) -> list[str]:
    """Of an option behind the requirements, which is no requirement."""
    return [one for one in problems("# " + text.replace("\n--", "\n# --")) if one.startswith("it names")]
