"""The unix socket on which the commands ask the running gateway.

One request per connection: a JSON object in a line, ``{"do": "status"}``. The answer is JSON objects, one a line,
the last of which has ``done`` (true) or ``error`` (text). Only the gateway's own user may connect (mode 0600).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from fieldgate.errors import FieldgateError

__all__ = ["ControlError", "ControlServer", "GatewayNotRunning", "ask", "socket_path", "stream"]

log = structlog.get_logger("fieldgate")

_MAX_REQUEST_BYTES = 64 << 10
_REQUEST_DEADLINE_S = 10.0

Answer = AsyncIterator[dict[str, Any]]
Handler = Callable[[dict[str, Any]], Answer]


class ControlError(FieldgateError):
    """The running gateway refused a request."""


class GatewayNotRunning(FieldgateError):
    """No gateway answers on the socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"no gateway is running here: nothing answers on {path}")
        self.path = path


def socket_path(state_folder: Path) -> Path:
    """Return where the gateway with this state folder listens for commands."""
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    return Path(runtime) / "control.sock" if runtime else state_folder / "control.sock"


class ControlServer:
    """Answers commands by name; ``handlers`` are async generators of JSON objects."""

    def __init__(self, path: Path, handlers: dict[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers

    async def run(self) -> None:
        """Serve until cancelled."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._serve, self._path, limit=_MAX_REQUEST_BYTES)
        finally:
            os.umask(before)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_DEADLINE_S):
                line = await reader.readline()
            await self._answer(line, writer)
        except (OSError, TimeoutError, ValueError):
            pass  # the asker has gone or sent no line; there is nobody left to tell
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            handler = self._handlers.get(str(request.get("do")))
            if handler is None:
                raise ControlError(f"unknown request {request.get('do')!r}; known: {', '.join(sorted(self._handlers))}")
            async for item in handler(request):
                writer.write(msgspec.json.encode(item) + b"\n")
                await writer.drain()
            last: dict[str, Any] = {"done": True}
        except (FieldgateError, msgspec.MsgspecError) as error:
            last = {"error": str(error)}
        writer.write(msgspec.json.encode(last) + b"\n")
        await writer.drain()


async def stream(path: Path, request: dict[str, Any]) -> Answer:
    """Ask the gateway and yield what it answers, object by object.

    Raises:
        GatewayNotRunning: nothing answers.
        ControlError: the gateway refused, or went away before it was done.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=64 << 20)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise GatewayNotRunning(path) from error
    except PermissionError as error:
        raise ControlError(f"{path}: permission denied; run this as the gateway's user") from error
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        while line := await reader.readline():
            item = msgspec.json.decode(line, type=dict[str, Any])
            if item.get("done") is True and len(item) == 1:
                return
            if "error" in item and len(item) == 1:
                raise ControlError(str(item["error"]))
            yield item
        raise ControlError("the gateway went away before it had answered")
    finally:
        writer.close()


async def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the gateway and return the one object that it answers; the errors are those of `stream`."""
    answer: dict[str, Any] = {}
    async for item in stream(path, request):
        answer = item
    return answer
