"""The command line as a user has it, for tests."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command_server import run_command
from fieldgate.control import ask, socket_path
from fieldgate.errors import FieldgateError
from gateway_kit import eventually

__all__ = ["Ended", "fieldgate", "gateway", "log_lines", "shell", "typed"]


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


async def fieldgate(
    *args: object, config: Path | None = None, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Ended:
    """Run ``fieldgate ARGS [-c CONFIG]`` to its end; a traceback is never an answer."""
    words = [str(arg) for arg in args] + (["-c", str(config)] if config is not None else [])
    return await typed(words, b"", env=env, cwd=cwd)


async def typed(words: list[str], stdin: bytes, *, env: dict[str, str] | None = None, cwd: Path | None = None) -> Ended:
    """Run a command with something on its standard input."""
    own = dict(os.environ) if env is None else env
    done = await asyncio.to_thread(run_command, words, env=own, cwd=cwd, stdin=stdin)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def log_lines(text: str) -> list[dict[str, str]]:
    """The lines of a gateway's log as mappings; quoted values may hold anything."""
    return [dict(_pairs(line)) for line in text.splitlines() if line.startswith("timestamp=")]


def _pairs(line: str) -> list[tuple[str, str]]:
    pairs = []
    place = 0
    while place < len(line):
        key, _, _ = line[place:].partition("=")
        place += len(key) + 1
        if line[place : place + 1] == '"':
            value, length = json.JSONDecoder().raw_decode(line[place:])
            place += length
        else:
            value = line[place:].partition(" ")[0]
            place += len(value)
        pairs.append((key, str(value)))
        place += 1
    return pairs


async def shell(text: str, folder: Path) -> str:
    """Run it as a person in that folder would; every command must end well."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", text, cwd=folder, env={**os.environ, "PATH": path},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, out.decode()
    return out.decode()


@asynccontextmanager
async def gateway(config: Path) -> AsyncIterator[Path]:
    """`fieldgate run`, until it listens; answers where its log is."""
    log = config.parent / "gateway.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldgate", "run", "-c", str(config), stdout=file, stderr=file
        )

    async def listens() -> bool:
        try:
            status = await ask(socket_path(config.parent / "state"), {"do": "status"})
        except FieldgateError:
            return False
        return all(one["listening"] for one in status["listeners"])

    try:
        await eventually("it listens", listens)
        yield log
    finally:
        process.terminate()
        await process.wait()
