"""The unix socket on which the commands ask the running gateway.

One request per connection: a JSON object in a line, ``{"do": "status"}``. The answer is JSON objects, one a line,
the last of which has ``done`` (true) or ``error`` (text). Empty lines say that the gateway lives: the first comes as
soon as the request is there, so nobody waits for a gateway that hangs. Only the gateway's own user may connect (mode
0600). It lies in the journal's folder, whose lock keeps a second gateway away from it; that of a service lies in the
folder that systemd makes for it in /run, and is open to the service's group too (0660).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from struct import Struct
from typing import Any, Final

import msgspec
import structlog

from fieldgate.errors import FieldgateError
from fieldgate.rights import way_in

__all__ = [
    "BEAT",
    "Answer",
    "ControlError",
    "ControlServer",
    "GatewayNotRunning",
    "GatewaySilent",
    "ask",
    "socket_path",
    "stream",
]

_MAX_REQUEST_BYTES: Final = 256 << 10
_MAX_LINE_BYTES: Final = 64 << 20
_MAX_ASKERS: Final = 32
_REQUEST_DEADLINE_S: Final = 10.0
_SILENT_S: Final = 10.0  # a gateway that lives has said something by then
_ANSWER_S: Final = 30.0  # the journal may wait for its disk
_CHECK_EVERY_S: Final = 5.0
_SHOWN: Final = 100
_SHOWN_KEYS: Final = ("device", "for_s", "id", "key", "level", "name", "rule", "since", "uplink")
_CREDENTIALS: Final = Struct("3i")
_STATES: Final = Path("/var/lib")
_RUN: Final = Path("/run")
_MAX_ADDRESS_BYTES: Final = 107  # sun_path, without its end

log = structlog.get_logger("fieldgate")

BEAT: Final = b""
"""What a handler yields now and then while it has nothing to say: it shows whether anybody still listens."""

Answer = AsyncGenerator[dict[str, Any] | bytes, None]
"""Objects, or whole lines that are encoded already."""
Handler = Callable[[dict[str, Any]], Answer]


class ControlError(FieldgateError):
    """The running gateway refused a request."""


class GatewayNotRunning(FieldgateError):
    """No gateway answers on the socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"no gateway is running here: nothing answers on {path}")
        self.path = path


def socket_path(state_folder: Path) -> Path:
    """Return where the gateway with this state folder listens for commands.

    Beside its state. A service with its state in /var/lib/NAME (``StateDirectory=``) has it in /run/NAME
    (``RuntimeDirectory=``), which is there as long as it runs: nobody but the service may enter the state's folder.
    """
    if state_folder.parent == _STATES and (_RUN / state_folder.name).is_dir():
        return _RUN / state_folder.name / "control.sock"
    return state_folder / "control.sock"


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name of ``path`` that fits into a socket address, however long the path is."""
    if len(os.fsencode(path)) <= _MAX_ADDRESS_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class GatewaySilent(ControlError):
    """Somebody listens on the socket and does not answer."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(
            f"the gateway does not answer within {waited_s:g} s: it hangs, is stopped, or waits for its disk; "
            "'systemctl status fieldgate' and its log show more, and 'systemctl restart fieldgate' begins anew"
        )


