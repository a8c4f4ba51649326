"""A serial source on real ptys: what it hears, when it pauses, what it says of itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
import serial
import serial.rfc2217
from structlog.testing import capture_logs

from fieldgate import clock
from fieldgate.ingest.serial_problems import SerialError
from fieldgate_devices.framing.framer import Frame
from gateway_kit import eventually
from listener_kit import HeldIntake, SettlingIntake, on_both_loops
from serial_kit import PtyDevice, reading

STATES = ("serial.connected", "serial.lost", "serial.waiting", "serial.not_understood")


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path / "by-id") as made:
        yield made


def told(logs: list[dict[str, object]]) -> list[object]:
    return [line["event"] for line in logs if line["event"] in STATES]


def nmea(text: bytes) -> bytes:
    """A sentence with its checksum."""
    return b"$%s*%02X\r\n" % (text, reduce(xor, text))


# -- reading ----------------------------------------------------------------------------------------------------------


@on_both_loops
async def test_what_a_device_says_comes_out_in_order(device: PtyDevice) -> None:
    """Whatever the chunks: the frames are those of the device."""
    intake = SettlingIntake()
    async with reading(intake, device.link) as source:
        for number in range(500):
            device.write(b"%d kg\r\n" % number)
        await eventually("all are there", lambda: len(intake.heard) == 500)

        assert intake.payloads == [b"%d kg" % number for number in range(500)]
        assert {one.topic for one in intake.heard} == {"serial/scale"}
        assert source.status.frames == 500
        assert source.status.unsettled_bytes == 0
        assert source.status.device == device.node


@on_both_loops
async def test_a_port_that_was_read_is_free_again_at_once(device: PtyDevice) -> None:
    """A stop takes a fraction of a second, and what was read before it is handed over."""
    intake = SettlingIntake()
    async with reading(intake, device.link) as source:
        await eventually("it is open", lambda: source.is_connected)
        device.write(b"1\n2\n3")
        await eventually("it was read", lambda: len(intake.heard) == 2)
        began_s = clock.boot_s()
        await source.stop_reading()
        took_s = clock.boot_s() - began_s

    assert took_s < 1.5
    assert source.status.dropped_bytes == 1  # half a line is no line
    with closing(serial.Serial(device.node, exclusive=True)):
        pass


async def test_damaged_frames_go_aside_with_their_raw_bytes(device: PtyDevice) -> None:
    """Row 56: what its check does not cover is no measurement."""
    intake = SettlingIntake()
    async with reading(intake, device.link, framing={"lines": {"check": "nmea"}}) as source:
        device.write(nmea(b"GPRMC,A") + nmea(b"GPRMC,A").replace(b"A*", b"B*") + nmea(b"GPRMC,C"))
        await eventually("all are there", lambda: len(intake.heard) + len(intake.bad) == 3)

        assert len(intake.heard) == 2
        (bad,) = intake.bad
        assert bad.message.payload.startswith(b"$GPRMC,B*")
        assert bad.code == "checksum"
        assert bad.detail
        assert source.status.bad_frames == {"checksum": 1}


class _Pauses:
    """A framer whose frames end when nothing came for a while."""

    skipped_bytes = 0

    def __init__(self) -> None:
        self.wakes_at_s: float | None = None
        self._held = b""

    def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
        self._held += chunk
        self.wakes_at_s = now_s + 0.1
        return []

    def tick(self, now_s: float) -> list[Frame]:
        assert self.wakes_at_s is not None
        assert now_s >= self.wakes_at_s
        self.wakes_at_s, held, self._held = None, self._held, b""
        return [Frame(held)]

    def reset(self) -> int:
        self.wakes_at_s, dropped, self._held = None, len(self._held), b""
        return dropped

    def encode(self, payload: bytes) -> bytes:
        raise ValueError("no frame holds it")


@on_both_loops
async def test_a_framer_is_told_that_nothing_came(device: PtyDevice) -> None:
    """Where a pause ends a frame, it ends when nothing follows, not when the next one begins."""
    intake = SettlingIntake()
    async with reading(intake, device.link, framer=_Pauses()) as source:
        device.write(b"one")
        await eventually("the first is there", lambda: intake.payloads == [b"one"])
        device.write(b"two")
        await eventually("it was read", lambda: source.status.bytes == 6)
        await source.stop_reading()  # the pause that ends it is waited for, being short

        assert intake.payloads == [b"one", b"two"]
        with pytest.raises(SerialError, match="scale: no frame holds it"):
            source.encode(b"x")


class _Times(_Pauses):
    """Remembers when each piece came."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s: list[float] = []

    def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
        self.at_s.append(now_s)
        return []


