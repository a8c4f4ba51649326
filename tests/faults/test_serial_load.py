"""Serial devices under load: corrupt bytes and re-plugs over thousands of frames, and kills while frames arrive."""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, eventually
from serial_gateway_kit import frame, gateway_on, is_read, lines_of, source, uplink, upstream_at
from serial_kit import PtyDevice

Figure = Callable[[str], None]

BACK_WITHIN_S = 3.0
LOST_AT_MOST_S = 3.0  # hold 0.2 s, commit delay 0.5 s at most, one fsync, and a machine with other work


def _told_at_s(line: str) -> float:
    return datetime.fromisoformat(re.findall(r"timestamp=(\S+)", line)[0]).timestamp()


def _spoilt(content: bytes, rng: random.Random) -> bytes:
    """The same with one byte of a hundred changed, and not only from one case to the other, which hex digits bear."""
    changes = [change for change in range(1, 256) if change != 0x20]
    return bytes(byte ^ rng.choice(changes) if rng.random() < 0.01 else byte for byte in content)


async def _back(gateway: Gateway, times: int, since_s: float) -> float:
    """How long it took until the port was open again; by the gateway's own log, so that this process may be slow."""
    await eventually("it is back", lambda: len(lines_of(gateway, "serial.connected")) > times)
    return _told_at_s(lines_of(gateway, "serial.connected")[times]) - since_s


async def _spoilt_and_unplugged(folder: Path, *, frames: int, replugs: int, figure: Figure) -> None:
    rng = random.Random(53)
    intact: list[int] = []
    backs_s: list[float] = []
    total = spoilt_bytes = 0
    each = frames // (replugs + 1) + 1
    async with Broker() as broker, upstream_at(broker) as upstream:
        with PtyDevice(folder / "scale") as device:
            async with gateway_on(folder, device, to=broker.port) as gateway:
                for first in range(0, frames, each):
                    said = bytearray()
                    for number in range(first, min(first + each, frames)):
                        sent = frame(number)
                        heard = _spoilt(sent, rng)
                        spoilt_bytes += sum(one != other for one, other in zip(sent, heard, strict=True))
                        said += heard
                        if heard == sent:
                            intact.append(number)
                    if first + each < frames:
                        said += b"\n" + frame(frames)[: rng.randrange(3, 30)]  # cut in the middle
                    await asyncio.to_thread(device.write, bytes(said))
                    total += len(said)
                    await is_read(gateway, total)
                    if first + each < frames:
                        device.unplug()
                        plugged = len(lines_of(gateway, "serial.connected"))
                        await eventually(
                            "the loss is seen", lambda plugged=plugged: len(lines_of(gateway, "serial.lost")) == plugged
                        )
                        device.plug()
                        backs_s.append(await _back(gateway, plugged, time.time()))
                await eventually("as many arrive", lambda: len(upstream.numbers("scale")) >= len(intact))
                await gateway.drained("up")
                status = await source(gateway)
    figure(
        f"{frames:,} frames, {spoilt_bytes:,} bytes spoilt, {len(intact):,} frames intact, {replugs} re-plugs, "
        f"back after {max(backs_s):.2f} s at most"
    )
    assert upstream.numbers("scale") == intact  # every one, once, in order, and no other
    assert upstream.same_id_other_data() == []
    assert status["frames"] == len(intact)
    assert status["reconnects"] == len(backs_s) == replugs
    assert status["dropped_frames"] == replugs
    assert max(backs_s) <= BACK_WITHIN_S


async def test_every_intact_frame_is_delivered_once_and_none_is_invented(tmp_path: Path, figure: Figure) -> None:
    """Must show, in short: a bad cable and a loose plug."""
    await _spoilt_and_unplugged(tmp_path, frames=1_000, replugs=3, figure=figure)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_ten_thousand_frames_over_twenty_replugs(tmp_path: Path, figure: Figure) -> None:
    """Must show, in full: 10,000 frames, 1 % of the bytes corrupt, 20 re-plugs."""
    await _spoilt_and_unplugged(tmp_path, frames=10_000, replugs=20, figure=figure)


async def _lost_by_a_kill(folder: Path, *, journal: dict[str, str], seconds_before: float) -> float:
    """How old the oldest frame was that a kill -9 cost, in seconds; 0 if it cost none."""
    said_at_s: list[float] = []
    stop = threading.Event()
    async with Broker() as broker, upstream_at(broker) as upstream:
        with PtyDevice(folder / "scale") as device:
            async with gateway_on(folder, device, to=9, journal=journal) as gateway:
                began_s = time.monotonic()

                def speak() -> None:
                    while not stop.wait(0.03):  # so slowly that no block fills before its time
                        device.write(frame(len(said_at_s)))
                        said_at_s.append(time.monotonic())

                speaking = threading.Thread(target=speak, name="device")
                speaking.start()
                try:
                    await eventually("it has said enough", lambda: time.monotonic() > began_s + seconds_before)
                    await gateway.kill()
                    killed_at_s = time.monotonic()
                finally:
                    stop.set()
                    speaking.join()
                gateway.settings["uplinks"]["up"] = uplink(broker.port)
                await gateway.start()
                device.write(frame(999_999))
                await eventually("the last one arrives", lambda: 999_999 in upstream.numbers("scale"))
                await gateway.drained("up")
        numbers = upstream.numbers("scale")
    assert len(numbers) == len(set(numbers))
    before = [number for number, at_s in enumerate(said_at_s) if at_s <= killed_at_s]
    assert len(before) > 20
    missing = sorted(set(before) - set(numbers))
    return killed_at_s - said_at_s[missing[0]] if missing else 0.0


async def test_a_kill_loses_at_most_what_the_loss_table_says(tmp_path: Path, figure: Figure) -> None:
    """P1 for what cannot be sent again: hold + commit delay + one fsync before the kill, all is on the disk."""
    lost_s = await _lost_by_a_kill(tmp_path, journal={}, seconds_before=LOST_AT_MOST_S + 1)

    figure(f"the oldest frame that a kill cost was {lost_s:.3f} s old")
    assert lost_s <= LOST_AT_MOST_S


async def test_a_kill_that_loses_more_is_found_out(tmp_path: Path) -> None:
    """The mutant: a commit that is put off for longer must fail the bound."""
    lost_s = await _lost_by_a_kill(
        tmp_path, journal={"hold": "10s", "commit_delay": "10s"}, seconds_before=LOST_AT_MOST_S + 1
    )

    assert lost_s > LOST_AT_MOST_S
