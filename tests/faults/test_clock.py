"""P6: nothing waits for the time, nothing breaks when it steps, and what was said is never said otherwise.

The gateway runs under libfaketime, which shifts its wall clock alone: a Pi without a battery boots in 1970.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from clock_kit import FakeTime, needs_faketime
from command_kit import fieldgate, log_lines
from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running

pytestmark = needs_faketime
DAY_S = 86_400


def uplink(port: int) -> dict[str, object]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "2s"}}


def at(envelope: dict[str, Any]) -> float:
    return datetime.fromisoformat(envelope["time"]).timestamp()


def of_device(upstream: Upstream, name: str) -> list[dict[str, Any]]:
    """Its events in the order in which they first arrived."""
    return list({one["id"]: one for one in upstream.events() if one["data"]["device_"] == name}.values())


def clock_events(upstream: Upstream) -> list[dict[str, Any]]:
    return [one for one in list(upstream.arrived) if one["type"] == "fieldgate.clock"]


def quality(gateway: Gateway, wanted: str) -> Callable[[], Any]:
    async def condition() -> bool:
        return bool((await gateway.status())["clock"] == wanted)

    return condition


async def publish(gateway: Gateway, name: str, total: int) -> Publisher:
    device = Publisher(gateway.port, name=name, total=total)
    device.start()
    await device.finished()
    device.close()
    return device


async def test_events_flow_before_the_time_is_known_and_one_event_tells_the_offset(tmp_path: Path) -> None:
    """Row 50: boot in 1970, network time comes later. Nothing is held back, nothing already sent is said otherwise."""
    fake = FakeTime(tmp_path, "@1970-01-01 00:01:00")
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        async with running(Gateway(tmp_path, uplinks={"up": uplink(broker.port)}, env=fake.env)) as gateway:
            await publish(gateway, "before", 20)
            await eventually("they are there at once", lambda: len(of_device(upstream, "before")) == 20)
            shown = await fieldgate("status", config=gateway.config)
            fake.set("+0")
            await eventually("the time is known", quality(gateway, "synced"))
            await publish(gateway, "after", 20)
            await eventually("these too", lambda: len(of_device(upstream, "after")) == 20)
            await eventually("the offset is told", lambda: clock_events(upstream))
            await gateway.stop()
            await gateway.start()
            await publish(gateway, "again", 1)
            await eventually("a restart is no new boot", lambda: of_device(upstream, "again"))
            status = await gateway.drained("up")
        upstream.close()

    before, after = of_device(upstream, "before"), of_device(upstream, "after")
    (told,) = clock_events(upstream)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert {one["timequality"] for one in before} == {"unsynced"}
    assert {one["osboot"] for one in before} == {boot_id}
    assert all(at(one) < DAY_S for one in before)
    assert not any("timequality" in one for one in after)
    assert told["data"]["osboot"] == boot_id
    said_s = int(before[0]["uptimems"]) / 1000 + told["data"]["offsetns"] / 1e9
    assert 0 < at(after[0]) - said_s < 30, "what was marked can be put right by whoever wants to"
    assert "clock not set: events are marked unsynced" in shown.out
    assert status["uplinks"]["up"]["unaccounted"] == 0
    assert sum(line["event"] == "clock.became_known" for line in log_lines(gateway.log_text())) == 1


@pytest.mark.parametrize("is_killed", [pytest.param(False, marks=pytest.mark.long), True])
async def test_what_was_stored_and_never_sent_is_corrected_and_what_was_sent_never_changes(
    tmp_path: Path, is_killed: bool
) -> None:
    """P6 and P2 together: the same id must bear the same envelope, also when it is sent again after a crash."""
    fake = FakeTime(tmp_path, "@1970-01-01 00:01:00")
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(tmp_path, uplinks={"up": uplink(link.port)}, env=fake.env, journal={"keep": {"age": "1h"}})
        async with running(gateway):
            sent = await publish(gateway, "sent", 20)
            await eventually("sent as it is known", lambda: len(of_device(upstream, "sent")) == 20)
            link.refuse()
            link.reset()
            await eventually("the uplink is down", lambda: _is_down(gateway))
            kept = await publish(gateway, "kept", 50)
            fake.set("+0")
            await eventually("the time is known", quality(gateway, "synced"))
            if is_killed:
                await eventually("it is on disk, and the time with it", lambda: _is_stored(gateway, 20 + 50 + 1))
                await gateway.kill()
                await gateway.start()
            after = await publish(gateway, "after", 20)
            link.restore()
            await gateway.drained("up")
            await eventually("all is there", lambda: not upstream.missing([sent, kept, after]))
            await eventually("the offset is told", lambda: clock_events(upstream))
            before = len(upstream.arrived)
            again = await fieldgate("journal", "replay", "--since", "1h", "--json", config=gateway.config)
            await eventually("all is there again", lambda: len(upstream.arrived) >= before + again.json["arrived"])

            oracle(upstream, [sent, kept, after])
        upstream.close()

    assert again.json["arrived"] >= 70

    now_s = time.time()
    assert {one["timequality"] for one in of_device(upstream, "sent")} == {"unsynced"}
    assert [one for one in of_device(upstream, "kept") if "timequality" in one] == []
    assert all(0 < now_s - at(one) < 60 for one in of_device(upstream, "kept"))
    times = [at(one) for one in (*of_device(upstream, "kept"), *of_device(upstream, "after"))]
    assert times == sorted(times)
    assert len({one["id"] for one in clock_events(upstream)}) == 1


async def _is_stored(gateway: Gateway, events: int) -> bool:
    return bool((await gateway.status())["journal"]["events"] >= events)


async def _is_down(gateway: Gateway) -> bool:
    return bool((await gateway.status())["uplinks"]["up"]["state"] != "connected")


async def _step_about(folder: Path, *, looks_at_limits: int) -> None:
    fake = FakeTime(folder, "+0")
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        link.refuse()
        uplinks = {"up": {**uplink(link.port), "max_age": "1h"}}
        devices = []
        async with running(Gateway(folder, uplinks=uplinks, env=fake.env)) as gateway:
            devices.append(await publish(gateway, "now", 10))
            fake.set("-3600")
            devices.append(await publish(gateway, "hour", 10))
            fake.set("@2015-01-01 00:00:00")
            await eventually("a time that cannot be is not believed", quality(gateway, "unsynced"))
            devices.append(await publish(gateway, "years", 10))
            fake.set("@2038-01-19 03:14:06")
            await eventually("it is known again", quality(gateway, "synced"))
            devices.append(await publish(gateway, "2038", 10))
            env = {**os.environ, **fake.env}
            listed = await fieldgate("journal", "tail", "-n", "100", config=gateway.config, env=env)
            await asyncio.sleep(5.2 * looks_at_limits)  # 23 years have gone by on the wall
            await gateway.stop()
            link.restore()
            await gateway.start()
            status = await gateway.drained("up")
            await eventually("all is there", lambda: not upstream.missing(devices))

            oracle(upstream, devices)
        upstream.close()

    assert len(listed.out.splitlines()) == 41
    assert status["uplinks"]["up"]["ledger"] == {}
    names = [one["data"]["device_"] for one in upstream.events()]
    assert list(dict.fromkeys(names)) == ["now", "hour", "years", "2038"], "in the order in which they came"
    assert {one["time"][:4] for one in of_device(upstream, "2038")} == {"2038"}
    assert not any("timequality" in one for one in of_device(upstream, "years")), "corrected, as never sent"
    assert {one["time"][:4] for one in of_device(upstream, "years")} == {"2038"}


async def test_a_clock_that_steps_and_years_that_do_not_fit_32_bits_break_nothing(tmp_path: Path) -> None:
    """Row 51: an hour back, ten years back, over January 2038. Order goes by number, not by the wall."""
    await _step_about(tmp_path, looks_at_limits=0)


@pytest.mark.long
async def test_a_clock_that_steps_makes_nothing_expire(tmp_path: Path) -> None:
    """Row 51: max_age is one hour, the wall clock goes 23 years ahead; retention goes by boot time."""
    await _step_about(tmp_path, looks_at_limits=2)


async def test_a_step_into_the_past_stops_no_timer(tmp_path: Path) -> None:
    """Row 51: keep-alive, hold, commit delay and back-off run by boot time; by the wall they would wait ten years."""
    fake = FakeTime(tmp_path, "+0")
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        async with running(Gateway(tmp_path, uplinks={"up": uplink(link.port)}, env=fake.env)) as gateway:
            await publish(gateway, "first", 10)
            fake.set("@2015-01-01 00:00:00")
            link.cut()
            held = await publish(gateway, "held", 10)
            await eventually("the silence is noticed", lambda: _is_down(gateway))
            link.restore()
            await gateway.drained("up")
            await eventually("they arrive", lambda: not upstream.missing([held]))
        upstream.close()

    assert upstream.same_id_other_data() == []


def test_a_correction_that_touches_what_was_sent_would_be_found(tmp_path: Path) -> None:
    """The mutant: two copies of one id with different times do not pass the oracle."""
    del tmp_path
    upstream = Upstream(0)
    first = {"id": "r-1", "type": "fieldgate.message", "time": "1970-01-01T00:01:00Z", "data": {"device_": "d", "n": 0}}
    upstream.arrived = [first, json.loads(json.dumps(first)) | {"time": "2026-01-01T00:00:00Z"}]

    with pytest.raises(AssertionError):
        oracle(upstream, [])
