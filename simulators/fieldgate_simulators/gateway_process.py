"""A gateway as a child process: started from a config file, stopped as a service manager would.

It is a stranger here: known by its command line, its listening port and its log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fieldgate_simulators.errors import SimulatorError

__all__ = ["GatewayProcess"]

_START_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.05
_LOG_LINES: Final = 8


class GatewayProcess:
    """Runs ``command`` with ``config_path`` as its last argument until the context ends, and keeps its log."""

    def __init__(self, command: Sequence[str], config_path: Path, *, host: str, port: int, log_path: Path) -> None:
        self._command = [*command, str(config_path)]
        self._host = host
        self._port = port
        self._log_path = log_path
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log_path.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal reaches the demo alone, which stops things in order.
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            await self._wait_until_listening()
        except BaseException:  # Ctrl-C too leaves no gateway behind
            await self._kill()
            raise
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        process = self._process
        if process is None:
            return
        try:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await process.wait()
        finally:
            await self._kill()

    async def failure(self) -> SimulatorError:
        """Wait until the process ends by itself and return the error that this is."""
        assert self._process is not None
        code = await self._process.wait()
        return SimulatorError(f"the gateway ended with {code}; the end of its log:\n{self._log_end()}")

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _wait_until_listening(self) -> None:
        process = self._process
        assert process is not None
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while process.returncode is None:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection(self._host, self._port)
                        writer.close()
                        await writer.wait_closed()
                        return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            problem = f"the gateway does not listen on {self._host}:{self._port} after {_START_TIMEOUT_S:g} s"
            raise SimulatorError(f"{problem}; the end of its log:\n{self._log_end()}") from None
        raise await self.failure()

    def _log_end(self) -> str:
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "\n".join(lines[-_LOG_LINES:]) or "(it said nothing)"
