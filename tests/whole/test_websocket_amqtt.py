"""An uplink over WebSocket to a whole broker that others have written."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway_kit import Gateway, Publisher, Upstream, eventually, free_port, oracle, running

CONFIG = """\
listeners:
  default: {{type: tcp, bind: "127.0.0.1:{tcp}"}}
  web: {{type: ws, bind: "127.0.0.1:{ws}"}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[tuple[int, int]]:
    """amqtt with a TCP port, to see what arrives, and a WebSocket."""
    tcp, ws = free_port(), free_port()
    (tmp_path / "amqtt.yaml").write_text(CONFIG.format(tcp=tcp, ws=ws), encoding="utf-8")
    with (tmp_path / "amqtt.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("amqtt"), "-c", tmp_path / "amqtt.yaml", stdout=log, stderr=log
        )

    async def listens() -> bool:
        assert process.returncode is None, (tmp_path / "amqtt.log").read_text()
        try:
            for port in (tcp, ws):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
        except OSError:
            return False
        return True

    try:
        await eventually("amqtt listens", listens, within_s=40)
        yield tcp, ws
    finally:
        process.terminate()
        await process.wait()


async def test_everything_arrives_at_amqtt_over_websocket(tmp_path: Path, ports: tuple[int, int]) -> None:
    """It speaks 3.1.1 only and stays silent to 5, so the fall-back goes over WebSocket as well."""
    tcp, ws = ports
    upstream = Upstream(tcp)
    upstream.start()
    gateway = Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": f"ws://127.0.0.1:{ws}", "connect_timeout": "1s"}}})
    publisher = Publisher(gateway.port, total=300)

    async with running(gateway):
        publisher.start()
        await publisher.finished()
        status = await gateway.drained()
        await eventually("all is upstream", lambda: len(upstream.events()) >= 300)
        publisher.close()

    oracle(upstream, [publisher])
    assert status["uplinks"]["up"]["version"] == "3.1.1"
    upstream.close()
