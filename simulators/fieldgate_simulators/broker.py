"""A stand-in upstream broker as a child process: mosquitto where it is installed, else amqtt.

It listens on loopback only and takes anyone. It keeps its port over `Broker.stop` and `Broker.start`. To take an
amqtt away from its clients put a `Link` before it and cut that: closed abruptly, amqtt loses what it has acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from fieldgate_simulators.errors import SimulatorError

__all__ = ["Broker", "BrokerKind", "mosquitto_path"]

BrokerKind = Literal["mosquitto", "amqtt"]
_START_TIMEOUT_S: Final = 15.0
_STOP_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.02
_PORT_ATTEMPTS: Final = 3

_MOSQUITTO_CONF: Final = """\
listener {port} 127.0.0.1
allow_anonymous true
user {user}
log_dest stderr
connection_messages true
max_queued_messages 0
persistence {persistence}
persistence_location {folder}/
"""

_AMQTT_CONF: Final = """\
listeners:
  default: {{type: tcp, bind: "127.0.0.1:{port}"}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""


def mosquitto_path() -> str | None:
    """Where mosquitto is installed, if it is; Debian keeps it out of a user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


class Broker:
    """One broker for as long as its context lasts.

    ``kind`` None takes the best that is installed. ``folder`` keeps config, log and, with ``is_persistent``, what
    mosquitto stores; by default they go with the context. ``settings`` are more lines for ``mosquitto.conf``.
    """

    host: Final = "127.0.0.1"

    def __init__(
        self,
        *,
        kind: BrokerKind | None = None,
        folder: Path | None = None,
        port: int | None = None,
        is_persistent: bool = False,
        settings: Sequence[str] = (),
    ) -> None:
        mosquitto = mosquitto_path()
        if kind == "mosquitto" and mosquitto is None:
            raise SimulatorError("mosquitto is not installed; on Debian: apt-get install mosquitto")
        self.kind: BrokerKind = kind or ("mosquitto" if mosquitto else "amqtt")
        if self.kind == "amqtt" and (is_persistent or settings):
            raise SimulatorError("amqtt stores nothing and takes no mosquitto settings; use mosquitto for this")
        self._mosquitto = mosquitto
        self._is_persistent = is_persistent
        self._settings = tuple(settings)
        self._wanted_port = port
        self._port = port or 0
        self._folder = folder
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def port(self) -> int:
        """Where it listens, or listened last."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens, as a target."""
        return f"mqtt://{self.host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def log_path(self) -> Path:
        """What it says on stderr, over all its starts."""
        return self._place() / "broker.log"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # Ctrl-C too leaves no broker behind
            await self.kill()
            self._clean_up()
            raise
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        try:
            await self.stop()
        finally:
            self._clean_up()

    async def start(self) -> None:
        """Start it and wait until it takes connections; nothing happens if it runs.

        Raises:
            SimulatorError: it does not start; the text has the end of its log.
        """
        if self._process is not None:
            return
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if not self._port:
                self._port = _free_port(self.host)
            elif _is_taken(self.host, self._port):  # or what answers would be taken for the broker
                raise SimulatorError(f"port {self._port} of {self.host} is already in use")
            await self._spawn()
            try:
                await self._wait_until_listening()
                return
            except SimulatorError:
                await self.kill()
                # Another process may take a free port before the broker does.
                if attempt == _PORT_ATTEMPTS or self._wanted_port or "in use" not in self._log_end():
                    raise
                self._port = 0

    async def stop(self) -> None:
        """Ask it to end (SIGTERM; amqtt: SIGINT) and wait; kill it if it does not."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM if self.kind == "mosquitto" else signal.SIGINT)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL it and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def _clean_up(self) -> None:
        if self._own_folder is not None:
            self._own_folder.cleanup()
            self._own_folder = None

    def _place(self) -> Path:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._folder
        if self._own_folder is None:
            self._own_folder = tempfile.TemporaryDirectory(prefix="fieldgate-broker-")
        return Path(self._own_folder.name)

    def _command(self) -> list[str]:
        folder = self._place()
        if self.kind == "amqtt":
            config = folder / "amqtt.yaml"
            config.write_text(_AMQTT_CONF.format(port=self._port), encoding="utf-8")
            return [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(config)]
        assert self._mosquitto is not None
        config = folder / "mosquitto.conf"
        text = _MOSQUITTO_CONF.format(
            port=self._port,
            user=pwd.getpwuid(os.geteuid()).pw_name,  # as root it would become a user who cannot write the folder
            persistence=str(self._is_persistent).lower(),
            folder=folder,
        )
        config.write_text(text + "".join(f"{line}\n" for line in self._settings), encoding="utf-8")
        return [self._mosquitto, "-c", str(config)]

    async def _spawn(self) -> None:
        command = self._command()
        with self.log_path.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal reaches our parent alone, which stops things in order.
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    async def _wait_until_listening(self) -> None:
        process = self._process
        assert process is not None
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while process.returncode is None:
                    if await _answers(self.host, self._port):
                        return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise SimulatorError(
                f"{self.kind} does not listen after {_START_TIMEOUT_S:g} s: {self._log_end()}"
            ) from None
        raise SimulatorError(f"{self.kind} ended with {process.returncode}: {self._log_end()}")

    def _log_end(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _is_taken(host: str, port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return True
    return False


def _free_port(host: str) -> int:
    with socket.socket() as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port