async def test_a_loop_that_is_busy_is_not_a_pause_of_the_device(device: PtyDevice) -> None:
    """What comes meanwhile has the time at which it came, not that at which the loop has time for it."""
    framer = _Times()
    async with reading(SettlingIntake(), device.link, framer=framer) as source:
        device.write(b"first")
        await eventually("it was read", lambda: source.status.bytes == 5)
        for _ in range(10):
            device.write(b"more")
            time.sleep(0.05)  # the loop stands still
        await eventually("all was read", lambda: source.status.bytes == 45)

    assert len(set(framer.at_s)) >= 5
    assert framer.at_s == sorted(framer.at_s)


async def test_much_without_a_frame_is_told_once(device: PtyDevice) -> None:
    """A wrong baud rate looks like noise; whoever set it up must be told where to look."""
    intake = SettlingIntake()
    with capture_logs() as logs:
        async with reading(intake, device.link, framing={"lines": {"check": "nmea"}}) as source:
            device.write(b"\xff\x80\n" * 1000)
            await eventually("it is told", lambda: "baud rate" in source.status.reason)
            device.write(b"\n" + nmea(b"GPRMC,A"))
            await eventually("all is well", lambda: source.status.reason == "")

    assert told(logs) == ["serial.connected", "serial.not_understood"]


# -- back-pressure ----------------------------------------------------------------------------------------------------


@on_both_loops
async def test_over_its_limit_a_port_is_not_read(device: PtyDevice) -> None:
    """The memory of a flood is bounded: what is not safe, a turn in each place, and the kernel's buffer."""
    intake = HeldIntake()
    flood = b"".join(b"%07d\n" % number for number in range(8_000))
    writer = threading.Thread(target=device.write, args=(flood,))
    async with reading(intake, device.link, max_unsettled="8KiB") as source:
        writer.start()
        await eventually("it pauses", lambda: source.status.is_paused)
        await eventually("nothing moves", _is_still(source))
        held = source.status
        assert held.unsettled_bytes <= 8 * 1024 + 2 * 4096 * (64 + 19) // 8
        assert held.bytes <= 12_000
        assert intake.stalls

        settled = 0
        while len(intake.heard) < 8_000:
            await eventually("more is there", lambda settled=settled: len(intake.batches) > settled)
            while settled < len(intake.batches):
                intake.settle(settled)
                settled += 1

        assert intake.payloads == [b"%07d" % number for number in range(8_000)]
        turns = [sum(len(one.payload) + 1 for one in received) for _, _, received in intake.batches]
        assert max(turns) <= 4096 + 8  # with the end of what the last turn began
        await eventually("nothing is unsettled", lambda: source.status.unsettled == 0)
    writer.join()


def _is_still(source: object):  # type: ignore[no-untyped-def]  # a condition for `eventually`
    async def condition() -> bool:
        before = source.status.bytes  # type: ignore[attr-defined]
        await asyncio.sleep(0.2)
        return bool(source.status.bytes == before)  # type: ignore[attr-defined]

    return condition


async def test_while_the_intake_is_closed_nothing_is_handed_over(device: PtyDevice) -> None:
    """Memory is full: what was read waits here, what comes waits in the port."""
    intake = SettlingIntake()
    intake.open = False
    async with reading(intake, device.link) as source:
        device.write(b"1\n2\n")
        await eventually("it pauses", lambda: source.status.is_paused)
        assert intake.heard == []

        intake.open = True
        device.write(b"3\n")
        await eventually("all are there", lambda: len(intake.heard) == 3)

        assert intake.payloads == [b"1", b"2", b"3"]
        assert not source.status.is_paused


async def test_what_cannot_be_handed_over_at_the_stop_is_counted(device: PtyDevice) -> None:
    """A serial device sends nothing again: what is lost is said."""
    intake = SettlingIntake()
    intake.open = False
    async with reading(intake, device.link) as source:
        device.write(b"1\n2\n")
        await eventually("it pauses", lambda: source.status.is_paused)
        await source.stop_reading()

        assert source.status.unsaved == 2
