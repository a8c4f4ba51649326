"""Start and stop what a benchmark runs: the load generator, mosquitto, the gateway.

Every child is stopped by its own pid. A child's output goes to memory: in a file it would count as flash written.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypedDict, TypeVar

from bench.machine import process_tree

__all__ = [
    "BenchError",
    "Child",
    "Load",
    "LoadRun",
    "NotPossibleHere",
    "Sent",
    "Sunk",
    "SunkPart",
    "build_load",
    "find_mosquitto",
    "free_port",
]

HERE = Path(__file__).resolve().parent
CANARY_SEQ = 900_000_000  # far outside every run


class BenchError(Exception):
    """A run could not be made, or did not end as it should."""


class NotPossibleHere(BenchError):
    """This machine lacks what a scenario needs; the others can run."""


class Sent(TypedDict):
    """What the sender says at its end; latencies only for a schedule."""

    acked: int
    ack_disorder: int
    start_us: int
    last_ack_us: int
    ack_p50_ms: float | None
    ack_p95_ms: float | None
    ack_p99_ms: float | None
    ack_max_ms: float | None


class SunkPart(TypedDict):
    """What the sink says of the events on one side of its split."""

    unique: int
    first_us: int
    last_us: int
    rate: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    latency_max_ms: float | None


class Sunk(TypedDict):
    """What the sink says at its end."""

    unique: int
    missing: int
    duplicates: int
    foreign: int
    disorder: int
    packets: int
    payload_bytes: int
    main: SunkPart
    live: SunkPart


Summary = TypeVar("Summary", Sent, Sunk)


def free_port() -> int:
    """Return a TCP port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """One process under test, with its output kept in memory."""

    def __init__(self, name: str, argv: Sequence[str]) -> None:
        self.name = name
        self._argv = list(argv)
        self._process: subprocess.Popen[bytes] | None = None
        self._output_fd = -1

    @property
    def pid(self) -> int:
        """The process id; only while it runs."""
        if self._process is None:
            raise BenchError(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start the process; it may start again after `stop`."""
        self._output_fd = os.memfd_create(self.name)
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=self._output_fd, stderr=self._output_fd
        )

    def wait_listening(self, port: int, *, within_s: float = 30) -> None:
        """Return as soon as the MQTT listener on ``port`` answers a CONNECT."""
        deadline = time.monotonic() + within_s
        while not _answers_connect(port):
            if self._process is None or self._process.poll() is not None:
                raise BenchError(f"{self.name} ended while starting")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not listen on {port} within {within_s} s")
            time.sleep(0.001)

    def last_words(self, *, max_lines: int = 3) -> str:
        """Return the end of what the process has printed."""
        size = os.fstat(self._output_fd).st_size
        end = os.pread(self._output_fd, 2000, max(0, size - 2000)).decode(errors="replace")
        return "\n".join(end.strip().splitlines()[-max_lines:])

    def stop(self, *, within_s: float = 10) -> int:
        """Ask the process to end, kill it if it does not; return the bytes it wrote towards storage in its life."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return 0
        pid = process.pid
        descendants = process_tree(pid)[1:]
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + within_s
        ended, _, usage = os.wait4(pid, os.WNOHANG)
        while not ended:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
            ended, _, usage = os.wait4(pid, os.WNOHANG)
        process.returncode = 0  # reaped here, not by Popen: only wait4 tells the usage
        for descendant in descendants:
            _kill_if_alive(descendant)
        os.close(self._output_fd)
        return usage.ru_oublock * 512


def _kill_if_alive(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _answers_connect(port: int) -> bool:
    """Say whether a 3.1.1 CONNECT to ``port`` gets its CONNACK."""
    connect = b"\x10\x13\x00\x04MQTT\x04\x02\x00\x3c\x00\x07knocker"
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as knocker:
            knocker.sendall(connect)
            answer = knocker.recv(4)
            knocker.sendall(b"\xe0\x00")
            return answer == b"\x20\x02\x00\x00"
    except OSError:
        return False


class LoadRun(Generic[Summary]):
    """A load generator or sink at work."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_ready(self) -> None:
        """Return once a sink is subscribed."""
        self._wait_line("READY")

    def wait_first(self) -> None:
        """Return once the first event came to a sink."""
        self._wait_line("FIRST")

    def _wait_line(self, line: str) -> None:
        if self._process.stdout is None or self._process.stdout.readline().strip() != line:
            raise BenchError(f"the sink ended before {line}: {self._process.communicate()[1]}")

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def result(self) -> Summary:
        """Wait for the end and return the summary, complete or not."""
        output, errors = self._process.communicate()
        if self._process.returncode not in (0, 3):
            raise BenchError(f"the load generator failed: {errors.strip()}")
        summary: Summary = json.loads(output.strip().splitlines()[-1])
        return summary

    def kill(self) -> None:
        """End it now, without a result."""
        if self.is_running:
            self._process.kill()
        self._process.communicate()


class Load:
    """The compiled ``load.c``; options are its letters."""

    def __init__(self, binary: Path) -> None:
        self._binary = str(binary)

    def send(self, port: int, **options: float | str) -> LoadRun[Sent]:
        """Start publishing to ``port``."""
        return LoadRun([self._binary, "send", "-p", str(port), *_flags(options)])

    def sink(self, port: int, **options: float | str) -> LoadRun[Sunk]:
        """Start a sink on ``port``; wait with `LoadRun.wait_ready`."""
        return LoadRun([self._binary, "sink", "-p", str(port), *_flags(options)])

    def wait_until_through(self, port: int, upstream_port: int, *, within_s: float = 30) -> None:
        """Return once a message published to ``port`` comes out at ``upstream_port``."""
        canary = self.sink(upstream_port, n=1, s=CANARY_SEQ, l=0, i=within_s, t=within_s)
        try:
            canary.wait_ready()
            while canary.is_running:
                self.send(port, n=1, s=CANARY_SEQ, c=1, t=5).result()
                time.sleep(0.1)
            if canary.result()["unique"] != 1:
                raise BenchError(f"nothing came through within {within_s} s")
        finally:
            canary.kill()


def _flags(options: dict[str, float | str]) -> list[str]:
    return [part for letter, value in options.items() for part in (f"-{letter}", str(value))]


def build_load() -> Path:
    """Compile ``load.c`` unless it is compiled already; return the program."""
    source, binary = HERE / "load.c", HERE / ".build" / "load"
    if binary.exists() and binary.stat().st_mtime >= source.stat().st_mtime:
        return binary
    compiler = _find_compiler() or (_apt_install("gcc", "libc6-dev") and _find_compiler())
    if not compiler:
        raise BenchError("the load generator needs a C compiler: install gcc, or set CC")
    binary.parent.mkdir(exist_ok=True)
    unfinished = binary.with_suffix(f".{os.getpid()}")
    subprocess.run([compiler, "-O2", "-o", str(unfinished), str(source)], check=True)
    return unfinished.rename(binary)


def _find_compiler() -> str | None:
    candidates = (os.environ.get("CC", "cc"), "gcc", "clang")
    return next((path for path in map(shutil.which, candidates) if path), None)


def find_mosquitto() -> Path:
    """Return the mosquitto broker; MOSQUITTO overrides."""
    search = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    wanted = os.environ.get("MOSQUITTO", "mosquitto")
    found = shutil.which(wanted, path=search) or (_apt_install("mosquitto") and shutil.which(wanted, path=search))
    if not found:
        raise BenchError("the benchmark compares with mosquitto: install it, or set MOSQUITTO")
    return Path(found)


def _apt_install(*packages: str) -> bool:
    """Install Debian packages when that is possible without asking; say whether it was done."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    subprocess.run(["apt-get", "update", "-qq"], check=False)
    done = subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=False)
    return done.returncode == 0
