"""The README, for its tests; and a reader who types what stands there."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["BLOCKS", "README", "ROOT", "Reader", "blocks", "chapter", "is_shown", "sessions"]

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks_of(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


BLOCKS = _blocks_of(README)


def blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCKS if found == kind]


def chapter(title: str) -> list[tuple[str, str]]:
    """The blocks of the chapter, each with its kind, in order."""
    return _blocks_of(README.partition(f"\n## {title}\n")[2].partition("\n## ")[0])


def is_shown(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether ``printed`` is what a chapter shows, where ``…`` stands for any lines, or for any end of a line."""
    if not shown:
        return not printed
    if shown[0] == "…":
        return any(is_shown(shown[1:], printed[place:]) for place in range(len(printed) + 1))
    return bool(printed) and _is_line(shown[0], printed[0]) and is_shown(shown[1:], printed[1:])


def _is_line(shown: str, printed: str) -> bool:
    return printed.startswith(shown[:-1]) if shown.endswith("…") else printed == shown


def sessions(text: str) -> list[tuple[str, list[str]]]:
    """What is typed in a block of kind ``console``, and what is shown after it."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    return [(line, shown.splitlines()) for line, shown in zip(parts[1::2], parts[2::2], strict=True)]


class Reader:
    """Types lines in a folder of its own; ``own`` are the places that each reader has other than the README's."""

    def __init__(self, folder: Path, own: Mapping[str, str]) -> None:
        self.folder = folder
        self._own = own
        (folder / "bin").mkdir()
        program = folder / "bin" / "fieldgate"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fieldgate "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        self._env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def settled(self, text: str) -> str:
        for old, new in self._own.items():
            text = text.replace(old, new)
        return text

    async def types(self, line: str) -> tuple[int, str]:
        """Type it; return the exit code and what was printed, with the README's places in it."""
        process = await self._start(line, asyncio.subprocess.PIPE)
        try:
            out, _ = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode is not None
        printed = out.decode()
        for old, new in self._own.items():
            printed = printed.replace(new, old)
        return process.returncode, printed

    @asynccontextmanager
    async def leaves_running(self, line: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
        """Type it in a terminal of its own, which is left alone until Ctrl-C at the end."""
        with log.open("ab") as out:
            process = await self._start(f"exec {line}", out.fileno())
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), 30)

    async def _start(self, line: str, out: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_shell(
            self.settled(line), cwd=self.folder, env=self._env,
            stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