class ControlServer:
    """Answers commands by name; ``handlers`` are async generators of what the answer consists of."""

    def __init__(self, path: Path, handlers: dict[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ControlError: the socket cannot be made, or somebody deleted it.
        """
        try:
            listening = self._bind()
        except OSError as error:
            raise ControlError(f"{self._path}: no socket can be made here: {error.strerror or error}") from error
        made = self._identity()
        try:
            async with asyncio.TaskGroup() as askers:
                await self._serve_all(listening, askers, made)
        finally:
            if made is not None and self._identity() == made:
                self._path.unlink(missing_ok=True)
        raise ControlError(f"{self._path} was deleted or replaced")

    async def _serve_all(
        self, listening: socket.socket, askers: asyncio.TaskGroup, made: tuple[int, int] | None
    ) -> None:
        """Until the file is not ours any more; whoever is still being answered then is cut off."""
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = askers.create_task(self._serve(reader, writer, is_one_too_many=len(tasks) >= _MAX_ASKERS))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_unix_server(accept, sock=listening, limit=_MAX_REQUEST_BYTES)
        try:
            while True:
                await asyncio.sleep(_CHECK_EVERY_S)
                if self._identity() != made:
                    break
        finally:
            server.close()
        for task in tasks:
            task.cancel()

    def _bind(self) -> socket.socket:
        """Replace what a killed gateway left; the journal's lock says that it is not another one's."""
        mode = 0o660 if self._path.parent.parent == _RUN else 0o600
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(
                listening.fileno(), 0o600
            )  # the file is made with this mode: never open to others, not even briefly
            with _address(self._path) as address:
                listening.bind(address)
                if mode != 0o600:  # the umask has taken the group's part
                    Path(address).chmod(mode)
        except BaseException:  # nobody else can close it
            listening.close()
            raise
        return listening

    def _identity(self) -> tuple[int, int] | None:
        with contextlib.suppress(OSError):
            stat = self._path.lstat()
            return stat.st_dev, stat.st_ino
        return None

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_one_too_many: bool
    ) -> None:
        try:
            async with asyncio.timeout(_REQUEST_DEADLINE_S):
                line = await reader.readline()
            writer.write(b"\n")
            await self._answer(line, writer, is_one_too_many=is_one_too_many)
        except (OSError, TimeoutError, ValueError):
            pass  # the asker has gone or sent no line; there is nobody left to tell
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter, *, is_one_too_many: bool) -> None:
        last: dict[str, Any] = {"done": True}
        try:
            request = _request(line)
            name = request.pop("do", None)
            log.debug("control.asked", request=str(name)[:_SHOWN], by_uid=_peer_uid(writer), **_shown_facts(request))
            handler = self._handlers.get(str(name))
            if handler is None:
                raise ControlError(f"unknown request {name!r}; known: {', '.join(sorted(self._handlers))}")
            if is_one_too_many:
                raise ControlError(f"{_MAX_ASKERS} commands are being answered already; try again later")
            async with aclosing(handler(request)) as answer:
                async for item in answer:
                    writer.write(item or b"\n" if isinstance(item, bytes) else msgspec.json.encode(item) + b"\n")
                    await writer.drain()
        except (FieldgateError, msgspec.MsgspecError) as error:
            last = {"error": str(error)}
        writer.write(msgspec.json.encode(last) + b"\n")
        await writer.drain()


def _peer_uid(writer: asyncio.StreamWriter) -> int | None:
    """Who asks, as the kernel knows him: the gateway's own user, root, or one of a service's group."""
    connection = writer.get_extra_info("socket")
    try:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    return int(_CREDENTIALS.unpack(credentials)[1])


def _shown_facts(request: dict[str, Any]) -> dict[str, str]:
    """What of a request may be in a log: never what a device is told."""
    return {key: str(request[key])[:_SHOWN] for key in _SHOWN_KEYS if request.get(key) is not None}


def _request(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except RecursionError:
        raise ControlError("what is asked is nested too deep") from None


async def stream(path: Path, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Ask the gateway and yield what it answers, object by object.

    Raises:
        GatewayNotRunning: nothing answers.
        GatewaySilent: it gives no sign of life.
        ControlError: the gateway refused, or went away before it was done, or so much cannot be asked at once.
    """
    line = msgspec.json.encode(request) + b"\n"
    if len(line) > _MAX_REQUEST_BYTES:
        raise ControlError(f"so much cannot be asked at once: {len(line):,} bytes, allowed: {_MAX_REQUEST_BYTES:,}")
    try:
        with _address(path) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=_MAX_LINE_BYTES)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise GatewayNotRunning(path) from error
    except OSError as error:
        hint = f"; {way_in(path)}" if isinstance(error, PermissionError) else ""
        raise ControlError(f"{path}: {(error.strerror or str(error)).lower()}{hint}") from error
    try:
        writer.write(line)
        said = await _first_line(reader)
        while said:
            if said != b"\n":
                item = msgspec.json.decode(said, type=dict[str, Any])
                if item.get("done") is True and len(item) == 1:
                    return
                if "error" in item and len(item) == 1:
                    raise ControlError(str(item["error"]))
                yield item
            said = await reader.readline()
        raise ControlError("the gateway went away before it had answered")
    except ConnectionError as error:
        raise ControlError("the gateway went away before it had answered") from error
    finally:
        writer.close()


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_SILENT_S):
            return await reader.readline()
    except TimeoutError:
        raise GatewaySilent(_SILENT_S) from None


async def ask(path: Path, request: dict[str, Any], *, within_s: float | None = _ANSWER_S) -> dict[str, Any]:
    """Ask the gateway and return the one object that it answers; the errors are those of `stream`.

    It is `GatewaySilent` after ``within_s`` too; None: what is asked for may take any time.
    """
    answer: dict[str, Any] = {}
    try:
        async with asyncio.timeout(within_s) as deadline:
            async for item in stream(path, request):
                answer = item
    except TimeoutError:
        if within_s is None or not deadline.expired():
            raise
        raise GatewaySilent(within_s) from None
    return answer
