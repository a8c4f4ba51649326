"""What is written to a serial port: in order, in time, never for later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldgate.ingest.serial_problems import SerialDown, SerialError
from gateway_kit import eventually
from listener_kit import SettlingIntake, on_both_loops
from serial_kit import PtyDevice, reading


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path / "by-id") as made:
        yield made


@on_both_loops
async def test_what_is_written_goes_out_in_order(device: PtyDevice) -> None:
    """Commands, init and poll texts share one way."""
    heard = bytearray()
    async with reading(SettlingIntake(), device.link, init=["I1\\r", {"hex": "0203"}]) as source:
        await eventually("it is open", lambda: source.is_connected)
        async with asyncio.TaskGroup() as tasks:
            for number in range(50):
                tasks.create_task(source.write(b"<%d>" % number))
        while len(heard) < 5 + sum(len(b"<%d>" % number) for number in range(50)):
            heard += await asyncio.to_thread(device.heard)

        assert bytes(heard) == b"I1\r\x02\x03" + b"".join(b"<%d>" % number for number in range(50))
        assert source.status.written_bytes == len(heard)


async def test_a_question_is_asked_again_and_again(device: PtyDevice) -> None:
    """Many devices only answer; after each opening it begins anew with what is sent first."""
    heard = bytearray()

    def hear(what: bytes) -> bool:
        heard.extend(device.heard())
        return what in heard

    async with reading(SettlingIntake(), device.link, init=["hello\\n"], poll={"send": "?", "every": "20ms"}):
        await eventually("it is asked", lambda: hear(b"hello\n???"))
        device.unplug()
        device.plug()
        heard.clear()
        await eventually("it is asked again", lambda: hear(b"hello\n???"))


async def test_a_port_that_comes_back_between_two_questions_is_set_up_anew(device: PtyDevice) -> None:
    """The device has forgotten what was sent first, and commands wait for that."""
    heard = bytearray()

    def hear(what: bytes) -> bool:
        heard.extend(device.heard())
        return what in heard

    poll = {"send": "?", "every": "1h"}
    async with reading(SettlingIntake(), device.link, init=["hello\\n"], poll=poll) as source:
        await eventually("it is asked", lambda: hear(b"hello\n?"))
        device.unplug()
        await eventually("it is lost", lambda: not source.is_connected)
        device.plug()
        heard.clear()
        await eventually("it is asked again", lambda: hear(b"hello\n?"))
        await source.write(b"command")


async def test_without_the_port_a_write_is_refused_and_not_kept(tmp_path: Path) -> None:
    """A command for a device that is away must not be carried out an hour later."""
    device = PtyDevice(tmp_path / "by-id")
    async with reading(SettlingIntake(), device.link) as source:
        await eventually("it waits", lambda: source.status.state == "backoff")
        with pytest.raises(SerialDown, match=r"scale: .* is not there"):
            await source.write(b"now")
        with device:
            await eventually("it is open", lambda: source.is_connected)
            await source.write(b"later")
            await eventually("it was heard", lambda: device.heard() == b"later")


async def test_a_device_that_takes_nothing_makes_a_write_fail_in_time(device: PtyDevice) -> None:
    """Flow control may stop us for ever; what waits behind that is not lost in silence, and reading goes on."""
    intake = SettlingIntake()
    async with reading(intake, device.link, write_timeout="200ms") as source:
        await eventually("it is open", lambda: source.is_connected)
        stuck = asyncio.create_task(source.write(b"x" * 60_000))
        unwanted = asyncio.create_task(source.write(b"unwanted", timeout_s=20))
        behind = asyncio.create_task(source.write(b"behind", timeout_s=20))
        await asyncio.sleep(0)  # they stand in line
        device.write(b"1\n")
        await eventually("it is still read", lambda: intake.payloads == [b"1"])
        unwanted.cancel()

        with pytest.raises(SerialError, match="took nothing in time"):
            await stuck
        heard = bytearray()
        while not heard.endswith(b"behind"):
            heard += await asyncio.to_thread(device.heard)
        await behind

        assert b"unwanted" not in heard
        assert len(heard) < 60_000


async def test_a_port_that_is_lost_fails_what_waits(device: PtyDevice) -> None:
    """Nobody knows whether it went out: whoever wrote it must be told."""
    async with reading(SettlingIntake(), device.link) as source:
        await eventually("it is open", lambda: source.is_connected)
        stuck = asyncio.create_task(source.write(b"x" * 60_000, timeout_s=30))
        await eventually("it is on its way", lambda: len(device.heard()) > 0)
        device.unplug()

        with pytest.raises(SerialDown, match="is gone"):
            await stuck


async def test_more_than_can_wait_is_refused(device: PtyDevice) -> None:
    """The memory of what is to be written is bounded, too."""
    async with reading(SettlingIntake(), device.link) as source:
        await eventually("it is open", lambda: source.is_connected)
        with pytest.raises(SerialError, match="wait to be written already"):
            await source.write(b"x" * 70_000)
