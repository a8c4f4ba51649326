"""Payloads that no device should send, to a running gateway with a profile (rows 70 to 73 of FAULTS.md)."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from fieldgate.control import socket_path, stream
from fieldgate.mqtt.packets import PubAck
from gateway_kit import Gateway, publish_once, running
from listener_kit import RawClient

PROFILE = """\
profile: boiler
version: 3
match: {mqtt: "site/{device}/boiler"}
decode: json
fields:
  temperature: {type: float}
"""

HOSTILE = {
    "100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "100,000 deep objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "never closed": b"[" * 200_000,
    "20,000 keys": b"{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}",
    "the same key twice": b'{"temperature": 20, "temperature": 21}',
    "the same key twice, escaped": b'{"temperature": 20, "temperatur\\u0065": 21}',
    "NaN": b'{"temperature": NaN}',
    "Infinity": b'{"temperature": -Infinity}',
    "1e400": b'{"temperature": 1e400}',
    "100,000 digits": b'{"temperature": ' + b"9" * 100_000 + b"}",
    "a lone surrogate": b'{"temperature": "\\ud800"}',
    "a byte order mark": b'\xef\xbb\xbf{"temperature": 20}',
    "UTF-16": '{"temperature": 20}'.encode("utf-16"),
    "UTF-16 without a mark": '{"temperature": 20}'.encode("utf-16-le"),
    "invalid UTF-8": b'{"temperature": "\xff\xfe"}',
    "an overlong NUL": b'{"temperature": "\xc0\x80"}',
    "NULs": bytes(50_000),
    "all bytes": bytes(range(256)) * 100,
    "a control character in a text": b'{"temperature": "\x1b[2J"}',
    "cut in the middle": b'{"temperature": 2',
    "two texts": b'{"temperature": 20}{"temperature": 21}',
    "null": b"null",
    "a number": b"20",
    "empty": b"",
}


def gateway_with_profile(folder: Path) -> Gateway:
    (folder / "devices.d").mkdir()
    (folder / "devices.d" / "boiler.yaml").write_text(PROFILE, encoding="utf-8")
    gateway = Gateway(folder, uplinks={})
    gateway.settings["devices"] = {"dead_letters": {"rate": "1000/s"}}
    return gateway


async def letters(gateway: Gateway) -> list[dict[str, Any]]:
    return [one async for one in stream(socket_path(gateway.state), {"do": "dead-letters.show"})]


async def test_whatever_comes_is_a_dead_letter_with_its_bytes_and_a_reason(tmp_path: Path) -> None:
    """Rows 71 to 73: nothing crashes, nothing is guessed, an empty payload is not null; and others are served."""
    gateway = gateway_with_profile(tmp_path)
    async with running(gateway):
        async with aiomqtt.Client("127.0.0.1", gateway.port) as device, asyncio.timeout(40):
            await asyncio.gather(  # one connection, all in flight: what is wrong with one must not be another's
                *(device.publish("site/b1/boiler", payload, qos=1) for payload in HOSTILE.values())
            )
            await device.publish("site/b1/boiler", b'{"temperature": 20}', qos=1)
        found = await letters(gateway)
        status = await gateway.status()
        assert gateway.process is not None
        assert gateway.process.returncode is None

    by_bytes = {b64decode(one["payload_base64"]): one for one in found}
    assert [name for name, payload in HOSTILE.items() if payload not in by_bytes] == []
    assert len(found) == len(HOSTILE)
    assert {(one["profile"], one["version"]) for one in found} == {("boiler", 3)}
    assert {one["reason"] for one in found} <= {"undecodable", "missing", "wrong_type", "out_of_range", "too_large"}
    assert all(0 < len(one["detail"]) <= 500 and one["detail"].isprintable() for one in found)
    assert status["events_in"] == 1
    assert "task.failed" not in gateway.log_text()
    assert "Traceback" not in gateway.log_text()


@pytest.mark.parametrize("size", [1_000_000, 10_000_000])
async def test_a_payload_over_the_packet_limit_is_never_acknowledged_and_no_dead_letter(
    tmp_path: Path, size: int
) -> None:
    """Row 70: that client is cut off, with the reason where MQTT has one, and counted; nothing of it is kept."""
    gateway = gateway_with_profile(tmp_path)
    async with running(gateway):
        device = await RawClient.connect(gateway.port, version=5)
        device.publish(1, bytes(size), topic="site/b1/boiler")
        assert await device.is_closed()
        assert not any(isinstance(one, PubAck) for one in device.packets)
        await device.close()
        await publish_once(gateway.port, "site/b1/boiler", json.dumps({"temperature": 1}).encode())
        status = await gateway.status()

    assert status["listeners"][0]["ended"]["packet_too_large"] == 1
    assert status["dead_letters"]["kept"] == status["dead_letters"]["sampled_out"] == 0
    assert status["events_in"] == 1
