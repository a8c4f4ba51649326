"""Commands of fieldgate, each in a process of its own, forked from one that has loaded everything already.

What a command costs is mostly to load Python and its modules, and the tests run hundreds. Each still has its own
standard streams, environment, folder and end. ``command_server.py SOCKET`` is the process they are forked from: a
connection is one command; it is told as a line of JSON, and the exit code comes back. It ends with its standard input.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

__all__ = ["run_command"]

_FOR_THE_START = ("LD_", "PYTHON", "TZ", "LANG", "LC_")  # what a process looks at only while it starts


def run_command(
    words: list[str], *, env: dict[str, str], cwd: Path | None = None, stdin: bytes = b"", timeout_s: float = 45.0
) -> subprocess.CompletedProcess[bytes]:
    """Run ``fieldgate WORDS`` to its end.

    Raises:
        TimeoutError: it did not end; it was killed.
    """
    if _start_of(env) != _start_of(os.environ):
        command = [sys.executable, "-m", "fieldgate", *words]
        return subprocess.run(
            command, env=env, cwd=cwd, input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
    with tempfile.TemporaryDirectory(prefix="command-") as name, socket.socket(socket.AF_UNIX) as connection:
        folder = Path(name)
        (folder / "in").write_bytes(stdin)
        connection.settimeout(timeout_s)
        connection.connect(_server())
        told = {"words": words, "env": env, "cwd": str(cwd or Path.cwd()), "streams": name}
        connection.sendall(json.dumps(told).encode() + b"\n")
        answers = connection.makefile("r")
        pid = int(answers.readline())
        try:
            code = int(answers.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            answers.close()
        return subprocess.CompletedProcess(words, code, (folder / "out").read_bytes(), (folder / "err").read_bytes())


def _start_of(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_FOR_THE_START)}


@cache
def _server() -> str:
    """Where the server of this process listens; it is started by the first command."""
    folder = tempfile.TemporaryDirectory(prefix="commands-")
    path = str(Path(folder.name) / "socket")
    process = subprocess.Popen([sys.executable, __file__, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None

    def end() -> None:
        process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]
        process.wait()
        folder.cleanup()

    atexit.register(end)
    assert process.stdout.readline() == b"ready\n"
    return path


# -- the server ---------------------------------------------------------------------------------------------------


def _serve(path: str) -> None:
    app = import_module("fieldgate.cli.app")
    app.build_app()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for who waits for a command
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    ready.register(sys.stdin, selectors.EVENT_READ)
    while all(key.fileobj is listener for key, _ in ready.select()):
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            ready.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _wait_for_command(connection)
            os._exit(0)
        connection.close()


def _wait_for_command(connection: socket.socket) -> None:
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(65_536)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(**json.loads(line))
    connection.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(words: list[str], env: dict[str, str], cwd: str, streams: str) -> None:
    """Be the command, to the end of this process."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for fd, name in enumerate(("in", "out", "err")):
        opened = os.open(Path(streams, name), os.O_RDONLY if fd == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    sys.argv = ["fieldgate", *words]
    import_module("fieldgate.cli").main()
    sys.exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
