"""mosquitto_pub and mosquitto_sub, the clients that every installer has, against our listener."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fieldgate.mqtt.local_broker import LocalBroker
from listener_kit import HeldIntake, SettlingIntake, serving

pytestmark = pytest.mark.skipif(
    shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed (package mosquitto-clients)"
)

BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
VERSIONS = ["mqttv311", "mqttv5"]


async def _start(program: str, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(program, *arguments, stdout=pipe, stderr=pipe, limit=2**20)


async def _publish(port: int, *arguments: str) -> tuple[int | None, str]:
    process = await _start("mosquitto_pub", "-p", str(port), *arguments)
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


@asynccontextmanager
async def _subscriber(port: int, broker: LocalBroker, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A mosquitto_sub, the only one of ``broker``, that has subscribed; it is killed at the end."""
    process = await _start("mosquitto_sub", "-p", str(port), "-v", *arguments)
    try:
        async with asyncio.timeout(20):
            while not broker.is_listening:
                await asyncio.sleep(0)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _hears(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).rstrip(b"\n")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_what_mosquitto_pub_sends_is_an_event_and_reaches_mosquitto_sub(version: str, qos: str) -> None:
    intake, broker = SettlingIntake(), LocalBroker()
    async with (
        serving(intake, broker) as listener,
        _subscriber(listener.port, broker, "-V", version, "-t", "a/#", "-q", "2") as reader,
    ):
        code, errors = await _publish(listener.port, "-V", version, "-q", qos, "-t", "a/b", "-m", "hello")

        assert (code, errors) == (0, "")
        assert await _hears(reader) == b"a/b hello"
        assert intake.payloads == [b"hello"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ["1", "2"])
async def test_mosquitto_pub_waits_until_its_event_is_safe(version: str, qos: str) -> None:
    """P1 as a shell script sees it: exit code 0 means stored."""
    intake = HeldIntake()
    async with serving(intake) as listener:
        process = await _start(
            "mosquitto_pub", "-p", str(listener.port), "-V", version, "-q", qos, "-t", "t", "-m", "m"
        )
        async with asyncio.timeout(20):
            while not intake.batches:
                await asyncio.sleep(0)
        assert process.returncode is None

        intake.settle(0)

        async with asyncio.timeout(20):
            assert await process.wait() == 0
        await process.communicate()


async def test_mqtt_3_1_is_refused_in_words_that_the_client_understands() -> None:
    async with serving(SettlingIntake()) as listener:
        code, errors = await _publish(listener.port, "-V", "mqttv31", "-t", "t", "-m", "m", "-i", "old")

    assert code != 0
    assert "unacceptable protocol version" in errors.lower()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_retained_message_waits_for_the_subscriber(version: str) -> None:
    broker = LocalBroker()
    async with serving(SettlingIntake(), broker) as listener:
        await _publish(listener.port, "-V", version, "-t", "state/1", "-m", "on", "-r", "-q", "1")

        async with _subscriber(listener.port, broker, "-V", version, "-t", "state/+", "-F", "%t %p %r") as reader:
            assert await _hears(reader) == b"state/1 on 1"


async def test_the_will_of_a_killed_client_is_an_event() -> None:
    intake, broker = SettlingIntake(), LocalBroker()
    async with serving(intake, broker) as listener:
        arguments = ("-t", "t", "--will-topic", "gone", "--will-payload", "sub-1", "--will-qos", "1")
        async with _subscriber(listener.port, broker, *arguments) as reader:
            reader.kill()
            async with asyncio.timeout(20):
                while not intake.batches:
                    await asyncio.sleep(0)

    assert [(one.topic, one.payload) for one in intake.heard] == [("gone", b"sub-1")]


async def test_lines_from_a_pipe_arrive_in_order() -> None:
    """`tail -f log | mosquitto_pub -l` is how many a device speaks."""
    intake = SettlingIntake()
    async with serving(intake) as listener:
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub", "-p", str(listener.port), "-t", "log", "-q", "1", "-l", stdin=asyncio.subprocess.PIPE
        )
        await process.communicate(b"".join(b"%d\n" % one for one in range(500)))

    assert process.returncode == 0
    assert intake.payloads == [b"%d" % one for one in range(500)]


@pytest.mark.skipif(BROKER is None, reason="mosquitto is not installed")
@pytest.mark.parametrize("version", ["mqttv311", "mqttv50"])
async def test_a_mosquitto_bridge_brings_the_messages_of_its_broker(tmp_path: Path, version: str) -> None:
    """A plant that has a mosquitto already; it first tries a version number of its own, and must be refused well."""
    intake = SettlingIntake()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with serving(intake) as listener:
        config = tmp_path / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nconnection gateway\naddress 127.0.0.1:{listener.port}\n"
            f"bridge_protocol_version {version}\ntopic # out 1\nrestart_timeout 1 1\nnotifications false\n"
        )
        broker = await _start(str(BROKER), "-c", str(config))
        try:
            async with asyncio.timeout(20):
                while not any(one.inbox is not None for one in listener.connections):
                    await asyncio.sleep(0.01)
                code, errors = await _publish(port, "-t", "site/1", "-m", "m", "-q", "1")
                assert (code, errors) == (0, "")
                while not intake.batches:
                    await asyncio.sleep(0.01)
        finally:
            if broker.returncode is None:
                broker.terminate()
            await broker.communicate()

    assert [(one.topic, one.payload) for one in intake.heard] == [("site/1", b"m")]
