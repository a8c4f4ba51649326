"""A small Debian machine with a booted systemd, on a disk of its own, beside a wire to the outside. As root.

It is a container of systemd-nspawn on a file system in an image, in a network namespace whose other end is here: a
broker on `Machine.outside` is one elsewhere. What is common to all machines (debootstrap, wheels) is made once and kept
in ~/.cache/fieldgate. As `Disk` does for a folder, `cut_power` does for the whole machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import random
import shlex
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from fieldgate.control import GatewayNotRunning, ask
from fieldgate.errors import FieldgateError
from gateway_kit import eventually
from machine_images import CACHE, CHECKOUT, bare_image, execute, wheels
from mount_kit import shut_down

__all__ = ["CACHE", "CHECKOUT", "MODES", "RESULTS", "Machine", "bare_image", "machine_on", "needs_machines", "wheels"]

RESULTS: Final = CHECKOUT / "tests/deploy/results"
"""What was done on machines and what they said, a file for each test."""

MODES: Final = frozenset(
    {
        "755 root:root etc/fieldgate",
        "640 root:fieldgate etc/fieldgate/fieldgate.yaml",
        "640 root:fieldgate etc/fieldgate/users",
        "700 root:root etc/fieldgate/secrets",
        "2775 root:fieldgate-rules etc/fieldgate/rules.d",
        "2775 root:fieldgate-rules etc/fieldgate/devices.d",
        "664 root:fieldgate-rules etc/fieldgate/rules.d/sample.yaml",
        "700 fieldgate:fieldgate var/lib/fieldgate",
    }
)
"""Who may read and write what of an installation, as `Machine.modes` says it."""

_WITHIN: Final = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
_PR_SET_PDEATHSIG: Final = 1
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ASKED_OFTEN: Final = (("systemctl", "show"), ("systemctl", "is-system-running"))

needs_machines = pytest.mark.skipif(os.geteuid() != 0, reason="booting a machine needs root")

_numbers = itertools.count(1)


def _note(text: str) -> None:
    """Write down what was done, for people who ask what the run has shown."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "no-test").split(" ")[0].rpartition("/")[2].replace(".py::", ".")
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{test[:200]}.txt").open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now():%H:%M:%S.%f}"[:-3] + f" {text.rstrip()}\n")


def _free_network() -> tuple[str, str]:
    """Two addresses of a network of 64 that nobody here has; other runs of these tests take others."""
    taken = execute("ip", "-o", "-4", "address")
    for _ in range(1000):
        number = random.randrange(4000)
        begin = f"10.{96 + number // 1000}.{number % 1000 // 4}"
        outside = f"{begin}.{number % 4 * 64 + 1}"
        if f" {outside}/" not in taken:
            return outside, f"{begin}.{number % 4 * 64 + 2}"
    raise AssertionError("no network is free")


