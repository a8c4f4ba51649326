"""``fieldgate dead-letters``: what nobody knows is kept, looked into, sent through again, dropped."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from command_kit import Ended, fieldgate
from dead_letter_kit import letter
from fieldgate.control import socket_path, stream
from fieldgate.journal.dead_letter import LetterChanges
from fieldgate.journal.dead_letter_file import DeadLetterFile
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Upstream, eventually, publish_once, running

BINARY = bytes(range(256))


def gateway_that(unknown: str, folder: Path, *, uplinks: dict[str, Any] | None = None, **limits: Any) -> Gateway:
    gateway = Gateway(folder, uplinks=uplinks or {})
    gateway.settings["devices"] = {"unknown": unknown, "dead_letters": limits}
    return gateway


async def command(gateway: Gateway, *words: object) -> Ended:
    return await fieldgate("dead-letters", *words, config=gateway.config)


async def letters(gateway: Gateway) -> list[dict[str, Any]]:
    """All that the running gateway lists, as the command gets it."""
    return [one async for one in stream(socket_path(gateway.state), {"do": "dead-letters.list"})]


async def quarantine(gateway: Gateway) -> None:
    for topic, payload in (("site/a", b'{"t":1}'), ("site/b", BINARY), ("other/c", b"")):
        await publish_once(gateway.port, topic, payload)


def stopped_gateway(folder: Path, *topics: str) -> Gateway:
    """Whose file holds a letter of each topic."""
    gateway = gateway_that("quarantine", folder)
    gateway.config.write_text(json.dumps(gateway.settings), encoding="utf-8")
    gateway.state.mkdir()
    with closing(DeadLetterFile(gateway.state, max_size_bytes=16 << 20)) as file:
        file.apply(LetterChanges(new=[letter(topic=topic) for topic in topics]))
    return gateway


async def test_what_nobody_knows_is_kept_and_shown_whole(tmp_path: Path) -> None:
    """Rows 72, 73: byte for byte, an empty payload too, and no terminal is upset."""
    gateway = gateway_that("quarantine", tmp_path)
    async with running(gateway):
        await quarantine(gateway)
        status = await fieldgate("status", config=gateway.config)
        listed = await letters(gateway)
        some = await command(gateway, "list", "--topic", "site/*", "--since", "1h", "--profile", "none")
        shown = await command(gateway, "show", 1, 2, 5)
        whole = await command(gateway, "show", 2, "--json")
        raw = await command(gateway, "show", 1, "--raw")

    assert "dead     3 messages kept that made no event" in status.out
    assert "no profile: unknown_device: kept 3" in status.out
    assert [(one["number"], one["topic"], one["payload_bytes"]) for one in listed] == [
        (1, "site/a", 7),
        (2, "site/b", 256),
        (3, "other/c", 0),
    ]
    assert {(one["profile"], one["reason"], one["attempts"], one["lane"]) for one in listed} == {
        (None, "unknown_device", 0, "normal")
    }
    assert listed[0]["source"] == f"127.0.0.1:{gateway.port}"
    assert [line.split()[0] for line in some.out.splitlines()] == ["1", "2"]
    assert '{"t":1}' in shown.out
    assert "000010  10 11 12" in shown.out
    assert "\x1b" not in shown.out
    assert (shown.code, shown.err) == (1, "error: there is no dead letter 5\n")
    assert raw.out == '{"t":1}'
    assert base64.b64decode(whole.json["payload_base64"]) == BINARY


async def test_what_is_refused_again_stays_with_its_number(tmp_path: Path) -> None:
    """Nothing was mended yet; and it takes the running gateway to find out."""
    gateway = gateway_that("quarantine", tmp_path)
    async with running(gateway):
        await quarantine(gateway)
        again = await command(gateway, "replay", "--all")
        status = (await gateway.status())["dead_letters"]
        assert await gateway.stop() == 0
    stopped = await command(gateway, "list", "--json")
    refused = await command(gateway, "replay", "--all")

    assert again.out.startswith("3 messages sent through again: 3 refused again:\n")
    assert (status["kept"], status["sampled_out"], status["replaying"], status["is_behind"]) == (3, 0, 0, False)
    listed = [json.loads(line) for line in stopped.out.splitlines()]
    assert [(one["number"], one["attempts"]) for one in listed] == [(1, 1), (2, 1), (3, 1)]
    assert refused.code == 1
    assert "needs the running gateway" in refused.err


async def test_a_replay_makes_events_of_what_was_kept(tmp_path: Path) -> None:
    """After a restart, through the whole flow; what became an event is a dead letter no more."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = gateway_that(
            "quarantine", tmp_path, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}}
        )
        async with running(gateway):
            await quarantine(gateway)
        before = upstream.events()
        gateway.settings["devices"]["unknown"] = "accept"
        async with running(gateway):
            told = await command(gateway, "replay", 1, 2, 3, 77, "--topic", "*/[ac]")
            left = await letters(gateway)
            rest = await command(gateway, "replay", "--all", "--json")
            nothing = await command(gateway, "replay", "--all")
            await eventually("all are there", lambda: len(upstream.events()) == 3)
            after = (await gateway.status())["dead_letters"]
        upstream.close()

    assert before == []
    assert told.out == "2 messages sent through again: 2 events\n"
    assert told.err == "error: there is no dead letter 2\nerror: there is no dead letter 77\n"
    assert told.code == 1
    assert [one["number"] for one in left] == [2]
    assert (rest.json["replayed"], rest.json["events"], rest.json["again"], rest.json["unknown"]) == (1, 1, [], [])
    assert (nothing.code, nothing.err) == (0, "there are no such dead letters\n")
    assert [one.get("data", one.get("data_base64")) for one in upstream.events()] == [
        {"t": 1},
        "",
        base64.b64encode(BINARY).decode(),
    ]
    assert (after["kept"], after["is_behind"], after["replaying"]) == (0, False, 0)


