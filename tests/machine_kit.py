"""A small Debian machine with a booted systemd, on a disk of its own, beside a wire to the outside. As root.

It is a container of systemd-nspawn on a file system in an image, in a network namespace whose other end is here: a
broker on `Machine.outside` is one elsewhere. What is common to all machines (debootstrap, wheels) is made once and kept
in ~/.cache/fieldgate. As `Disk` does for a folder, `cut_power` does for the whole machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from fieldgate.control import GatewayNotRunning, ask, socket_path
from fieldgate.errors import FieldgateError
from gateway_kit import eventually

__all__ = ["CACHE", "CHECKOUT", "Machine", "bare_image", "needs_machines", "package_files", "wheels"]

CHECKOUT: Final = Path(__file__).parents[1]
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fieldgate"

_SUITES: Final = {(3, 11): "bookworm", (3, 13): "trixie"}
_PACKAGES: Final = (
    "systemd,systemd-sysv,udev,dbus,python3,python3-venv,procps,iproute2,ca-certificates,sudo,mosquitto-clients"
)
_IMAGE_BYTES: Final = 1_500_000_000
_TOOLS: Final = {"systemd-nspawn": "systemd-container", "debootstrap": "debootstrap", "ip": "iproute2"}
_V1: Final = ("memory", "cpu", "cpuacct", "devices", "pids", "freezer", "blkio", "systemd", "unified")
_WITHIN: Final = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INIT: Final = """\
#!/bin/sh
# Where control groups are those of version 1 a container may not set limits, unless it is told before systemd looks.
for one in memory cpu cpuacct devices pids; do
  [ ! -d /sys/fs/cgroup/$one ] || mount -o remount,bind,rw /sys/fs/cgroup/$one
