"""What happens to the process around the work: stopped and continued, no descriptors left, a log that nobody reads."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import shutil
import signal
import socket
from pathlib import Path

import pytest

from fieldgate.journal.records import Commit
from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from journal_kit import open_journal

F_SETPIPE_SZ = 1031


def uplink(port: int) -> dict[str, object]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "1s"}}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def test_a_gateway_that_was_stopped_for_a_while_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    """Row 10, short form: a debugger, a suspended machine. Keep-alives have run out on both sides meanwhile."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        async with running(Gateway(tmp_path, uplinks={"up": uplink(broker.port)})) as gateway:
            device = Publisher(gateway.port)
            device.start()
            await eventually("the load runs", lambda: len(device.acked) > 100)
            assert gateway.process is not None
            gateway.process.send_signal(signal.SIGSTOP)
            at_stop = len(device.acked)
            await asyncio.sleep(2)  # the fault itself
            gateway.process.send_signal(signal.SIGCONT)
            await eventually("it goes on", lambda: len(device.acked) > at_stop + 100)
            device.stop()
            await gateway.drained("up")
            await eventually("all is there", lambda: not upstream.missing([device]))

            oracle(upstream, [device])
            assert gateway.log_text().count("task.failed") == 0
            device.close()
        upstream.close()


async def test_a_log_that_nobody_reads_holds_up_nothing(tmp_path: Path) -> None:
    """Row 83: standard error is a full pipe to a stopped process; a write to it would block for ever."""
    reader, end = os.pipe()
    fcntl.fcntl(end, F_SETPIPE_SZ, 4096)
    gateway = Gateway(tmp_path, uplinks={})
    gateway.log = Path(f"/proc/self/fd/{end}")  # opened once more by `start`, for the child
    device = Publisher(gateway.port, total=200)
    try:
        await gateway.start()
        for _ in range(60):  # each makes two lines
            knock = socket.create_connection(("127.0.0.1", gateway.port))
            knock.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a")
            knock.recv(4)
            knock.close()
        await eventually("the pipe is full", lambda: not select.select([], [end], [], 0)[1])
        device.start()
        await device.finished()
        status = await gateway.status()
        code = await gateway.stop()
    finally:
        device.close()
        await gateway.kill()
        os.close(end)
    said = os.read(reader, 65536).decode()
    os.close(reader)

    assert status["events_in"] == 200
    assert code == 0
    assert "gateway.started" in said


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit (util-linux)")
async def test_without_descriptors_devices_that_are_there_are_served(tmp_path: Path) -> None:
    """Row 80: a crowd takes every descriptor; who is connected goes on, the journal too, and there is no busy loop."""
    gateway = Gateway(tmp_path, uplinks={"up": uplink(9)}, durability="journal")
    await gateway.start("prlimit", "--nofile=64:64")
    device = Publisher(gateway.port, total=300)
    crowd: list[socket.socket] = []
    try:
        device.start()
        await eventually("it works", lambda: len(device.acked) > 10)
        assert gateway.process is not None
        descriptors = Path(f"/proc/{gateway.process.pid}/fd")
        crowd += [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(100)]
        await eventually("all descriptors are taken", lambda: len(list(descriptors.iterdir())) >= 60)
        await device.finished()
        before_s = cpu_s(gateway.process.pid)
        await asyncio.sleep(0.5)  # the time over which a busy loop would show
        used_s = cpu_s(gateway.process.pid) - before_s
        for one in crowd:
            one.close()
        status = await eventually("it can be asked again", gateway.status_or_none)
        code = await gateway.stop()
    finally:
        device.close()
        await gateway.kill()

    assert used_s < 0.2
    assert status["journal"]["events"] == 300
    assert code == 0
    assert "Traceback" not in gateway.log_text()


async def test_connections_that_break_on_either_side_are_no_defects(tmp_path: Path) -> None:
    """A reset in the middle of a write is the network's everyday: said in a line, no part is started anew for it."""
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        upstream = Upstream(broker.port)
        upstream.start()
        async with running(Gateway(tmp_path, uplinks={"up": uplink(link.port)})) as gateway:
            device = Publisher(gateway.port, window=200)
            device.start()
            for round_ in range(1, 4):
                await eventually("it flows", lambda n=round_: len(upstream.arrived) > 300 * n)
                link.reset()
                knock = socket.create_connection(("127.0.0.1", gateway.port))
                knock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                knock.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a" + b"\xc0\x00" * 1000)
                knock.close()
            device.stop()
            await gateway.drained("up")
            await eventually("all is there", lambda: not upstream.missing([device]))

            oracle(upstream, [device])
            device.close()
        upstream.close()

    assert "task.failed" not in gateway.log_text()
    assert "library.warned" not in gateway.log_text()


async def test_a_state_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """Row 13 and P5: what would make every start fail is put aside at once, and said; the uplink gets all again."""
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = Gateway(tmp_path, uplinks={"up": uplink(9)})
        await gateway.start()
        device = Publisher(gateway.port, total=50)
        try:
            device.start()
            await device.finished()
            await gateway.stop()
            journal = open_journal(gateway.state)
            journal.commit(Commit(now_boot_ns=1, uplink_states={"up": b"junk"}))
            journal.close()
            gateway.settings["uplinks"]["up"] = uplink(broker.port)
            await gateway.start()
            status = await gateway.drained("up")
            await eventually("all is there", lambda: not upstream.missing([device]))
        finally:
            device.close()
            upstream.close()
            await gateway.kill()

    assert "uplink.began_again" in gateway.log_text()
    assert status["uplinks"]["up"]["unaccounted"] == 0
    assert status["uplinks"]["up"]["delivered"] == 50
