"""Rows 53 to 58: serial devices that are pulled out, make noise, break their frames, flood; gateways as they run."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import random
import threading
from pathlib import Path

import psutil
import pytest

from command_kit import fieldgate
from fieldgate.control import socket_path, stream
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Publisher, eventually, oracle
from listener_kit import SettlingIntake
from serial_gateway_kit import CHECKED, frame, gateway_on, is_read, lines_of, source, uplink, upstream_at
from serial_kit import PtyDevice, reading

# -- row 53 -----------------------------------------------------------------------------------------------------------


async def test_an_adapter_that_comes_back_under_another_name_costs_its_half_frame_only(tmp_path: Path) -> None:
    """Row 53: the partial frame is dropped and counted, the port opened again by its link, others never notice."""
    scale, meter = PtyDevice(tmp_path / "scale"), PtyDevice(tmp_path / "meter")
    async with Broker() as broker, upstream_at(broker) as upstream:
        with scale, meter:
            async with gateway_on(tmp_path, scale, meter, to=broker.port) as gateway:
                half = frame(3)[:12]
                sent = frame(1) + frame(2) + half
                scale.write(sent)
                meter.write(frame(1, "meter"))
                await is_read(gateway, len(sent))
                before = scale.node
                scale.unplug()
                await eventually("the loss is told", lambda: lines_of(gateway, "serial.lost"))
                meter.write(frame(2, "meter"))
                scale.plug()
                scale.write(frame(4))
                await eventually("it is back", lambda: upstream.numbers("scale") == [1, 2, 4])

                assert scale.node != before
                assert upstream.numbers("meter") == [1, 2]
                status = await source(gateway)
                assert (status["dropped_frames"], status["dropped_bytes"]) == (
                    1,
                    len(half) - 1,
                )  # an empty line is none
                assert (status["reconnects"], status["device"]) == (1, scale.node)
                assert (await source(gateway, "meter"))["reconnects"] == 0
                assert len(lines_of(gateway, "serial.connected")) == 3
                assert len(lines_of(gateway, "serial.lost")) == 1
                assert not lines_of(gateway, "serial.waiting")


# -- row 54 -----------------------------------------------------------------------------------------------------------


async def test_noise_without_an_end_costs_no_memory_and_hides_no_frame_behind_it(tmp_path: Path) -> None:
    """Row 54: a cable that hangs in the air, a wrong baud rate: 2 MB of it, and then a device."""
    rng = random.Random(54)
    async with Broker() as broker, upstream_at(broker) as upstream:
        with PtyDevice(tmp_path / "scale") as device:
            async with gateway_on(tmp_path, device, to=broker.port) as gateway:
                noise = b"\xff" * 500_000 + rng.randbytes(1_000_000) + b"\0" * 500_000
                await asyncio.to_thread(device.write, b"\xff" * 10_000)
                assert gateway.process is not None
                before = psutil.Process(gateway.process.pid).memory_info().rss
                await asyncio.to_thread(device.write, noise)
                await asyncio.to_thread(device.write, frame(1))
                await eventually("the frame behind it arrives", lambda: upstream.numbers("scale"))

                grown = psutil.Process(gateway.process.pid).memory_info().rss - before
                status = await source(gateway)
                bad = sum(status["bad_frames"].values())

                async def are_all_accounted_for() -> bool:
                    letters = (await gateway.status())["dead_letters"]
                    return bool(letters["kept"] + letters["sampled_out"] == bad)

                await eventually("each bad frame is on disk, or counted", are_all_accounted_for)
    assert upstream.numbers("scale") == [1]
    assert status["frames"] == 1
    assert bad > 100
    assert grown < 30_000_000


# -- row 55 -----------------------------------------------------------------------------------------------------------


def _chunked(content: bytes, how: str) -> list[bytes]:
    if how == "bytes":
        return [content[at : at + 1] for at in range(len(content))]
    if how == "bursts":
        return [content[at : at + 4096] for at in range(0, len(content), 4096)]
    rng = random.Random(how)
    cuts = sorted(rng.sample(range(1, len(content)), 60))
    return [content[first:last] for first, last in zip([0, *cuts], [*cuts, len(content)], strict=True)]


@pytest.mark.parametrize("how", ["bytes", "bursts", "seed 1", "seed 2", "seed 3"])
async def test_whatever_the_chunks_the_frames_are_the_same(tmp_path: Path, how: str) -> None:
    """Row 55: an adapter delivers when it likes, and so does the kernel."""
    count = 40 if how != "bursts" else 4_000
    intake = SettlingIntake()
    with PtyDevice(tmp_path / "port") as device:
        async with reading(intake, device.link, framing=CHECKED):
            for chunk in _chunked(b"".join(frame(number) for number in range(count)), how):
                await asyncio.to_thread(device.write, chunk)
            await eventually("all are there", lambda: len(intake.heard) == count)

    assert [json.loads(payload)["n"] for payload in intake.payloads] == list(range(count))
    assert intake.bad == []


# -- row 56 -----------------------------------------------------------------------------------------------------------


async def test_a_frame_with_a_wrong_checksum_is_kept_raw_and_never_an_event(tmp_path: Path) -> None:
    """Row 56: counted, kept with each byte for a person to look at, and no replay makes a measurement of it."""
    bad = frame(2).replace(b'"n": 2', b'"n": 3')
    async with Broker() as broker, upstream_at(broker) as upstream:
        with PtyDevice(tmp_path / "scale") as device:
            async with gateway_on(tmp_path, device, to=broker.port) as gateway:
                device.write(frame(1) + bad + frame(4))
                await eventually("the others arrive", lambda: upstream.numbers("scale") == [1, 4])
                where = socket_path(gateway.state)
                await eventually("it is kept", lambda: _kept(gateway))
                (letter,) = [one async for one in stream(where, {"do": "dead-letters.list"})]
                listed = await fieldgate("dead-letters", "list", config=gateway.config)
                shown = await fieldgate("dead-letters", "show", 1, "--raw", config=gateway.config)
                replayed = await fieldgate("dead-letters", "replay", "--all", config=gateway.config)
                still = [one async for one in stream(where, {"do": "dead-letters.list"})]
                status = await fieldgate("status", config=gateway.config)
                device.write(frame(5))
                await eventually("the next one arrives", lambda: upstream.numbers("scale") == [1, 4, 5])

    assert (letter["reason"], letter["topic"], letter["source"]) == ("checksum", "serial/scale", "scale")
    assert (letter["damaged"], letter["profile"], letter["version"]) == (True, None, None)
    assert letter["detail"]
    assert "checksum" in listed.out
    assert bad.strip().decode() in shown.out
    assert "1 message sent through again: 1 refused again:" in replayed.out
    assert "bad frames stay what they are: only their device can send them again" in replayed.out
    assert [(one["reason"], one["detail"], one["attempts"]) for one in still] == [("checksum", letter["detail"], 1)]
    assert "bad frames: checksum 1" in status.out
    assert upstream.numbers("scale") == [1, 4, 5]


async def _kept(gateway: Gateway) -> bool:
    return bool((await gateway.status())["dead_letters"]["kept"])


# -- row 57 -----------------------------------------------------------------------------------------------------------


async def test_a_busy_port_is_said_once_and_read_when_it_is_free(tmp_path: Path) -> None:
    """Row 57: somebody left a terminal program open; the gateway starts, says so, and goes on when it can."""
    async with Broker() as broker, upstream_at(broker) as upstream:
        with PtyDevice(tmp_path / "scale") as device:
            held = os.open(device.node, os.O_RDWR | os.O_NOCTTY)
            fcntl.flock(held, fcntl.LOCK_EX)
            try:
                async with gateway_on(tmp_path, device, to=broker.port) as gateway:
                    await eventually("it says so", lambda: lines_of(gateway, "serial.waiting"))
                    busy = await source(gateway)
                    fcntl.flock(held, fcntl.LOCK_UN)
                    device.write(frame(1))
                    await eventually("it is read", lambda: upstream.numbers("scale") == [1])

                    assert busy["state"] == "backoff"
                    assert f"is busy: process {os.getpid()} (" in busy["reason"]
                    assert len(lines_of(gateway, "serial.waiting")) == 1
            finally:
                os.close(held)


async def test_a_wrong_baud_rate_is_said_once(tmp_path: Path) -> None:
    """Row 57: it looks like noise, whatever its rate; one line says where to look."""
    rng = random.Random(57)
    async with Broker() as broker:
        with PtyDevice(tmp_path / "scale") as device:
            async with gateway_on(tmp_path, device, to=broker.port) as gateway:
                for _ in range(20):
                    await asyncio.to_thread(device.write, rng.randbytes(2_000) + b"\n")
                await is_read(gateway, 40_020)

                status = await fieldgate("status", config=gateway.config)
                assert "are baud rate, parity and framing right?" in status.out
                assert len(lines_of(gateway, "serial.not_understood")) == 1


# -- row 58 -----------------------------------------------------------------------------------------------------------


async def test_a_port_that_floods_holds_up_no_mqtt_device(tmp_path: Path) -> None:
    """Row 58: as fast as a pty goes, far above 1 Mbit/s; both get on, and memory stays where it is."""
    async with Broker() as broker, upstream_at(broker) as upstream:
        with PtyDevice(tmp_path / "scale") as device:
            async with gateway_on(tmp_path, device, to=broker.port) as gateway:
                stop = threading.Event()

                def flood() -> None:
                    number = 0
                    with contextlib.suppress(OSError, TimeoutError, AssertionError):
                        while not stop.is_set():
                            device.write(b"".join(frame(number + more) for more in range(50)))
                            number += 50

                flooding = threading.Thread(target=flood, name="flood")
                publisher = Publisher(gateway.port, name="d", total=200)
                flooding.start()
                try:
                    await is_read(gateway, 150_000)
                    assert gateway.process is not None
                    process = psutil.Process(gateway.process.pid)
                    before, began = process.memory_info().rss, (await source(gateway))["bytes"]
                    publisher.start()
                    await publisher.finished()
                    meanwhile = (await source(gateway))["bytes"] - began
                    grown = process.memory_info().rss - before
                finally:
                    stop.set()
                    flooding.join()
                    publisher.close()
                status = await source(gateway)
                await eventually("all of the device arrive", lambda: not upstream.missing([publisher]))

    oracle(upstream, [publisher])
    assert meanwhile > 0  # the port was read, too
    assert status["unsettled_bytes"] <= 256 * 1024 + 64 * 1024
    assert grown < 60_000_000


# -- P1 ---------------------------------------------------------------------------------------------------------------


async def _all_is_safe(gateway: Gateway, frames: int) -> bool:
    status = await gateway.status_or_none()
    scale = status["sources"]["scale"] if status is not None else None
    return scale is not None and scale["frames"] >= frames and not scale["unsettled"]


async def _killed_when_safe(folder: Path, *, env: dict[str, str]) -> list[int]:
    """50 frames with nobody upstream, and a kill when the source says that they are safe; what arrives after it."""
    async with Broker() as broker, upstream_at(broker) as upstream:
        with PtyDevice(folder / "scale") as device:
            async with gateway_on(folder, device, to=9, env=env) as gateway:
                assert gateway.process is not None
                ended = asyncio.ensure_future(gateway.process.wait())
                for number in range(50):
                    device.write(frame(number))

                async def is_over() -> bool:
                    return ended.done() or await _all_is_safe(gateway, 50)

                await eventually("all is safe, they say", is_over)
                await gateway.kill()
                await ended
                gateway.env = {}
                gateway.settings["uplinks"]["up"] = uplink(broker.port)
                await gateway.start()
                await gateway.drained("up")
                device.write(frame(99))
                await eventually("the last one arrives", lambda: 99 in upstream.numbers("scale"))
        return upstream.numbers("scale")


async def test_what_a_source_calls_safe_outlives_a_kill(tmp_path: Path) -> None:
    """P1: a serial device cannot be told, but a person is: `unsettled` 0 means on the disk."""
    assert await _killed_when_safe(tmp_path, env={}) == [*range(50), 99]


async def test_calling_it_safe_before_the_commit_is_found_out(tmp_path: Path) -> None:
    """The mutant: if this passes, the test above proves nothing."""
    env = {"FIELDGATE_MUTANT": "ack-before-commit", "FIELDGATE_CRASH_AT": "before-commit:1"}

    assert await _killed_when_safe(tmp_path, env=env) != [*range(50), 99]


async def test_a_stop_writes_what_was_read(tmp_path: Path) -> None:
    """P1: SIGTERM right behind the reading, with nobody upstream; all of it is delivered by the next process, once."""
    async with Broker() as broker, upstream_at(broker) as upstream:
        with PtyDevice(tmp_path / "scale") as device:
            async with gateway_on(tmp_path, device, to=9, durability="relay") as gateway:
                sent = b"".join(frame(number) for number in range(100)) + frame(100)[:10]
                device.write(sent)
                await is_read(gateway, len(sent))
                assert await gateway.stop() == 0
                gateway.settings["uplinks"]["up"] = uplink(broker.port)
                await gateway.start()
                await eventually("all are there", lambda: len(upstream.numbers("scale")) >= 100)
                await gateway.drained("up")

    assert upstream.numbers("scale") == list(range(100))
    assert upstream.same_id_other_data() == []