done
exec /lib/systemd/systemd
"""

needs_machines = pytest.mark.skipif(os.geteuid() != 0, reason="booting a machine needs root")

_numbers = itertools.count(1)


def _run(*command: str | Path, timeout_s: float = 300) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _have_tools() -> None:
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        pytest.skip(f"{', '.join(missing)} cannot be installed: there is no apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-qq", "--no-install-recommends", *missing]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            pytest.skip(f"{', '.join(missing)} cannot be installed: {done.stderr.strip()[-300:]}")


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
    _have_tools()
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
    _run("mkfs.ext4", "-qF", "-d", folder, fresh)
    shutil.rmtree(folder)
    fresh.replace(image)


def wheels() -> Path:
    """A folder of wheels as ``deploy/wheels.sh`` makes it; ours is always the newest, the others are kept."""
    settings = (CHECKOUT / "pyproject.toml").read_bytes()
    wanted = settings.partition(b"dependencies = [")[2].partition(b"]")[0]
    folder = CACHE / f"wheels-{sys.version_info[0]}{sys.version_info[1]}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    with _alone(folder.name):
        if not folder.exists():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            subprocess.run(
                ["bash", CHECKOUT / "deploy/wheels.sh", fresh], check=True, timeout=600,
                env={**os.environ, "PYTHON": sys.executable},
            )  # fmt: skip
            fresh.replace(folder)
        ours = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--disable-pip-version-check"]
        _run(*ours, "--wheel-dir", folder, CHECKOUT)
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


class Machine:
    """A machine; `boot` it first. Its disk outlives power cuts, and `close`s with it."""

    def __init__(self, folder: Path, image: Path, *, bind: Sequence[str] = ()) -> None:
        number = (os.getpid() % 500) * 8 + next(_numbers) % 8
        self.name = f"fg{os.getpid()}-{number % 8}"
        self.outside = f"10.{96 + number // 1000}.{number % 1000 // 4}.{number % 4 * 64 + 1}"
        self.inside = self.outside.rpartition(".")[0] + f".{number % 4 * 64 + 2}"
        self.image = folder / f"{self.name}.ext4"
        self.root = folder / self.name
        self.log = folder / f"{self.name}.log"
        self._bind = [f"--bind-ro={CHECKOUT}:/src", *(f"--bind-ro={one}" for one in bind)]
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self.root.mkdir(parents=True)
        _run("cp", "--sparse=always", image, self.image)
        self._turn_on()
        self._wire()

    def _turn_on(self) -> None:
        _run("mount", "-o", "loop", self.image, self.root)

    def _wire(self) -> None:
        near, far = f"{self.name}a"[-15:], f"{self.name}b"[-15:]
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", self.name)
        _run("ip", "address", "add", f"{self.outside}/26", "dev", near)
        _run("ip", "link", "set", near, "up")
        _run("ip", "-n", self.name, "address", "add", f"{self.inside}/26", "dev", far)
        for one in (far, "lo"):
            _run("ip", "-n", self.name, "link", "set", one, "up")

    async def boot(self) -> None:
        """Turn it on, and wait until all that starts by itself has been started."""
        command = [
            "systemd-nspawn", f"--directory={self.root}", f"--machine={self.name}", "--register=no",
            "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=read-only",
            f"--network-namespace-path=/run/netns/{self.name}", *self._bind, "/test-init",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self._into_groups
            )
        self._leader = await eventually("it has a first process", self._first_process)
        await eventually("its systemd answers", self._is_up, within_s=60)

    def _into_groups(self) -> None:
        """Put this process into control groups of the machine's own."""
        for folder in (Path("/sys/fs/cgroup"), *(Path("/sys/fs/cgroup") / one for one in _V1)):
            with contextlib.suppress(OSError):
                (folder / self.name).mkdir(exist_ok=True)
                (folder / self.name / "cgroup.procs").write_text(str(os.getpid()))

    def _first_process(self) -> int:
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            text = self.log.read_text(errors="replace")
            pytest.skip(f"systemd-nspawn cannot boot here: {text.strip()[-500:]}")
        for one in _children(self._nspawn.pid):
            with contextlib.suppress(OSError):  # it sets the stage, and is gone then
                if Path(f"/proc/{one}/comm").read_text().strip() == "systemd":
                    return one
        return 0

    async def _is_up(self) -> bool:
        _, text = await self.run("systemctl", "is-system-running", "--wait", is_checked=False)
        return text.strip() in ("running", "degraded")

    async def run(
        self, *command: str, is_checked: bool = True, stdin: str = "", timeout_s: float = 120
    ) -> tuple[int, str]:
        """Have root run a command on it; return the exit code and what was printed."""
        within = ["nsenter", "--target", str(self._leader), *_WITHIN, "env", "-i", _PATH, "LANG=C.UTF-8", *command]
        process = await asyncio.create_subprocess_exec(
            *within, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(stdin.encode()), timeout_s)
        finally:
            if process.returncode is None:
                process.kill()
        text = out.decode(errors="replace")
        assert process.returncode is not None
        assert process.returncode == 0 or not is_checked, f"{' '.join(command)}: {process.returncode}\n{text}"
        return process.returncode, text

    async def says(self, line: str, **more: Any) -> str:
        """What a line of shell prints."""
        return (await self.run("bash", "-c", line, **more))[1]

    async def shows(self, name: str) -> str:
        """A property of the service."""
        return (await self.run("systemctl", "show", "-P", name, "fieldgate.service"))[1].strip()

    async def status(self) -> dict[str, Any] | None:
        """What the gateway on it says of itself, if it does."""
        try:
            return await ask(socket_path(self.path("/var/lib/fieldgate")), {"do": "status"})
        except (GatewayNotRunning, FieldgateError):
            return None

    def path(self, path: str) -> Path:
        """A path on it, as this process sees it."""
        return Path(f"/proc/{self._leader}/root{path}")

    def write(self, path: str, text: str) -> None:
        """Write over a file on it, which keeps its owner."""
        self.path(path).write_text(text, encoding="utf-8")

    @contextmanager
    def its_network(self) -> Iterator[None]:
        """What this thread connects to is on the machine; so too in threads that it starts."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            assert libc.setns(there, 0) == 0, os.strerror(ctypes.get_errno())
            yield
        finally:
            assert libc.setns(before, 0) == 0
            os.close(there)
            os.close(before)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """The cable to the outside is pulled."""
        _run("ip", "link", "set", f"{self.name}a", "down")
        try:
            yield
        finally:
            _run("ip", "link", "set", f"{self.name}a", "up")

    async def power_off(self) -> None:
        """Shut it down in good order."""
        assert self._nspawn is not None
        os.kill(self._leader, signal.SIGRTMIN + 4)  # systemd's poweroff.target
        await asyncio.to_thread(self._nspawn.wait, 60)
        self._clean_groups()

    async def reboot(self) -> None:
        await self.power_off()
        await self.boot()

    def kill(self) -> None:
        """All that runs on it is gone."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
            self._nspawn.kill()
            self._nspawn.wait(60)
        self._clean_groups()

    def _clean_groups(self) -> None:
        for folder in (Path("/sys/fs/cgroup"), *(Path("/sys/fs/cgroup") / one for one in _V1)):
            if (folder / self.name).is_dir():
                for one, _, _ in os.walk(folder / self.name, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(one).rmdir()

    def close(self) -> None:
        self.kill()
        for command in (["umount", "-l", self.root], ["ip", "netns", "delete", self.name]):
            subprocess.run(command, check=False, capture_output=True)
        self.image.unlink(missing_ok=True)

    def save(self, image: Path) -> None:
        """Keep its disk as it is now as an image for others; it has to be off."""
        _run("umount", self.root)
        _run("cp", "--sparse=always", self.image, image)
        self._turn_on()


async def machine_on(folder: Path, image: Path, **more: Any) -> AsyncIterator[Machine]:
    """A machine that is booted."""
    one = Machine(folder, image, **more)
    try:
        await one.boot()
        yield one
    finally:
        one.close()