def _group_tops() -> list[Path]:
    """The trees of control groups, in each of which a process is once: one of version 2, or several of version 1."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(place) for _, place, kind, *_ in mounts if kind in ("cgroup", "cgroup2")]


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Machine:
    """A machine; `boot` it first. Its disk outlives power cuts, and `close`s with it."""

    def __init__(self, folder: Path, image: Path, *, bind: Sequence[str] = ()) -> None:
        self.name = f"fg{os.getpid()}-{next(_numbers)}"
        self.outside, self.inside = _free_network()
        self._near = f"{self.name}a"
        self.image = folder / f"{self.name}.ext4"
        self.root = folder / self.name
        self.log = folder / f"{self.name}.log"
        self._bind = [f"--bind-ro={CHECKOUT}:/src", *(f"--bind-ro={one}" for one in bind)]
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._has_been_up = False
        self.root.mkdir(parents=True)
        try:
            execute("cp", "--sparse=always", image, self.image)
            self._turn_on()
            self._wire()
        except BaseException:  # nobody else knows of what was made so far
            self.close()
            raise

    def _turn_on(self) -> None:
        execute("mount", "-o", "loop", self.image, self.root)

    def _wire(self) -> None:
        far = f"{self._near[:-1]}b"
        execute("ip", "netns", "add", self.name)
        execute("ip", "link", "add", self._near, "type", "veth", "peer", "name", far, "netns", self.name)
        execute("ip", "address", "add", f"{self.outside}/26", "dev", self._near)
        execute("ip", "link", "set", self._near, "up")
        execute("ip", "-n", self.name, "address", "add", f"{self.inside}/26", "dev", far)
        for one in (far, "lo"):
            execute("ip", "-n", self.name, "link", "set", one, "up")

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
        self._has_been_up = True
        _note(f"--- {self.name} is up")

    def _into_groups(self) -> None:
        """Put this process into control groups of the machine's own, and end it when the tests are killed."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for top in _group_tops():
            with contextlib.suppress(OSError):
                (top / self.name).mkdir(exist_ok=True)
                (top / self.name / "cgroup.procs").write_text(str(os.getpid()))

    def _first_process(self) -> int:
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            text = self.log.read_text(errors="replace")
            assert not self._has_been_up, text.strip()[-500:]
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
        if command[:2] not in _ASKED_OFTEN:
            _note(
                f"# {shlex.join(command)[:300]}\n{text[-2000:]}" + f"= {process.returncode}" * bool(process.returncode)
            )
        assert process.returncode == 0 or not is_checked, f"{' '.join(command)}: {process.returncode}\n{text}"
        return process.returncode, text

    async def modes(self) -> set[str]:
        """Mode, owner and group of each file of the settings, and of the state's folder."""
        said = await self.says(
            "cd /; stat -c '%a %U:%G %n' etc/fieldgate etc/fieldgate/* etc/fieldgate/rules.d/* var/lib/fieldgate"
        )
        return set(said.splitlines())

    async def says(self, line: str, **more: Any) -> str:
        """What a line of shell prints."""
        return (await self.run("bash", "-c", line, **more))[1]

    async def shows(self, name: str) -> str:
        """A property of the service."""
        return (await self.run("systemctl", "show", "-P", name, "fieldgate.service"))[1].strip()

    async def status(self) -> dict[str, Any] | None:
        """What the gateway on it says of itself, if it does."""
        try:
            return await ask(self.path("/run/fieldgate/control.sock"), {"do": "status"})
        except (GatewayNotRunning, FieldgateError):
            return None

    def path(self, path: str) -> Path:
        """A path on it, as this process sees it."""
        return Path(f"/proc/{self._leader}/root{path}")

    def write(self, path: str, text: str) -> None:
        """Write over a file on it, which keeps its owner; it survives a power cut."""
        with self.path(path).open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

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
        execute("ip", "link", "set", self._near, "down")
        try:
            yield
        finally:
            execute("ip", "link", "set", self._near, "up")

    async def power_off(self) -> None:
        """Shut it down in good order."""
        assert self._nspawn is not None
        os.kill(self._leader, signal.SIGRTMIN + 4)  # systemd's poweroff.target
        await asyncio.to_thread(self._nspawn.wait, 60)
        self._clean_groups()

    async def reboot(self) -> None:
        await self.power_off()
        await self.boot()

    def cut_power(self) -> None:
        """From this instant nothing reaches its disk; `boot` turns it on again, with what is on the disk."""
        shut_down(self.root)
        _note(f"--- the power of {self.name} is cut")
        self.kill()
        execute("umount", "-l", self.root)
        before, self.image = self.image, self.image.with_suffix(".cut" + self.image.suffix)
        execute("cp", "--sparse=always", before, self.image)  # who still holds the old mount does not matter then
        before.unlink()
        self._turn_on()

    def kill(self) -> None:
        """All that runs on it is gone."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
            self._nspawn.kill()
            self._nspawn.wait(60)
        self._clean_groups()

    def _clean_groups(self) -> None:
        """Wait until its last process has gone, and remove its control groups."""
        end_s = time.monotonic() + 10
        for top in _group_tops():
            while (top / self.name).is_dir() and time.monotonic() < end_s:
                for one, _, _ in os.walk(top / self.name, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(one).rmdir()
                time.sleep(0.01)

    def _last_words(self) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            within = ["nsenter", "--target", str(self._leader), *_WITHIN, "journalctl", "-u", "fieldgate", "--no-pager"]
            with contextlib.suppress(subprocess.TimeoutExpired):
                _note(
                    "--- the log of its service\n"
                    + subprocess.run(within, capture_output=True, text=True, timeout=20, check=False).stdout
                )

    def close(self) -> None:
        self._last_words()
        self.kill()
        wire = (["ip", "link", "delete", self._near], ["ip", "netns", "delete", self.name])
        for command in (["umount", "-l", self.root], *wire):
            subprocess.run(command, check=False, capture_output=True)
        self.image.unlink(missing_ok=True)

    def save(self, image: Path) -> None:
        """Keep its disk as it is now as an image for others; it has to be off."""
        execute("sync", "--file-system", self.root)  # an unmount does not where somebody else still holds the mount
        execute("umount", self.root)
        execute("cp", "--sparse=always", self.image, image)
        self._turn_on()


async def machine_on(folder: Path, image: Path, **more: Any) -> AsyncIterator[Machine]:
    """A machine that is booted."""
    one = Machine(folder, image, **more)
    try:
        await one.boot()
        yield one
    finally:
        one.close()
