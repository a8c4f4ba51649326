"""The stand-in upstream broker is a real broker that can be taken away and brought back."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import aiomqtt
import pytest

from fieldgate_simulators.broker import Broker, BrokerKind, mosquitto_path
from fieldgate_simulators.errors import SimulatorError

needs_mosquitto = pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed")
KINDS = [pytest.param("mosquitto", marks=needs_mosquitto), "amqtt"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_goes_through_it_and_it_is_gone_afterwards(kind: BrokerKind):
    """Each kind must do: a fresh machine may have either."""
    async with Broker(kind=kind) as broker:
        pid = broker.pid
        async with aiomqtt.Client(broker.host, broker.port) as client:
            await client.subscribe("a/#", qos=1)
            await client.publish("a/b", b"hello", qos=1)
            message = await anext(aiter(client.messages))

    assert (str(message.topic), message.payload) == ("a/b", b"hello")
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()


@needs_mosquitto
async def test_it_keeps_its_port_over_stop_kill_and_start(tmp_path):
    """The gateway's config names one port for the whole test."""
    async with Broker(folder=tmp_path) as broker:
        port = broker.port

        await broker.stop()
        assert not _is_open(port)
        await broker.start()
        await broker.kill()
        assert not _is_open(port)
        await broker.start()

        assert broker.port == port
        assert _is_open(port)


@needs_mosquitto
async def test_a_persistent_broker_remembers_a_session_over_a_restart(tmp_path):
    """Tests of a session that is lost upstream need the contrast of one that is kept."""
    async with Broker(folder=tmp_path, is_persistent=True) as broker:
        async with aiomqtt.Client(broker.host, broker.port, identifier="keeper", clean_session=False) as client:
            await client.subscribe("a", qos=1)
        async with aiomqtt.Client(broker.host, broker.port) as client:
            await client.publish("a", b"kept", qos=1)

        await broker.stop()
        await broker.start()

        async with aiomqtt.Client(broker.host, broker.port, identifier="keeper", clean_session=False) as client:
            assert (await anext(aiter(client.messages))).payload == b"kept"


@needs_mosquitto
async def test_a_broker_that_cannot_start_says_what_its_log_says():
    """A taken port or a bad setting must not look like a hang."""
    with pytest.raises(SimulatorError, match=r"mosquitto ended with \d+: .*nonsense"):
        async with Broker(settings=["nonsense true"]):
            pytest.fail("it started")  # pragma: no cover


@needs_mosquitto
async def test_a_wanted_port_that_is_taken_is_an_error_not_another_port():
    """Who names a port gets that port or an error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with pytest.raises(SimulatorError, match="already in use"):
            async with Broker(port=taken.getsockname()[1]):
                pytest.fail("it started")  # pragma: no cover


def test_amqtt_refuses_what_it_cannot_do():
    """An option that is accepted and ignored would make a test prove nothing."""
    with pytest.raises(SimulatorError, match="amqtt stores nothing"):
        Broker(kind="amqtt", is_persistent=True)


def _is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())


@pytest.fixture(scope="module", autouse=True)
def others() -> set[str]:
    """What other test files keep running."""
    return children()


def test_no_process_is_left_behind(others):
    """Runs last in this file: every broker above was a child of this process."""
    assert children() - others == set()
