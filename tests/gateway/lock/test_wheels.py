"""Each pinned version has a wheel for where Fieldgate is installed, and pip holds it to its hash (`make wheels`).

Asks the package index, so it runs with `make wheels` only. Wheels are those that the index lists, for the Pythons of
Debian 12 and 13; which have none for 32 bit ARM (built there from source) is printed.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "deploy" / "requirements.txt"
PYTHONS = [(3, 11), (3, 13)]
GLIBC = 36  # of Debian 12
PURE_SOURCE = {"tailer"}  # of dsmr-parser: published as source only, Python without a compiler

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def ran(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=500, cwd=ROOT)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the index has of each pinned version."""
    tool = Path(sys.executable).with_name("uv")
    if not tool.exists():
        pytest.skip("there is no uv: make wheels installs it")
    out = tmp_path_factory.mktemp("lock") / "pylock.toml"
    ended = ran(
        tool, "pip", "compile", "--quiet", "pyproject.toml", "--universal", "--python-version", "3.11",
        "--constraint", LOCK, "--format", "pylock.toml", "--output-file", out,
    )  # fmt: skip
    if ended.returncode:
        pytest.skip(f"the package index cannot be asked: {ended.stderr.strip().splitlines()[-1:]}")
    found: list[dict[str, Any]] = tomllib.loads(out.read_text(encoding="utf-8"))["packages"]
    return found


@functools.cache
def tags(python: tuple[int, int], machine: str) -> frozenset[Tag]:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 16, -1)]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
    if machine == "x86_64":
        platforms += [f"manylinux_2_{minor}_x86_64" for minor in range(5, 17)] + [
            "manylinux1_x86_64",
            "manylinux2010_x86_64",
        ]
    return frozenset([*cpython_tags(python, platforms=platforms), *compatible_tags(python, "cp", platforms)])


def without_wheel(packages: list[dict[str, Any]], python: tuple[int, int], machine: str) -> list[str]:
    """Those that pip would have to build from source there."""
    version = ".".join(map(str, python))
    here = {"python_version": version, "python_full_version": f"{version}.2", "sys_platform": "linux",
            "platform_machine": machine, "platform_python_implementation": "CPython"}  # fmt: skip
    missing = []
    for one in packages:
        if "marker" in one and not Marker(one["marker"]).evaluate(here):
            continue
        names = [wheel.get("name") or wheel["url"].rpartition("/")[2] for wheel in one.get("wheels", [])]
        if not any(tags(python, machine) & parse_wheel_filename(name)[3] for name in names):
            missing.append(f"{one['name']} {one['version']}")
    return missing


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", PYTHONS, ids=["3.11", "3.13"])
def test_every_pinned_version_has_a_wheel(
    packages: list[dict[str, Any]], python: tuple[int, int], machine: str
) -> None:
    """A gateway in the field has no compiler."""
    assert [one for one in without_wheel(packages, python, machine) if one.split()[0] not in PURE_SOURCE] == []


def test_what_32_bit_arm_has_to_build_is_said(
    packages: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """No promise, a fact to plan with; also the control: where there can be no wheel none is found."""
    missing = without_wheel(packages, (3, 11), "armv7l")

    with capsys.disabled():
        sys.stdout.write(f"\nno wheel for armv7, Python 3.11: {', '.join(missing) or 'none'}\n")
    assert without_wheel(packages, (3, 11), "vax")
    assert len(without_wheel(packages, (3, 11), "vax")) >= len(missing)


def test_pip_installs_the_lock_and_refuses_another_hash(packages: list[dict[str, Any]], tmp_path: Path) -> None:
    """What installers do, and what protects them."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = (python, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:",
               *(f"--no-binary={name}" for name in PURE_SOURCE), "-r")  # fmt: skip

    ended = ran(*install, LOCK)
    assert ended.returncode == 0, ended.stderr
    ended = ran(python, "-m", "pip", "install", "--quiet", "--no-deps", ".")
    assert ended.returncode == 0, ended.stderr
    assert ran(tmp_path / "venv" / "bin" / "fieldgate", "--version").stdout.startswith("fieldgate ")

    bent = tmp_path / "bent.txt"
    bent.write_text(
        re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", LOCK.read_text(encoding="utf-8")), encoding="utf-8"
    )
    ended = ran(*install, bent, "--ignore-installed", "--dry-run")
    assert ended.returncode != 0
    assert "DO NOT MATCH" in ended.stderr.upper()
