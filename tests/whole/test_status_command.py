"""``fieldgate status``: whatever state the gateway is in, a person and a program learn it."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from command_kit import fieldgate
from fieldgate.cli.words import age, count, size, uptime
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import Connect
from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, running


def uplink(port: int, **more: object) -> dict[str, object]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "20s"}, **more}


async def test_without_a_gateway_it_ends_with_1_and_says_so(tmp_path: Path) -> None:
    """Scripts and people ask 'is it running?' with it."""
    env = {"HOME": str(tmp_path), "STATE_DIRECTORY": str(tmp_path / "none")}

    shown = await fieldgate("status", env=env, cwd=tmp_path)
    as_json = await fieldgate("status", "--json", env=env, cwd=tmp_path)

    assert shown.code == as_json.code == 1
    assert shown.err == (
        f"error: no gateway is running here: nothing answers on {tmp_path}/none/control.sock; "
        "no configuration file was found here: name one with -c FILE\n"
    )
    assert '"error": "no gateway is running here' in as_json.out


async def test_it_answers_while_the_uplink_is_down_and_while_a_drain_runs(tmp_path: Path) -> None:
    """That is when somebody looks; the backlog, its age and the reason are what they look for."""
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        link.refuse()
        async with running(Gateway(tmp_path, uplinks={"up": uplink(link.port, rate="800/s")})) as gateway:
            device = Publisher(gateway.port, total=1_500, window=200)
            device.start()
            await device.finished()
            await eventually("it was refused", lambda: _has_reason(gateway))
            down = await fieldgate("status", config=gateway.config)
            of_down = (await gateway.status())["uplinks"]["up"]
            link.restore()
            await eventually("the drain runs", lambda: len(upstream.arrived) > 50)
            link.stall()  # it must not be over before the command has asked
            of_drain = (await fieldgate("status", "--json", config=gateway.config)).json["uplinks"]["up"]
            link.restore()
            await gateway.drained("up")
            up = await fieldgate("status", config=gateway.config)
            device.close()
        upstream.close()

    assert "NOT CONNECTED" in down.out
    assert " refuses connections: nothing listens there" in down.out
    assert "1,500 pending, the oldest for " in down.out
    assert of_down["pending"] == of_down["routed"] == 1_500
    assert 0 < of_drain["pending"] < 1_500
    assert of_drain["oldest_s"] > 0
    assert of_drain["unaccounted"] == of_down["unaccounted"] == 0
    assert "connected by MQTT 5 " in up.out
    assert "0 pending   0 in flight   1,500 delivered" in up.out
    assert "UNACCOUNTED" not in up.out + down.out


async def _has_reason(gateway: Gateway) -> bool:
    return bool((await gateway.status())["uplinks"]["up"]["reason"])


async def test_every_part_of_the_gateway_is_there(tmp_path: Path) -> None:
    """What was refused, how connections ended, what was lost, the clock, the journal: nothing needs a debugger."""
    uplinks = {"up": uplink(9, max_age="1h", required=False)}
    async with running(Gateway(tmp_path, uplinks=uplinks, listen={"max_clients": 1})) as gateway:
        device = Publisher(gateway.port, total=20)
        device.start()
        await device.finished()
        await _knock(gateway.port)
        status = await gateway.status()
        shown = await fieldgate("status", config=gateway.config)
        mode = stat.S_IMODE((gateway.state / "control.sock").stat().st_mode)
        device.close()
        await eventually("it is told how the connection ended", lambda: _ended(gateway))

    assert status["clock"] == "synced"
    assert status["listeners"][0]["refused"]["max_clients"] >= 1
    assert "turned away: max clients " in shown.out
    assert "clock set" in shown.out
    assert "1 client " in shown.out
    assert "not required" in shown.out
    assert f"{gateway.state}   20 events" in shown.out
    assert "relay   epoch 1" in shown.out
    assert status["journal"]["full"] == ""
    assert status["local_delivery"] == {
        "delivered": 0,
        "dropped": {},
        "refused": {},
        "subscriptions": 0,
        "sessions": 1,
        "sessions_away": 0,
        "sessions_ended": {},
        "queued_bytes": 0,
        "retained": 0,
        "retained_bytes": 0,
        "stored": {"is_behind": False, "commits": 0, "problem": ""},
    }
    assert mode == 0o600


async def _knock(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(encode(Connect("one-too-many", 4), 4))
    await reader.read()
    writer.close()


async def _ended(gateway: Gateway) -> bool:
    ended = (await gateway.status())["listeners"][0]["ended"]
    return bool(ended.get("disconnected") or ended.get("client_disconnected") or sum(ended.values()) >= 2)


async def test_what_expired_is_told_in_words_and_upstream(tmp_path: Path) -> None:
    """P4 and max_age: every event that an uplink never gets is counted, and a gap event tells the far side."""
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        link.refuse()
        async with running(Gateway(tmp_path, uplinks={"up": uplink(link.port, max_age="1s")})) as gateway:
            device = Publisher(gateway.port, total=30)
            device.start()
            await device.finished()
            status = await eventually("they expire", lambda: _expired(gateway))
            shown = await fieldgate("status", config=gateway.config)
            lost = await fieldgate("journal", "stats", config=gateway.config)
            link.restore()
            gap = (await eventually("the far side is told", lambda: upstream.arrived))[0]
            device.close()
        upstream.close()

    assert status["uplinks"]["up"]["unaccounted"] == 0
    assert "0 pending   " in shown.out
    assert "LOST: expired 30" in shown.out
    assert "lost    30 events for up: expired (normal 1 … 30, 20" in lost.out
    assert gap["type"] == "fieldgate.gap"
    assert gap["data"]["count"] == 30


async def _expired(gateway: Gateway) -> dict[str, object] | None:
    status = await gateway.status()
    return status if status["uplinks"]["up"]["ledger"].get("expired") == 30 else None


async def test_a_state_folder_with_a_long_name_can_be_asked(tmp_path: Path) -> None:
    """A socket's address holds 107 bytes, a path thousands."""
    gateway = Gateway(tmp_path, uplinks={})
    gateway.state = tmp_path / ("x" * 120)
    gateway.settings["journal"]["path"] = str(gateway.state)

    async with running(gateway):
        shown = await fieldgate("status", "--json", config=gateway.config)

    assert shown.json["gateway"] == "g"


async def test_a_second_gateway_does_not_take_the_socket_of_the_first(tmp_path: Path) -> None:
    """Row 12: it ends at the journal's lock, and whoever asks still gets the first one."""
    async with running(Gateway(tmp_path, uplinks={})) as gateway:
        second = await fieldgate("run", config=gateway.config)
        status = await gateway.status()
        await gateway.kill()
        left = await fieldgate("status", config=gateway.config)
        await gateway.start()
        again = await gateway.status()

    assert second.code == 78
    assert "in use by process" in second.err
    assert left.code == 1
    assert status["pid"] != again["pid"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (size(999), "999 B"), (size(1_500), "1.5 kB"), (size(2_000_000_000), "2.0 GB"), (size(5e15), "5000.0 TB"),
        (age(0.42), "0.4 s"), (age(90), "90 s"), (age(119), "119 s"), (age(120), "2 min"), (age(7300), "2 h"),
        (age(1e6), "11 d"), (uptime(3723), "01:02:03"), (uptime(90061), "1d 01:01:01"),
        (count(1, "event"), "1 event"), (count(1200, "event"), "1,200 events"), (count(0, "block"), "0 blocks"),
    ],
)  # fmt: skip
def test_numbers_read_as_people_read_them(written: str, meant: str) -> None:
    """A table of examples is the specification."""
    assert written == meant
