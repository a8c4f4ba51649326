"""A serial device that is not there, comes back, is somebody else's or none at all."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial.tools.list_ports
from serial.tools.list_ports_common import ListPortInfo
from structlog.testing import capture_logs

from fieldgate import clock
from fieldgate.ingest import serial_port, serial_source
from fieldgate.ingest.serial_port import LineErrors
from fieldgate.ingest.serial_problems import PortProblem
from gateway_kit import eventually
from listener_kit import SettlingIntake, on_both_loops
from serial_kit import PtyDevice, reading

STATES = ("serial.connected", "serial.lost", "serial.waiting", "serial.not_understood")


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path / "by-id") as made:
        yield made


def told(logs: list[dict[str, object]]) -> list[object]:
    return [line["event"] for line in logs if line["event"] in STATES]


@on_both_loops
async def test_a_device_is_waited_for_and_found_under_another_name(tmp_path: Path) -> None:
    """Row 53: adapters are pulled out in mid-frame and come back as another ttyUSB."""
    device = PtyDevice(tmp_path / "by-id")
    intake = SettlingIntake()
    with capture_logs() as logs:
        async with reading(intake, device.link) as source:
            await eventually("it waits", lambda: source.status.state == "backoff")
            assert source.status.reason == f"{device.link} is not there: is the device plugged in?"
            with device:
                device.write(b"1\n2\n3-is-cut")
                await eventually("it was read", lambda: source.status.bytes == 12)
                first = device.node
                device.unplug()
                await eventually("the loss is seen", lambda: source.status.state == "backoff")

                device.plug()
                device.write(b"4\n5\n")
                await eventually("it is read again", lambda: len(intake.heard) == 4)

                assert device.node != first
                assert source.status.device == device.node
                assert intake.payloads == [b"1", b"2", b"4", b"5"]
                status = source.status
                assert (status.dropped_frames, status.dropped_bytes, status.reconnects) == (1, 8, 1)
                said = told(logs)

    assert said == ["serial.waiting", "serial.connected", "serial.lost", "serial.connected"]


async def test_a_state_that_stays_is_told_once(tmp_path: Path) -> None:
    """A port that is away for a month must not fill the log."""
    intake = SettlingIntake()
    with capture_logs() as logs:
        async with reading(intake, tmp_path) as source:  # a folder
            tries = 0

            def count(_problem: object, _real: object = source._not_opened) -> None:
                nonlocal tries
                tries += 1
                _real(_problem)  # type: ignore[operator]

            source._not_opened = count  # type: ignore[method-assign, assignment]
            await eventually("it was tried often", lambda: tries >= 4)

    assert told(logs) == ["serial.waiting"]


@pytest.mark.parametrize("kind", ["file", "folder", "pipe", "null"])
async def test_what_is_no_serial_port_is_told(tmp_path: Path, kind: str) -> None:
    """A slip in the configuration must not look like a broken device."""
    port = Path("/dev/null") if kind == "null" else tmp_path / "port"
    if kind == "file":
        port.write_bytes(b"")
    elif kind == "folder":
        port.mkdir()
    elif kind == "pipe":
        os.mkfifo(port)
    async with reading(SettlingIntake(), port) as source:
        await eventually("it is told", lambda: source.status.state == "refused")

        words = {"file": "is a plain file, no", "folder": "is a folder, no", "pipe": "is a pipe, no", "null": "is no"}
        assert source.status.reason == f"{port} {words[kind]} serial port"


@contextmanager
def _locked(node: str) -> Iterator[int]:
    """Another program that has the port, as well-behaved programs have one; its process id."""
    script = "import serial, sys; port = serial.Serial(sys.argv[1], exclusive=True); print('on', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script, node], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"on\n"
        yield other.pid
        other.communicate(b"\n")


async def test_a_busy_port_is_told_with_who_has_it_and_taken_when_it_is_free(device: PtyDevice) -> None:
    """Row 57: two readers would each get half of the bytes."""
    with capture_logs() as logs:
        with _locked(device.node) as pid:
            source_block = reading(SettlingIntake(), device.link)
            source = await source_block.__aenter__()
            await eventually("it waits", lambda: source.status.state == "backoff")
            assert source.status.reason.startswith(f"{device.link} is busy: process {pid} (")
        await eventually("it is taken", lambda: source.is_connected)
        await source_block.__aexit__(None, None, None)

    assert told(logs) == ["serial.waiting", "serial.connected"]


async def test_a_port_that_is_read_is_locked(device: PtyDevice) -> None:
    """Nobody else shall take bytes away."""
    async with reading(SettlingIntake(), device.link) as source:
        await eventually("it is open", lambda: source.is_connected)
        fd = os.open(device.node, os.O_RDWR | os.O_NOCTTY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(fd)


async def test_the_port_is_set_as_written(device: PtyDevice) -> None:
    """What a pty keeps of it: speed, stop bits, flow control, and whether a close drops the lines."""
    settings = {"baud": 115200, "stopbits": 2, "flow_control": "xonxoff", "dtr": "leave"}
    async with reading(SettlingIntake(), device.link, **settings) as source:
        await eventually("it is open", lambda: source.is_connected)
        input_flags, _, control, local, speed, _, special = termios.tcgetattr(device.fd)

    assert speed == termios.B115200
    assert control & termios.CSTOPB
    assert input_flags & (termios.IXON | termios.IXOFF) == termios.IXON | termios.IXOFF
    assert not control & termios.HUPCL
    assert not local & (termios.ICANON | termios.ECHO)
    assert special[termios.VMIN] in (1, b"\x01")


async def test_an_adapter_is_found_by_its_usb_identity(device: PtyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no link is made, as in a container; each time anew."""
    info = ListPortInfo(device.node, skip_link_detection=True)
    info.vid, info.pid, info.serial_number = 0x0403, 0x6001, "A1"
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda *_: [info])
    async with reading(SettlingIntake(), "usb:0403:6001:A1") as source:
        await eventually("it is open", lambda: source.is_connected)
        assert source.status.device == device.node
        device.unplug()
        device.plug()
        info.device = device.node
        await eventually("it is open again", lambda: source.status.device == device.node)

        assert source.status.reconnects == 1


