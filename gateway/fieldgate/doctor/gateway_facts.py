"""What the running gateway says of itself, and what a gateway that is not there left behind."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fieldgate.control import GatewayNotRunning, GatewaySilent, ask, socket_path
from fieldgate.errors import FieldgateError

__all__ = ["Crash", "GatewayFacts", "read_gateway"]

_CRASH: Final = re.compile(
    r"\b(?:gateway\.failed|task\.failed)\b|Watchdog timeout|Main process exited, code=(?:killed|dumped)"
)
_MAX_LINES: Final = 2_000
_JOURNALD_DEADLINE_S: Final = 10.0
_STATUS_DEADLINE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Crash:
    """A line of the log that tells of an end that nobody wanted."""

    at: str
    text: str


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """``status`` as ``fieldgate status --json`` prints it, None while none runs; ``problem``: why it does not answer.

    ``is_silent``: one is there and does not answer. ``left_socket``: one that nobody listens on, so its gateway had no
    time to tidy up. ``restarts`` are those that systemd did by itself.
    """

    status: dict[str, Any] | None
    problem: str = ""
    left_socket: Path | None = None
    restarts: int | None = None
    last_result: str = ""
    crashes: list[Crash] = field(default_factory=list)
    is_silent: bool = False

    @property
    def pid(self) -> int | None:
        """Its process."""
        return None if self.status is None else int(self.status["pid"])


async def read_gateway(state_folder: Path) -> GatewayFacts:
    """Ask the gateway with this folder, and systemd about its service."""
    path = socket_path(state_folder)
    status: dict[str, Any] | None = None
    problem, left, is_silent = "", None, False
    try:
        status = await ask(path, {"do": "status"}, within_s=_STATUS_DEADLINE_S)
    except GatewayNotRunning:
        with suppress(OSError):
            left = path if path.is_socket() else None
    except FieldgateError as error:
        problem, is_silent = str(error), isinstance(error, GatewaySilent)
    restarts, result = await asyncio.to_thread(_service)
    crashes = await asyncio.to_thread(_crashes)
    return GatewayFacts(status, problem, left, restarts, result, crashes, is_silent=is_silent)


def _service() -> tuple[int | None, str]:
    """How often systemd has started the service again, and how it ended last."""
    said = _run("systemctl", "show", "fieldgate.service", "--property=NRestarts,Result,LoadState")
    facts = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if facts.get("LoadState") != "loaded":
        return None, ""
    return int(facts.get("NRestarts") or 0), facts.get("Result", "")


def _crashes() -> list[Crash]:
    """The newest lines of the service's log that tell of a crash, the newest last."""
    said = _run(
        "journalctl", "--unit=fieldgate", "--since=-30days", f"--lines={_MAX_LINES}", "--output=json", "--quiet"
    )
    crashes = []
    for line in said.splitlines():
        with suppress(KeyError, TypeError, ValueError):
            entry = json.loads(line)
            message = entry["MESSAGE"]
            if isinstance(message, str) and _CRASH.search(line):  # the event's name may be a field of its own
                at = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
                crashes.append(Crash(f"{at:%Y-%m-%d %H:%M:%S} UTC", message[:500]))
    return crashes


def _run(*command: str) -> str:
    """What a program of the system prints; nothing where there is none, or it fails."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, timeout=_JOURNALD_DEADLINE_S, check=False)
        return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
    return ""
