"""Telling devices something, from outside: a real gateway, devices on raw connections, the command line."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from command_gateway import Boiler, boiler_gateway, give
from fieldgate.control import ControlError, ask, socket_path, stream
from fieldgate.mqtt.packets import PubAck, Publish
from gateway_kit import Gateway, eventually, running
from listener_kit import RawClient


@asynccontextmanager
async def serving(boiler: Boiler) -> AsyncIterator[Boiler]:
    task = asyncio.create_task(boiler.serve())
    try:
        yield boiler
    finally:
        task.cancel()
        await RawClient.close_all()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(boiler_gateway(tmp_path)) as one:
        yield one


async def fieldgate(gateway: Gateway, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fieldgate", *words, "-c", str(gateway.config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def trail(gateway: Gateway, **query: Any) -> list[dict[str, Any]]:
    return [one async for one in stream(socket_path(gateway.state), {"do": "command.list"} | query)]


async def stored(gateway: Gateway) -> list[dict[str, Any]]:
    """The events of type command."""
    request = {"do": "journal.read"}
    return [one async for one in stream(socket_path(gateway.state), request) if one["type"] == "command"]


async def test_a_person_tells_a_device_something_and_reads_what_became_of_it(gateway: Gateway) -> None:
    """The whole way, by the command line: what it can be told, doing it, being refused, the trail."""
    boiler = Boiler(gateway, "b7")
    await boiler.connect()
    async with serving(boiler):
        known = await fieldgate(gateway, "command", "b7")
        done = await fieldgate(gateway, "command", "b7", "set", "n=1", "target=55.5", "--id", "one")
        again = await fieldgate(gateway, "command", "b7", "set", "n=1", "target=55.5", "--id", "one")
        refused = await fieldgate(gateway, "command", "b7", "set", "n=1", "target=120")
        listed = await fieldgate(gateway, "commands", "--device", "b*")

    assert known[:2] == (
        0, "set n=<0 to 100000> target=[<20 to 90 °C>]   Sets what it heats to.\nquick n=<INT>\nconfirmed n=<INT>\n"
    )  # fmt: skip
    assert done[:2] == (0, "b7 set done   (id one)\n")
    assert again[:2] == done[:2]
    assert refused[0] == 3
    assert "b7 set refused: target: 120 is above the greatest value 90 °C   (id " in refused[1]
    assert [message.payload for message in boiler.messages] == [b'{"n":1,"target":55.5}']
    lines = listed[1].splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("  done      b7 set n=1 target=55.5   (cli, id one)")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["b77", "set", "n=1"], 3, "no device 'b77' is known; did you mean 'b7'?"),
        (["b7", "sett", "n=1"], 3, "boiler has no command 'sett'; did you mean 'set'?"),
        (["b7", "set", "n=x"], 3, "n: 'x' is not a whole number"),
        (["b7", "set", "n"], 2, "'n' is not KEY=VALUE"),
        (["b7", "set", "n=1", "n=2"], 2, "'n' is there twice"),
        (["b7", "set", "n=1", "--max-age", "soon"], 2, "--max-age"),
        (["b7", "set", "n=1", "--max-age", "2d"], 1, "at most a day old"),
        (["b7", "quick", "n=1"], 4, "the device did not confirm it in time"),
        (["b8"], 1, "no device 'b8' is known"),
    ],
)
async def test_what_does_not_go_well_has_its_reason_and_its_exit_code(
    gateway: Gateway, words: list[str], code: int, says: str
) -> None:
    """Scripts go by the code, people by the reason."""
    boiler = Boiler(gateway, "b7", acks=lambda _: False)
    await boiler.connect()
    async with serving(boiler):
        ended, out, err = await fieldgate(gateway, "command", *words)

    assert ended == code
    assert says in out + err


async def test_a_device_that_is_away_gets_it_when_it_returns_and_once(gateway: Gateway) -> None:
    """Accepted means: safe on disk, whatever happens to the gateway."""
    boiler = Boiler(gateway, "b7")
    await boiler.connect(kept_s=3600)
    await RawClient.close_all()
    await eventually("it is away", lambda: _is_away(gateway))
    accepted = await give(gateway, "b7", 1)
    await gateway.kill()
    await gateway.start()
    await boiler.connect(clean=False, kept_s=3600)
    async with serving(boiler):

        async def is_done() -> bool:
            return (await give(gateway, "b7", 1))["status"] == "done"  # the same command: its answer, once it has one

        await eventually("it is done", is_done)
        rows = await trail(gateway)

    assert (accepted["status"], accepted["reason"]) == ("accepted", "the device is away; it waits in its session")
    assert boiler.executed == {1: 1}
    assert [one["status"] for one in rows] == ["done"]


async def _is_away(gateway: Gateway) -> bool:
    return bool((await gateway.status())["local_delivery"]["sessions_away"])


async def test_what_a_device_got_from_its_session_right_before_a_kill_it_does_not_get_again(gateway: Gateway) -> None:
    """Sessions are stored once a second; in between the file still held the command that was done."""
    boiler = Boiler(gateway, "b7")
    await boiler.connect(kept_s=3600)
    await RawClient.close_all()
    await eventually("it is away", lambda: _is_away(gateway))
    accepted = await give(gateway, "b7", 1)
    await boiler.connect(clean=False, kept_s=3600)
    assert boiler.client is not None
    got = await boiler.client.receive()
    assert isinstance(got, Publish)
    boiler.client.write(PubAck(got.packet_id))
    await gateway.kill()
    await RawClient.close_all()
    await gateway.start()
    await boiler.connect(clean=False, kept_s=3600)
    boiler.client.publish(5, b'{"temperature": 20}', topic="site/boiler/b7/telemetry")
    first = await boiler.client.receive()
    async with serving(boiler):
        second = await give(gateway, "b7", 2)
        answer = await give(gateway, "b7", 1)

    assert isinstance(first, PubAck)
    assert (second["status"], second["reason"]) == ("done", "")
    assert accepted["status"] == "accepted"
    assert boiler.executed == {2: 1}  # counted since the kill
    assert answer["status"] in ("unknown", "done")


async def test_a_device_that_returns_too_late_never_gets_it(gateway: Gateway) -> None:
    """The door must not open an hour after the button was pressed."""
    boiler = Boiler(gateway, "b7")
    await boiler.connect(kept_s=3600)
    await RawClient.close_all()
    await eventually("it is away", lambda: _is_away(gateway))
    answers = [
        one["status"]
        async for one in stream(
            socket_path(gateway.state),
            {"do": "command.give", "device": "b7", "name": "quick", "arguments": {"n": 1}, "max_age_s": 1.0}
            | {"wait": "final"},
        )
    ]
    await boiler.connect(clean=False, kept_s=3600)
    assert boiler.client is not None
    boiler.client.publish(5, b"{}", topic="site/boiler/b7/telemetry")
    packet = await boiler.client.receive()
    await RawClient.close_all()

    assert answers == ["accepted", "refused"]
    assert isinstance(packet, PubAck)  # and no command before it


async def test_what_waits_for_a_device_is_given_up_in_time_after_a_restart_too(gateway: Gateway) -> None:
    """Nothing else may come that would wake the desk."""
    boiler = Boiler(gateway, "b7")
    await boiler.connect(kept_s=3600)
    await RawClient.close_all()
    await eventually("it is away", lambda: _is_away(gateway))
    accepted = await give(gateway, "b7", 1, max_age_s=2.5)
    await gateway.kill()
    await gateway.start()

    async def is_given_up() -> bool:
        return [one["status"] for one in await trail(gateway)] == ["refused"]

    await eventually("it is given up", is_given_up)

    assert accepted["status"] == "accepted"


async def test_a_reply_confirms_where_the_profile_says_so(gateway: Gateway) -> None:
    boiler = Boiler(gateway, "b7")
    await boiler.connect()
    async with serving(boiler):
        giving = asyncio.create_task(give(gateway, "b7", 5, name="confirmed"))
        await eventually("it was told", lambda: boiler.executed[5])
        await boiler.say(b'{"n": 4}')
        await asyncio.sleep(0)
        is_over_early = giving.done()
        await boiler.say(b'{"n": 5}')
        answer = await giving
        missing = await give(gateway, "b7", 6, name="confirmed")

    assert not is_over_early
    assert answer["status"] == "done"
    assert missing["status"] == "timeout"


async def test_one_device_gets_its_commands_in_order_and_another_does_not_wait(gateway: Gateway) -> None:
    slow, quick = Boiler(gateway, "slow", acks=lambda _: False), Boiler(gateway, "quick")
    await slow.connect()
    await quick.connect()
    async with serving(slow), serving(quick):
        first = asyncio.create_task(give(gateway, "slow", 1))
        await eventually("it has the first", lambda: slow.executed[1])
        second = asyncio.create_task(give(gateway, "slow", 2))
        answer = await give(gateway, "quick", 3)
        told = list(slow.executed)
        assert slow.client is not None
        slow.acks = lambda _: True
        slow.client.write(PubAck(slow.messages[0].packet_id))
        answers = [(await first)["status"], (await second)["status"]]

    assert answer["status"] == "done"
    assert told == [1]
    assert answers == ["done", "done"]
    assert list(slow.executed) == [1, 2]


async def test_every_command_becomes_an_event_of_the_gateway(gateway: Gateway) -> None:
    """The platform keeps the trail longer than any device."""
    boiler = Boiler(gateway, "b7")
    await boiler.connect()
    async with serving(boiler):
        await give(gateway, "b7", 1)
        await give(gateway, "b9", 2)

        async def both() -> list[dict[str, Any]] | None:
            found = await stored(gateway)
            return found if len(found) == 2 else None

        done, refused = await eventually("both are stored", both)

    assert (done["device"], done["lane"], refused["device"]) == ("b7", "high", "g")
    data = json.loads(done["data"])
    times = {key: data.pop(key) for key in ("received", "started", "answered")}
    assert times["received"] <= times["started"] <= times["answered"]
    assert data == {
        "device": "b7", "name": "set", "id": "id-1", "origin": "cli", "status": "done", "reason": "",
        "arguments": {"n": 1},
    }  # fmt: skip
    assert (json.loads(refused["data"])["device"], json.loads(refused["data"])["status"]) == ("b9", "refused")


async def test_the_event_of_a_command_outlives_a_kill_right_after_its_answer(gateway: Gateway) -> None:
    """What the caller was told, the platform hears, too: the answer is on disk before its event is."""
    boiler = Boiler(gateway, "b7")
    await boiler.connect()
    async with serving(boiler):
        answers = [await give(gateway, "b7", number) for number in range(3)]
        await gateway.kill()
    await gateway.start()

    async def all_are_there() -> set[str] | None:
        found = {f"{data['id']} {data['status']}" for one in await stored(gateway) if (data := json.loads(one["data"]))}
        return found if len(found) == 3 else None

    found = await eventually("their events are stored", all_are_there)

    assert found == {f"{answer['id']} {answer['status']}" for answer in answers}


async def test_the_message_says_which_command_it_is_and_until_when(gateway: Gateway) -> None:
    boiler = Boiler(gateway, "b7")
    await boiler.connect()
    async with serving(boiler):
        await give(gateway, "b7", 1, max_age_s=30.0)

    (message,) = boiler.messages
    assert isinstance(message, Publish)
    assert message.properties is not None
    assert message.properties.correlation_data == b"id-1"
    assert message.properties.message_expiry_s in (29, 28)


async def test_the_trail_is_there_while_no_gateway_runs(gateway: Gateway) -> None:
    boiler = Boiler(gateway, "b7")
    await boiler.connect()
    async with serving(boiler):
        await give(gateway, "b7", 1)
    await give(gateway, "b8", 2)
    code = await gateway.stop()
    _, out, _ = await fieldgate(gateway, "commands", "--json")
    refused = await fieldgate(gateway, "commands", "--status", "refused", "--since", "1h")
    none = await fieldgate(gateway, "commands", "--device", "x")
    given = await fieldgate(gateway, "command", "b7", "set", "n=1")

    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(one["number"], one["device"], one["status"]) for one in rows] == [(1, "b7", "done"), (2, "b8", "refused")]
    assert rows[0]["arguments"] == {"n": 1}
    assert len(refused[1].splitlines()) == 1
    assert none == (0, "", "no such command is recorded\n")
    assert given[0] == 1
    assert "no gateway is running" in given[2]


async def test_the_trail_can_be_followed(gateway: Gateway) -> None:
    boiler = Boiler(gateway, "b7")
    await boiler.connect()
    seen: list[str] = []

    async def follow() -> None:
        async for one in stream(socket_path(gateway.state), {"do": "command.list", "follow": True}):
            seen.append(f"{one['id']} {one['status']}")  # noqa: PERF401 - they are looked at as they come

    task = asyncio.create_task(follow())
    async with serving(boiler):
        await give(gateway, "b7", 1)
        await give(gateway, "b7", 2)
        await eventually("both were seen", lambda: {"id-1 done", "id-2 done"} <= set(seen))
    task.cancel()


async def test_a_damaged_record_is_set_aside_and_the_gateway_starts(gateway: Gateway) -> None:
    """P5: it says so, and takes commands."""
    boiler = Boiler(gateway, "b7")
    await boiler.connect()
    async with serving(boiler):
        for number in range(3):
            await give(gateway, "b7", number)
    await gateway.stop()
    path = gateway.state / "commands.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE command SET body = x'00' WHERE number = 2")
    connection.close()
    await gateway.start()
    await boiler.connect()
    async with serving(boiler):
        answer = await give(gateway, "b7", 9)
    kept = [one["id"] for one in await trail(gateway)]

    assert "event=commands.damaged" in gateway.log_text()
    assert answer["status"] == "done"
    assert kept == ["id-0", "id-2", "id-9"]


async def test_a_record_that_cannot_be_written_refuses_commands_and_nothing_else(gateway: Gateway) -> None:
    """What cannot be recorded is not carried out: nobody would know it when it comes again."""
    await gateway.stop()
    path = gateway.state / "commands.db"
    path.unlink()
    path.mkdir()
    await gateway.start()
    boiler = Boiler(gateway, "b7")
    await boiler.connect()  # its event is taken as ever
    async with serving(boiler):
        answer = await give(gateway, "b7", 1)
    status = await gateway.status()
    _, shown, _ = await fieldgate(gateway, "status")

    assert answer["status"] == "refused"
    assert answer["reason"].startswith("no command can be recorded: ")
    assert boiler.executed == {}
    assert "unable to open database file" in status["commands"]["problem"]
    assert "PROBLEM  commands cannot be recorded and are refused" in shown


async def test_an_id_that_is_too_long_is_no_id(gateway: Gateway) -> None:
    with pytest.raises(ControlError, match="an id has 1 to 256 characters"):
        await ask(socket_path(gateway.state), {"do": "command.give", "device": "d", "name": "n", "id": "x" * 257})