BOILER = """\
profile: boiler
version: 1
match: {mqtt: "site/+/boiler"}
device: boiler-1
decode: json
fields:
  temperature: {type: float, unit: °C, min: -40, max: MAX}
"""


async def test_after_a_profile_was_mended_a_replay_makes_events_that_say_so(tmp_path: Path) -> None:
    """The integrator's day: a reason to act on, the file mended while the gateway runs, the messages not lost."""
    profile = tmp_path / "devices.d" / "boiler.yaml"
    profile.parent.mkdir()
    profile.write_text(BOILER.replace("MAX", "50"), encoding="utf-8")
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = gateway_that("accept", tmp_path, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}})
        async with running(gateway):
            for payload in (b'{"temperature": 85}', b"not JSON", b'{"temperature": 20}'):
                await publish_once(gateway.port, "site/a/boiler", payload)
            listed = await letters(gateway)
            profile.write_text(BOILER.replace("MAX", "150"), encoding="utf-8")
            await eventually("it is read", lambda: "profiles.loaded" in gateway.log_text())
            told = await command(gateway, "replay", "--profile", "boiler")
            await eventually("both are there", lambda: len(upstream.arrived) == 2)
            left = await letters(gateway)
        upstream.close()

    assert [(one["profile"], one["version"], one["reason"]) for one in listed] == [
        ("boiler", 1, "out_of_range"),
        ("boiler", 1, "undecodable"),
    ]
    assert "temperature" in listed[0]["detail"]
    assert told.out.splitlines()[0] == "2 messages sent through again: 1 event, 1 refused again:"
    assert [(one["number"], one["attempts"]) for one in left] == [(2, 1)]
    assert [(one["data"], one.get("replayed", False)) for one in upstream.arrived] == [
        ({"temperature": 20.0}, False),
        ({"temperature": 85.0}, True),
    ]


