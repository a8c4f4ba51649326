"""The Debian package for tests: built by deploy/debian/build.sh, and a later version made of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from machine_kit import CHECKOUT

__all__ = ["LIBRARIES", "build", "later_version", "this_debian", "unpacked"]

LIBRARIES: Final = "usr/lib/fieldgate/lib"


def this_debian() -> str:
    """The Debian whose Python runs this, for which the wheels of the tests are made."""
    found = {(3, 11): "12", (3, 13): "13"}.get(sys.version_info[:2])
    if found is None or shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg-deb, or no Debian has this Python")
    return found


def build(folder: Path, *words: str | Path, is_checked: bool = True, **environment: str) -> tuple[Path, str]:
    """Build a package into a folder, quickly and large; return it and what was said."""
    command = ["bash", CHECKOUT / "deploy/debian/build.sh", *words, folder]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False,
        env={**os.environ, "PYTHON": sys.executable, "DPKG_DEB_COMPRESSOR_TYPE": "gzip", **environment},
    )  # fmt: skip
    assert not is_checked or done.returncode == 0, done.stdout + done.stderr
    assert is_checked or done.returncode != 0
    return next(folder.glob("*.deb"), folder), done.stdout + done.stderr


def unpacked(package: Path, folder: Path) -> Path:
    """The files of a package in a folder, those of dpkg in DEBIAN."""
    subprocess.run(["dpkg-deb", "-R", package, folder], check=True)
    return folder


def later_version(package: Path, folder: Path) -> Path:
    """Version 0.1.1 of it, which brings another sample of rules and another schema."""
    root = unpacked(package, folder / "root")
    control = root / "DEBIAN/control"
    control.write_text(
        control.read_text(encoding="utf-8").replace("Version: 0.1.0", "Version: 0.1.1"), encoding="utf-8"
    )
    for one in ("rules.d/sample.yaml", "rules.schema.json"):
        with (root / "etc/fieldgate" / one).open("a", encoding="utf-8") as file:
            file.write("\n")
    later = folder / package.name.replace("0.1.0", "0.1.1")
    quickly = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build"]
    subprocess.run([*quickly, root, later], check=True, capture_output=True)
    shutil.rmtree(root)
    return later