async def test_a_stop_does_not_wait_for_an_open_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device server that answers nothing, a driver in trouble."""
    is_let_go, has_begun = threading.Event(), threading.Event()

    def hang(_config: object, _wake: int) -> object:
        has_begun.set()
        is_let_go.wait(30)
        raise PortProblem("too late")

    monkeypatch.setattr(serial_source, "open_port", hang)
    with capture_logs() as logs:
        async with reading(SettlingIntake(), "/dev/nowhere") as source:
            await eventually("it hangs", has_begun.is_set)
            began_s = clock.boot_s()
            await source.stop_reading()
            assert clock.boot_s() - began_s < 5
        is_let_go.set()
        await eventually(
            "the thread has ended", lambda: not any(t.name == "serial:scale" for t in threading.enumerate())
        )

    assert told(logs) == []


def test_what_the_driver_counts_is_what_came_since_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overruns are bytes that nobody will ever see; the counters of a driver begin with the machine."""
    counters = [0] * 20

    def ioctl(_fd: int, _request: int, _buffer: bytes) -> bytes:
        return struct.pack("20i", *counters)

    monkeypatch.setattr(serial_port.fcntl, "ioctl", ioctl)
    counters[6:11] = [1, 2, 3, 4, 5]  # framing errors, overruns, parity errors, breaks, overruns of the buffer
    port = serial_port._DescriptorPort(_NoPort(), "x", 0, is_device=True)  # type: ignore[arg-type]
    counters[6:11] = [11, 3, 5, 4, 8]

    assert port.line_errors() == LineErrors(overruns=4, framing=10, parity=2, breaks=0)


class _NoPort:
    def fileno(self) -> int:
        return 0


async def test_a_driver_without_rs485_says_so(device: PtyDevice) -> None:
    """An option that a port cannot do must not be passed over."""
    async with reading(SettlingIntake(), device.link, rs485={"delay_after": "1ms"}) as source:
        await eventually("it is told", lambda: source.status.state == "refused")

        assert source.status.reason == f"{device.link}: its driver does not do RS-485; leave out rs485"
