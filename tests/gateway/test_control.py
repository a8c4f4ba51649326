"""The control socket: whom it answers, what survives a bad asker, whose file it is, where a service has it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldgate import control
from fieldgate.control import (
    BEAT,
    Answer,
    ControlError,
    ControlServer,
    GatewayNotRunning,
    GatewaySilent,
    ask,
    socket_path,
    stream,
)
from fieldgate.errors import FieldgateError
from gateway_kit import eventually


async def echo(request: dict[str, Any]) -> Answer:
    yield {"got": request}


async def three(request: dict[str, Any]) -> Answer:
    yield {"n": 1}
    yield BEAT
    yield b'{"n":2}\n{"n":3}\n'


async def refuse(request: dict[str, Any]) -> Answer:
    raise FieldgateError("not today")
    yield {}


@asynccontextmanager
async def serving(path: Path, **handlers: Any) -> AsyncIterator[ControlServer]:
    server = ControlServer(path, {"echo": echo, "three": three, "refuse": refuse, **handlers})
    task = asyncio.create_task(server.run())
    try:
        await eventually("it listens", lambda: task.done() or path.exists())
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_only_the_gateway_s_own_user_may_ask(tmp_path: Path) -> None:
    """Whoever may connect may read every event."""
    path = tmp_path / "s"
    async with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await ask(path, {"do": "echo", "a": 1}) == {"got": {"a": 1}}


async def test_what_is_too_much_for_one_request_is_said_before_it_is_sent(tmp_path: Path) -> None:
    """Thousands of numbers on a command line: 'the gateway went away' would send a person to the wrong place."""
    async with serving(tmp_path / "s"):
        much = {"do": "echo", "numbers": list(range(20_000))}
        assert await ask(tmp_path / "s", much) == {"got": {"numbers": much["numbers"]}}
        with pytest.raises(ControlError, match=r"so much cannot be asked at once: [0-9,]+ bytes, allowed: 262,144"):
            await ask(tmp_path / "s", {**much, "more": "x" * 262_144})


async def test_an_answer_may_be_many_objects(tmp_path: Path) -> None:
    """Also several in one write, with a sign of life between them."""
    async with serving(tmp_path / "s"):
        assert [item async for item in stream(tmp_path / "s", {"do": "three"})] == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize(
    ("request_", "text"),
    [({"do": "refuse"}, "not today"), ({"do": "fly"}, "unknown request 'fly'; known: "), ({}, "unknown request None")],
)
async def test_a_refusal_is_a_sentence(tmp_path: Path, request_: dict[str, Any], text: str) -> None:
    """The commands print it as it is."""
    async with serving(tmp_path / "s"):
        with pytest.raises(ControlError, match=text):
            await ask(tmp_path / "s", request_)


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b"\n", b"\xff\xfe\n", b"{" * 100_000 + b"\n", b"x" * 300_000])
async def test_nonsense_harms_nobody(tmp_path: Path, line: bytes) -> None:
    """A person may point any program at the socket."""
    async with serving(tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(line)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()

        assert answer == b"" or b'"error"' in answer
        assert await ask(tmp_path / "s", {"do": "echo"}) == {"got": {}}


async def test_what_a_killed_gateway_left_is_replaced(tmp_path: Path) -> None:
    """kill -9 leaves the file; nobody should have to delete it by hand."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(GatewayNotRunning):
        await ask(path, {"do": "echo"})

    async with serving(path):
        assert await eventually("it answers", lambda: _answers(path))


async def _answers(path: Path) -> bool:
    try:
        return bool(await ask(path, {"do": "echo"}))
    except FieldgateError:
        return False


