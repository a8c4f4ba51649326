"""The unit as a file: what systemd says of it without running it, and that the installer is sound shell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from machine_kit import CHECKOUT

pytestmark = pytest.mark.deploy

_UNIT = CHECKOUT / "deploy/fieldgate.service"
_needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


def _exposure(unit: Path) -> float:
    """What systemd makes of it: 0 is a locked room, 10 an open field."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True, check=True
    )
    line = done.stdout.splitlines()[-1]
    return float(line.partition(": ")[2].split()[0])


@_needs_analyze
def test_exposure_is_two_at_most(figure: object) -> None:
    """mosquitto's unit in Debian has 9.6; ours has the network and serial ports, and nothing else."""
    exposure = _exposure(_UNIT)

    assert callable(figure)
    figure(f"exposure {exposure}")
    assert exposure <= 2.0


@_needs_analyze
def test_a_unit_without_its_fence_is_found_out(tmp_path: Path) -> None:
    """The mutant: the score is of these lines."""
    bare = tmp_path / "fieldgate.service"
    bare.write_text(_UNIT.read_text().replace("SystemCallFilter", "#").replace("CapabilityBoundingSet", "#"))

    assert _exposure(bare) > 2.0


@pytest.mark.parametrize(
    "script",
    [
        *("deploy/install.sh", "deploy/wheels.sh", ".ci/run", "tests/setup.sh", "deploy/debian/build.sh"),
        *(f"deploy/debian/{one}" for one in ("preinst", "postinst", "prerm", "postrm")),
    ],
)
def test_the_shell_scripts_are_sound(script: str) -> None:
    """They run as root on machines that nobody watches."""
    program = Path(sys.executable).with_name("shellcheck")

    done = subprocess.run([program, CHECKOUT / script], capture_output=True, text=True, check=False)

    assert done.stdout == ""
