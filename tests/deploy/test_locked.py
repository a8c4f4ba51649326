"""What install.sh installs is what the lock names, bit by bit; the folder of wheels, which wheels.sh makes."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from machine_kit import CHECKOUT, Machine, needs_machines

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]


def _wheels_sh(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", CHECKOUT / "deploy/wheels.sh", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


@needs_machines
async def test_a_wheel_that_is_not_the_one_of_the_lock_is_refused_and_nothing_is_changed(bare: Machine) -> None:
    """A stick that was tampered with, or is worn, must not become a program that runs as a service."""
    await bare.run("cp", "-r", "/wheels", "/var/tmp/bent")
    wheel = next(bare.path("/var/tmp/bent").glob("cronsim-*.whl"))
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("cronsim/more.py", "raise SystemExit('not what was published')")

    code, said = await bare.run("/src/deploy/install.sh", "--offline", "/var/tmp/bent", is_checked=False, timeout_s=400)

    assert code == 1
    assert "DO NOT MATCH" in said
    assert "nothing was changed" in said
    assert (await bare.says("ls /opt/fieldgate/releases")).split() == []
    assert not bare.path("/etc/fieldgate").exists()


def test_the_folder_s_lock_is_ours_and_what_was_built_here(offline: Path) -> None:
    """Every other line is as in the checkout; each wheel in the folder has its hash there."""
    lock = (CHECKOUT / "deploy/requirements.txt").read_text(encoding="utf-8").splitlines()
    there = (offline / "requirements.txt").read_text(encoding="utf-8")

    added = [line for line in there.splitlines() if line not in lock]

    assert len(added) == 1
    for wheel in offline.glob("*.whl"):
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        assert (f"--hash=sha256:{digest}" in there) == (not wheel.name.startswith("fieldgate-")), wheel.name
        assert (digest in added[0]) == wheel.name.startswith("tailer-")


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        (("--for", "armv7l", "x"), "not all for armv7l"),
        (("--python", "4.0", "x"), "not 4.0"),
        (("--for",), "needs a value"),
        (("one", "two"), "one folder"),
        ((), "Usage:"),
        (("--nonsense",), "Usage:"),
    ],
)
def test_what_wheels_sh_cannot_do_is_said(typed: tuple[str, ...], reason: str) -> None:
    """It is typed by people, minutes before they drive to the plant."""
    ended = _wheels_sh(*typed)

    assert ended.returncode != 0
    assert reason in ended.stderr
