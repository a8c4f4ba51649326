"""What machines of the tests are made of: a bare Debian in an image, and wheels; made once, in ~/.cache/fieldgate."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

__all__ = ["CACHE", "CHECKOUT", "bare_image", "execute", "have_tools", "package_files", "wheels"]

CHECKOUT: Final = Path(__file__).parents[1]
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fieldgate"

_SUITES: Final = {(3, 11): "bookworm", (3, 13): "trixie"}
_PACKAGES: Final = (
    "systemd,systemd-sysv,udev,dbus,python3,python3-venv,procps,iproute2,ca-certificates,sudo,mosquitto-clients"
)
_IMAGE_BYTES: Final = 1_500_000_000
_GROUPS: Final = Path("/sys/fs/cgroup")
_TOOLS: Final = {"systemd-nspawn": "systemd-container", "debootstrap": "debootstrap", "ip": "iproute2"}
_INIT: Final = """\
#!/bin/sh
# Where control groups are those of version 1 a container may not set limits, unless it is told before systemd looks.
for one in memory cpu cpuacct devices pids; do
  [ ! -d /sys/fs/cgroup/$one ] || mount -o remount,bind,rw /sys/fs/cgroup/$one
done
exec /lib/systemd/systemd
"""


def execute(*command: str | Path, timeout_s: float = 300) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def have_tools(tools: Mapping[str, str]) -> None:
    """Each of these commands is there, installed by apt from the package named; else the test skips with the reason."""
    missing = [package for tool, package in tools.items() if shutil.which(tool) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        pytest.skip(f"{', '.join(missing)} cannot be installed: there is no apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *command]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            pytest.skip(f"{', '.join(missing)} cannot be installed: {done.stderr.strip()[-300:]}")


def _clear_away() -> None:
    """Remove what machines of runs left that were killed: their names have the process in them."""
    for group in (*_GROUPS.glob("fg*-*"), *_GROUPS.glob("*/fg*-*")):
        if _is_left(group.name):
            for one in group.rglob("cgroup.procs"):
                for number in one.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(number), signal.SIGKILL)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split()[1]
        if _is_left(Path(place).name):
            subprocess.run(["umount", "-l", place], check=False)
    for one in Path("/run/netns").glob("fg*-*"):
        if _is_left(one.name):
            subprocess.run(["ip", "netns", "delete", one.name], check=False)  # the wire goes with it


def _is_left(name: str) -> bool:
    number = re.fullmatch(r"fg(\d+)-\d+", name)
    return number is not None and not Path("/proc", number[1]).exists()


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Nobody else makes this at the same time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def bare_image() -> Path:
    """An ext4 image of a Debian that has systemd and Python and nothing of ours; with the Python that runs this."""
    suite = _SUITES.get(sys.version_info[:2])
    if suite is None:
        pytest.skip(f"no Debian has Python {sys.version_info[0]}.{sys.version_info[1]}, for which the wheels are made")
    have_tools(_TOOLS)
    _clear_away()
    image = CACHE / f"{suite}-{hashlib.sha256((_PACKAGES + _INIT).encode()).hexdigest()[:12]}.ext4"
    with _alone(image.name):
        if not image.exists():
            _debootstrap(suite, image)
    return image


def _has_room(folder: str) -> bool:
    return Path(folder).is_dir() and shutil.disk_usage(folder).free > 2 * _IMAGE_BYTES


def _debootstrap(suite: str, image: Path) -> None:
    fresh = image.with_suffix(".new")
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if _has_room("/dev/shm") else CACHE))  # dpkg waits for each file
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"debootstrap failed: {done.stdout.strip()[-500:]}")
    (folder / "test-init").write_text(_INIT, encoding="utf-8")
    (folder / "test-init").chmod(0o755)
    (folder / "etc/machine-id").write_text("", encoding="utf-8")
    (folder / "etc/hostname").write_text("plant-7\n", encoding="utf-8")
    shutil.rmtree(folder / "var/cache/apt/archives", ignore_errors=True)
    shutil.rmtree(folder / "var/lib/apt/lists", ignore_errors=True)
    fresh.unlink(missing_ok=True)
    with fresh.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    execute("mkfs.ext4", "-qF", "-d", folder, fresh)
    shutil.rmtree(folder)
    fresh.replace(image)


def wheels() -> Path:
    """A folder of wheels as ``deploy/wheels.sh`` makes it; ours is always the newest, the others are kept."""
    wanted = b"".join((CHECKOUT / "deploy" / one).read_bytes() for one in ("requirements.txt", "wheels.sh"))
    others = CACHE / f"wheels-{sys.version_info[0]}{sys.version_info[1]}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    folder = CACHE / f"{others.name}-of-{hashlib.sha256(bytes(CHECKOUT)).hexdigest()[:12]}"
    with _alone(others.name):
        if not others.exists():
            fresh = others.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            subprocess.run(
                ["bash", CHECKOUT / "deploy/wheels.sh", fresh], check=True, timeout=600,
                env={**os.environ, "PYTHON": sys.executable},
            )  # fmt: skip
            fresh.replace(others)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(others, folder, copy_function=os.link, ignore=shutil.ignore_patterns("fieldgate-*"))
        ours = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--disable-pip-version-check"]
        execute(*ours, "--wheel-dir", folder, CHECKOUT)
    return folder


def package_files() -> Path:
    """A folder with each file that the package index gives to an installation that has a network."""
    locks = sorted((CHECKOUT / "deploy").glob("*requirements.txt"))
    wanted = b"".join(one.read_bytes() for one in locks)
    folder = CACHE / f"packages-{sys.version_info[0]}{sys.version_info[1]}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    with _alone(folder.name):
        if not folder.exists():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            download = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--dest", fresh]
            for more in (*(["--no-deps", "-r", one] for one in locks), ["hatchling", "setuptools", "wheel"]):
                done = subprocess.run([*download, *more], capture_output=True, text=True, timeout=600, check=False)
                if done.returncode:
                    pytest.skip(f"the packages cannot be had: {done.stderr.strip()[-300:]}")
            fresh.replace(folder)
    return folder
