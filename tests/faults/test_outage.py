"""The uplink is away: the journal keeps everything, drains by itself, and accounts for each event (P2 to P4)."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from uplink_kit import ScriptedBroker
from way_kit import quiet_loop, server_context


def uplink(port: int, **more: object) -> dict[str, object]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "2s", "puback_timeout": "2s"}, **more}


def balance(status: dict[str, object], name: str) -> int:
    uplinks = status["uplinks"]
    assert isinstance(uplinks, dict)
    return int(uplinks[name]["unaccounted"])


async def _outage(folder: Path, *, total: int, drain: str = "strict") -> None:
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(folder, uplinks={"up": uplink(link.port, drain=drain)})
        link.refuse()
        await gateway.start()
        devices = [Publisher(gateway.port, name=f"d{number}", total=total // 4, window=200) for number in range(4)]
        try:
            for device in devices:
                device.start()
            for device in devices:
                await device.finished(within_s=120)
            stored = (await gateway.status())["journal"]["events"]
            await gateway.kill()
            await gateway.start()
            link.restore()
            status = await gateway.drained("up", within_s=120)
            await eventually("everything is there", lambda: not upstream.missing(devices), within_s=60)

            assert stored == total
            oracle(upstream, devices)
            assert balance(status, "up") == 0
            assert status["journal"]["bytes"] < total * 400
        finally:
            for device in devices:
                device.close()
            upstream.close()
            await gateway.kill()


async def test_an_outage_with_a_kill_in_it_loses_nothing(tmp_path: Path) -> None:
    """Short form of the offline row: published while away, killed, started, drained by itself (nanomq#2423)."""
    await _outage(tmp_path, total=2_000)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_an_outage_of_100_000_events_with_a_kill_in_it_loses_nothing(tmp_path: Path) -> None:
    """The offline row in full."""
    await _outage(tmp_path, total=100_000)


async def test_a_black_hole_is_noticed_and_nothing_is_lost(tmp_path: Path) -> None:
    """Row 33: the cable is cut somewhere far away; TCP says nothing."""
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        async with running(Gateway(tmp_path, uplinks={"up": uplink(link.port)})) as gateway:
            device = Publisher(gateway.port, window=20, total=600)
            device.start()
            await eventually("events flow", lambda: len(upstream.arrived) > 50)
            link.cut()
            at_cut = len(device.acked)
            await eventually("devices are acknowledged all the same", lambda: len(device.acked) > at_cut + 100)
            await eventually("the uplink is known to be down", _is_down(gateway))
            link.restore()
            await device.finished()
            status = await gateway.drained("up")
            await eventually("everything is there", lambda: not upstream.missing([device]))

            oracle(upstream, [device])
            assert balance(status, "up") == 0
        device.close()
        upstream.close()


def _is_down(gateway: Gateway):  # type: ignore[no-untyped-def]  # a condition for `eventually`
    async def condition() -> bool:
        status = await gateway.status()
        return bool(status["uplinks"]["up"]["state"] != "connected")

    return condition


async def test_a_certificate_that_is_not_trusted_stops_the_uplink_and_not_the_devices(tmp_path: Path) -> None:
    """Row 47: nothing is sent to whoever that is, everything is kept, and the status says what to mend."""
    trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")
    quiet_loop()
    async with ScriptedBroker().serving(server_context(trustme.CA(), "127.0.0.1")) as broker:
        url = f"mqtts://127.0.0.1:{broker.port}"
        async with running(Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": url}}})) as gateway:
            device = Publisher(gateway.port, total=300)
            device.start()
            await device.finished()
            await eventually("it is refused", lambda: _is_refused(gateway))
            status = await gateway.status()
            device.close()

        assert status["journal"]["events"] == 300
        assert "signed by an authority that is not known here" in status["uplinks"]["up"]["reason"]
        assert broker.peers == []


async def _is_refused(gateway: Gateway) -> bool:
    return bool((await gateway.status())["uplinks"]["up"]["state"] == "refused")


async def test_a_dead_second_uplink_takes_nothing_from_the_healthy_one(tmp_path: Path) -> None:
    """An uplink that is dead for a month loses its own backlog, never another's events."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        uplinks = {
            "good": uplink(broker.port),
            "dead": uplink(9, required=False, max_size="64KiB"),
        }
        async with running(Gateway(tmp_path, uplinks=uplinks)) as gateway:
            device = Publisher(gateway.port, window=200, total=8_000)
            device.start()
            await device.finished(within_s=60)
            await gateway.drained("good")
            await eventually("everything is there", lambda: not upstream.missing([device]))
            await eventually("the dead one gives up its oldest", _has_evicted(gateway))
            status = await gateway.status()

            oracle(upstream, [device])
            assert balance(status, "good") == 0
            assert balance(status, "dead") == 0
            assert status["uplinks"]["good"]["delivered"] == 8_000
            assert status["uplinks"]["dead"]["ledger"]["evicted"] > 0
            device.close()
        upstream.close()


async def _time_upstream(folder: Path, *, with_dead: bool) -> float:
    """Return how long 2,500 events take to be upstream."""
    folder.mkdir()
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        uplinks = {"good": uplink(broker.port)} | ({"dead": uplink(9, max_size="64KiB")} if with_dead else {})
        async with running(Gateway(folder, uplinks=uplinks)) as gateway:
            device = Publisher(gateway.port, window=200, total=2_500)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            device.start()
            await eventually("all is upstream", lambda: len(upstream.arrived) >= 2_500, within_s=40)
            took_s = loop.time() - began_s
            device.close()
        upstream.close()
    return took_s


async def test_a_dead_second_uplink_does_not_slow_the_healthy_one(tmp_path: Path) -> None:
    """Ingest stalled by a dead uplink (thingsboard-gateway#2132); sending never waits for a commit."""
    for number in range(5):  # what else this machine does may slow either of them, a dead uplink slows each time
        alone_s = await _time_upstream(tmp_path / f"alone{number}", with_dead=False)
        beside_s = await _time_upstream(tmp_path / f"beside{number}", with_dead=True)
        if beside_s < 2 * alone_s + 0.5:
            return

    raise AssertionError(f"2,500 events take {beside_s:.1f} s beside a dead uplink and {alone_s:.1f} s without")


def _has_evicted(gateway: Gateway):  # type: ignore[no-untyped-def]  # a condition for `eventually`
    async def condition() -> bool:
        status = await gateway.status()
        return bool(status["uplinks"]["dead"]["ledger"].get("evicted"))

    return condition


async def test_a_full_journal_drops_the_oldest_and_says_so_upstream(tmp_path: Path) -> None:
    """P4: the buffer is bounded, each loss is counted, and a gap event tells the far side."""
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        link.refuse()
        gateway = Gateway(tmp_path, uplinks={"up": uplink(link.port)}, journal={"max_size": "8MiB"})
        async with running(gateway):
            devices = [
                Publisher(gateway.port, name=f"d{number}", window=200, total=4_000, noise_bytes=700)
                for number in range(4)
            ]
            for device in devices:
                device.start()
            for device in devices:
                await device.finished(within_s=60)
            size = sum(file.stat().st_size for file in gateway.state.iterdir() if file.is_file())
            link.restore()
            status = await gateway.drained("up", within_s=60)
            lost = status["uplinks"]["up"]["ledger"].get("evicted", 0)
            await eventually("the gap is told", lambda: _told(upstream) == lost)
            await eventually("the rest is there", lambda: len(_ids(upstream)) == 16_000 - lost)

            assert 0 < lost < 16_000
            assert size <= 9 << 20
            assert balance(status, "up") == 0
            for device in devices:
                device.close()
        upstream.close()


def _ids(upstream: Upstream) -> set[str]:
    return {one["id"] for one in upstream.events()}


def _told(upstream: Upstream) -> int:
    return sum(one["data"]["count"] for one in list(upstream.arrived) if one["type"] == "fieldgate.gap")


async def test_live_first_does_not_hold_new_events_behind_the_backlog(tmp_path: Path) -> None:
    """iotedge#2486: after an outage an operator wants to see now, not two hours ago."""
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        link.refuse()
        uplinks = {"up": uplink(link.port, drain="live_first", rate="400/s")}
        async with running(Gateway(tmp_path, uplinks=uplinks)) as gateway:
            old = Publisher(gateway.port, name="old", window=200, total=1_500)
            old.start()
            await old.finished()
            link.restore()
            await eventually("the drain begins", lambda: len(upstream.arrived) > 10)
            new = Publisher(gateway.port, name="new", total=20)
            new.start()
            await eventually("the new ones are there", lambda: set(upstream.numbers("new")) == set(range(20)))
            at_that_time = len(set(upstream.numbers("old")))
            await gateway.drained("up")
            await eventually("the old ones too", lambda: not upstream.missing([old, new]))

            assert at_that_time < 1_200
            oracle(upstream, [old, new], ordered=False)
            assert all(one.get("drained") is True for one in upstream.events() if one["data"]["device_"] == "old")
            old.close()
            new.close()
        upstream.close()


async def test_events_are_kept_until_the_first_uplink_gets_them(tmp_path: Path) -> None:
    """A gateway is installed before anybody knows where its events shall go."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(tmp_path, uplinks={})
        async with running(gateway):
            device = Publisher(gateway.port, total=300)
            device.start()
            await device.finished()
            await gateway.stop()
            gateway.settings["uplinks"] = {"first": uplink(broker.port)}
            await gateway.start()
            status = await gateway.drained("first")
            await eventually("everything is there", lambda: not upstream.missing([device]))

            oracle(upstream, [device])
            assert balance(status, "first") == 0
            assert "no_uplink" in gateway.log_text()
            device.close()
        upstream.close()


async def test_kept_events_can_be_replayed_under_their_old_ids(tmp_path: Path) -> None:
    """The log is also the history: a consumer that lost its data gets it again, and can tell that it is the same."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(tmp_path, uplinks={"up": uplink(broker.port)}, journal={"keep": {"age": "1h"}})
        async with running(gateway):
            device = Publisher(gateway.port, total=300)
            device.start()
            await device.finished()
            await gateway.drained("up")

            async def is_kept() -> bool:
                return bool((await gateway.status())["journal"]["events"] == 300)

            await eventually("the history is written", is_kept)
            command = ["-m", "fieldgate", "journal", "replay", "--since", "1h", "--json", "-c", str(gateway.config)]
            process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
            out, _ = await asyncio.wait_for(process.communicate(), 30)
            await eventually("they come again", lambda: len(upstream.numbers("d")) == 600)
            status = await gateway.drained("up")

            assert json.loads(out)["arrived"] == 300
            assert process.returncode == 0
            assert upstream.same_id_other_data() == []
            assert balance(status, "up") == 0
            assert status["uplinks"]["up"]["replayed"] == 300
            device.close()
        upstream.close()