async def test_a_replayed_message_has_the_time_at_which_it_was_received(tmp_path: Path) -> None:
    """Yesterday's readings are yesterday's, also in the database behind the broker; a time nobody knew is no time."""
    heard_ns = 1_764_000_000 * 10**9
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = stopped_gateway(tmp_path)
        gateway.settings["uplinks"] = {"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}}
        gateway.settings["devices"]["unknown"] = "accept"
        with closing(DeadLetterFile(gateway.state, max_size_bytes=16 << 20)) as file:
            kept = [letter(b"1", received_wall_ns=heard_ns), letter(b"2", received_wall_ns=5, is_synced=False)]
            file.apply(LetterChanges(new=[*kept, letter(b"3", received_wall_ns=heard_ns + 10**9, lane=0)]))
        async with running(gateway):
            told = await command(gateway, "replay", "--all")
            await eventually("all are there", lambda: len(upstream.arrived) == 3)
            devices = (await gateway.status())["devices"]
        upstream.close()

    times = {int(one["data"]["value"]): one["time"] for one in upstream.arrived}
    assert told.out == "3 messages sent through again: 3 events\n"
    assert (times[1], times[3]) == ("2025-11-24T16:00:00.000000Z", "2025-11-24T16:00:01.000000Z")
    assert times[2] > times[1]
    assert devices["known"] == 0


async def test_the_running_gateway_drops_letters_for_good(tmp_path: Path) -> None:
    """And is done when it says so."""
    gateway = gateway_that("quarantine", tmp_path)
    async with running(gateway):
        await quarantine(gateway)
        one = await command(gateway, "purge", 2, 99, "--yes")
        left = [found["number"] for found in await letters(gateway)]
        rest = await command(gateway, "purge", "--all", "--yes", "--json")
        await gateway.kill()
    listed = await command(gateway, "list")

    assert (one.code, one.out, one.err) == (1, "1 message dropped\n", "error: there is no dead letter 99\n")
    assert left == [1, 3]
    assert rest.json == {"purged": 2, "unknown": []}
    assert (listed.code, listed.err) == (0, "there are no dead letters\n")


async def test_a_stopped_gateways_letters_are_dropped_when_a_person_is_sure(tmp_path: Path) -> None:
    """Nothing goes by a command that was not finished."""
    gateway = stopped_gateway(tmp_path, "t/1", "t/2", "u/3")
    unsure = await command(gateway, "purge", "--all")
    unsaid = await command(gateway, "purge")
    both = await command(gateway, "purge", "--all", "--topic", "t/1")
    one = await command(gateway, "purge", "--topic", "t/*", "--yes")
    left = await command(gateway, "list", "--json")

    assert (unsure.code, unsure.err.split("?")[0]) == (1, "Drop 3 messages for good")
    assert (unsaid.code, both.code) == (2, 2)
    assert "write --all" in unsaid.err
    assert one.out == "2 messages dropped\n"
    assert left.json["topic"] == "u/3"


async def test_a_device_over_the_rate_is_acknowledged_counted_and_not_kept(tmp_path: Path) -> None:
    """A broken device must not wear the flash; that is said where people look."""
    gateway = gateway_that("quarantine", tmp_path, rate="1/h")
    async with running(gateway):
        for topic in ("a", "a", "a", "b"):
            await publish_once(gateway.port, topic, b"x")
        status = (await gateway.status())["dead_letters"]
        shown = await fieldgate("status", config=gateway.config)

    assert (status["kept"], status["sampled_out"], status["sampled_out_by"]) == (2, 2, {"rate": 2})
    assert status["by"] == [
        {"profile": None, "reason": "unknown_device", "kept": 2, "sampled_out": 2, "evicted": 0},
    ]
    assert "sampled out 2" in shown.out


async def test_what_is_rejected_is_acknowledged_counted_and_gone(tmp_path: Path) -> None:
    """`unknown: reject`; but what was kept before is not thrown away by a replay."""
    gateway = stopped_gateway(tmp_path, "kept")
    gateway.settings["devices"]["unknown"] = "reject"
    async with running(gateway):
        await publish_once(gateway.port, "a", b"y")
        status = await gateway.status()
        shown = await fieldgate("status", config=gateway.config)
        replayed = await command(gateway, "replay", "--all")
        left = await letters(gateway)
    warned = await fieldgate("check", config=gateway.config)

    assert status["events_in"] == 0
    assert status["dead_letters"]["rejected"] == {"unknown_device": 1}
    assert "thrown away as configured: unknown device 1" in shown.out
    assert "1 refused again" in replayed.out
    assert [(one["number"], one["attempts"]) for one in left] == [(1, 1)]
    assert "unknown: 'reject' throws away what no profile matches" in warned.out + warned.err


async def test_a_wrong_question_is_answered_in_a_line(tmp_path: Path) -> None:
    """No traceback, no empty answer."""
    gateway = stopped_gateway(tmp_path, "t/1")
    stopped = await command(gateway, "list", "--since", "yesterday")
    huge = await command(gateway, "show", 1 << 62)
    async with running(gateway):
        since = await command(gateway, "list", "--since", "yesterday")
        other = await command(gateway, "list", "--since", "2020-01-01", "--reason", "undecodable")

    assert (since.code, stopped.code) == (1, 1)
    assert "yesterday" in since.err
    assert "yesterday" in stopped.err
    assert (huge.code, huge.err) == (1, f"error: there is no dead letter {1 << 62}\n")
    assert (other.code, other.err) == (0, "there are no such dead letters\n")