async def test_any_path_is_short_enough(tmp_path: Path) -> None:
    """A socket's address holds 107 bytes; a folder's name may be longer, and the gateway must run there."""
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    path = folder / "s"

    async with serving(path):
        assert await ask(path, {"do": "echo"}) == {"got": {}}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_gateway_that_ends_leaves_its_successor_s_socket_alone(tmp_path: Path) -> None:
    """The journal's lock is free a moment before the old process is gone."""
    path = tmp_path / "s"
    async with serving(path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()


async def test_a_deleted_socket_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody cleans up the state folder; the supervisor starts the server again, and the gateway can be asked."""
    monkeypatch.setattr("fieldgate.control._CHECK_EVERY_S", 0.02)
    path = tmp_path / "s"
    server = ControlServer(path, {"echo": echo})
    task = asyncio.create_task(server.run())
    await eventually("it listens", path.exists)

    path.unlink()

    with pytest.raises(ControlError, match="was deleted or replaced"):
        await asyncio.wait_for(task, 20)


async def test_where_no_socket_can_be_made_the_reason_is_told(tmp_path: Path) -> None:
    """Some file systems have none."""
    with pytest.raises(ControlError, match="no socket can be made here: No such file"):
        await ControlServer(tmp_path / "nowhere" / "s", {}).run()


async def test_an_answer_ends_when_the_asker_has_gone(tmp_path: Path) -> None:
    """``tail -f`` that was closed must not read the journal for ever."""
    is_over = asyncio.Event()

    async def endless(request: dict[str, Any]) -> Answer:
        try:
            yield {"n": 1}
            while True:
                await asyncio.sleep(0.01)
                yield BEAT
        finally:
            is_over.set()

    async with serving(tmp_path / "s", endless=endless):
        async for _ in stream(tmp_path / "s", {"do": "endless"}):
            break

        await asyncio.wait_for(is_over.wait(), 20)


async def test_the_server_ends_although_somebody_follows(tmp_path: Path) -> None:
    """A gateway that stops does not wait for ``tail -f``; the asker is told."""

    async def endless(request: dict[str, Any]) -> Answer:
        yield {"n": 1}
        await asyncio.Event().wait()

    server = ControlServer(tmp_path / "s", {"endless": endless})
    task = asyncio.create_task(server.run())
    await eventually("it listens", (tmp_path / "s").exists)
    answer = stream(tmp_path / "s", {"do": "endless"})
    assert await anext(answer) == {"n": 1}

    task.cancel()
    await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 20)

    with pytest.raises(ControlError, match="went away"):
        await anext(answer)


async def test_nobody_waits_for_a_gateway_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stopped or blocked still has its socket; whoever looks for the reason must not hang with it."""
    monkeypatch.setattr(control, "_SILENT_S", 0.2)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        with pytest.raises(GatewaySilent, match="it hangs, is stopped, or waits for its disk"):
            await ask(tmp_path / "s", {"do": "status"})


async def test_an_answer_may_take_its_time_where_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that lives says so at once; the journal's thread may still hang, and a reload may wait for brokers."""
    monkeypatch.setattr(control, "_SILENT_S", 1.0)
    go_on = asyncio.Event()

    async def slow(request: dict[str, Any]) -> Answer:
        await go_on.wait()
        yield {"n": 1}

    async with serving(tmp_path / "s", slow=slow):
        with pytest.raises(GatewaySilent):
            await ask(tmp_path / "s", {"do": "slow"}, within_s=0.2)
        asyncio.get_running_loop().call_later(1.5, go_on.set)
        assert await ask(tmp_path / "s", {"do": "slow"}, within_s=None) == {"n": 1}


async def test_too_many_askers_are_turned_away(tmp_path: Path) -> None:
    """Each costs a descriptor, and the devices need those."""

    async def endless(request: dict[str, Any]) -> Answer:
        yield {"n": 1}
        while True:
            await asyncio.sleep(0.01)
            yield BEAT

    async with serving(tmp_path / "s", endless=endless):
        crowd = [stream(tmp_path / "s", {"do": "endless"}) for _ in range(32)]
        for one in crowd:
            await anext(one)

        with pytest.raises(ControlError, match="32 commands are being answered already"):
            await ask(tmp_path / "s", {"do": "echo"})
        for one in crowd:
            await one.aclose()
        await eventually("there is room again", lambda: _answers(tmp_path / "s"))


async def test_nobody_answers_is_an_error_of_its_own(tmp_path: Path) -> None:
    """The journal commands then open the files themselves."""
    for path in (tmp_path / "s", tmp_path / "no" / "folder", Path(os.devnull) / "s"):
        with pytest.raises(GatewayNotRunning, match="no gateway is running here"):
            await ask(path, {"do": "echo"})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's /var/lib and /run, both in a folder."""
    (tmp_path / "run").mkdir()
    (tmp_path / "lib/fieldgate").mkdir(parents=True)
    monkeypatch.setattr(control, "_STATES", tmp_path / "lib")
    monkeypatch.setattr(control, "_RUN", tmp_path / "run")
    return tmp_path


def test_it_is_in_the_service_s_folder_as_long_as_systemd_keeps_one(machine: Path) -> None:
    """Commands look where the service has it, and where a gateway has it that was started by hand on the same state."""
    state = machine / "lib/fieldgate"
    assert socket_path(state) == state / "control.sock"

    (machine / "run/fieldgate").mkdir()

    assert socket_path(state) == machine / "run/fieldgate/control.sock"


@pytest.mark.parametrize("elsewhere", ["lib/other", "lib/fieldgate/second", "home/fieldgate"])
def test_a_gateway_with_other_state_is_another_gateway(machine: Path, elsewhere: str) -> None:
    """Somebody tries things in a folder of his own, beside the service: each is asked for itself."""
    (machine / "run/fieldgate").mkdir()

    assert socket_path(machine / elsewhere) == machine / elsewhere / "control.sock"


async def test_the_service_s_group_may_ask_whatever_the_umask_is(machine: Path) -> None:
    """Operators need not be root; everybody else stays out."""
    folder = machine / "run/fieldgate"
    folder.mkdir()
    before = os.umask(0o077)
    try:
        async with serving(folder / "control.sock"):
            assert stat.S_IMODE((folder / "control.sock").stat().st_mode) == 0o660
            assert await ask(folder / "control.sock", {"do": "echo"}) == {"got": {}}
    finally:
        os.umask(before)


async def _reload(folder: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fieldgate.reload_service",
        env={**os.environ, "RUNTIME_DIRECTORY": str(folder)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def _answer(**facts: Any) -> Any:
    async def reload(request: dict[str, Any]) -> Answer:
        yield BEAT
        yield {"reloaded": True, "problems": [], "warnings": [], "needs_restart": [], **facts}

    return reload


@pytest.mark.parametrize(
    ("facts", "code", "said"),
    [
        ({}, 0, ""),
        ({"needs_restart": ["journal.max_size"]}, 0, "journal.max_size: needs a restart\n"),
        (
            {"reloaded": False, "problems": ["a.yaml:1:1: no"]},
            1,
            "a.yaml:1:1: no\nrefused: nothing has changed, what was read before goes on\n",
        ),
    ],
)
async def test_a_reload_ends_as_it_went(tmp_path: Path, facts: dict[str, Any], code: int, said: str) -> None:
    """`systemctl reload` must fail where nothing was reloaded: playbooks go by it."""
    async with serving(tmp_path / "control.sock", reload=_answer(**facts)):
        assert await _reload(tmp_path) == (code, said)


async def test_a_reload_that_nobody_answers_fails_with_the_reason(tmp_path: Path) -> None:
    """It may be asked while the service starts."""

    async def too_early(request: dict[str, Any]) -> Answer:
        raise ControlError("too early")
        yield {}

    code, said = await _reload(tmp_path)
    assert code == 1
    assert said.startswith(f"no gateway answers on {tmp_path}/control.sock: ")
    async with serving(tmp_path / "control.sock", reload=too_early):
        assert await _reload(tmp_path) == (1, "too early\n")


async def test_it_takes_a_fraction_of_the_memory_of_the_command(tmp_path: Path) -> None:
    """It runs within the unit's MemoryMax, beside the gateway. The mutant: the command, which loads more."""
    code = "import {}, sys; sys.exit(int(any(one in sys.modules for one in ('typer', 'pydantic'))))"
    for module, is_heavy in (("fieldgate.reload_service", 0), ("fieldgate.cli.app", 1)):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code.format(module))
        assert await process.wait() == is_heavy
