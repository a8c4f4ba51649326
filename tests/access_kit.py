"""Users files with hashes that cost nothing, and ways to log in, for tests."""

from __future__ import annotations

import os
from pathlib import Path

from fieldgate.config.password_hash import PasswordHash
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import ConnAck, Connect, Properties, Will
from listener_kit import RawClient

__all__ = ["cheap_hash", "knock", "users_text", "write_private"]


def cheap_hash(password: str, *, cost_log2: int = 4) -> PasswordHash:
    """A real scrypt hash that takes microseconds to check."""
    blank = PasswordHash(cost_log2, 8, 1, os.urandom(16), bytes(32))
    return PasswordHash(cost_log2, 8, 1, blank.salt, blank._digest_of(password.encode()))


def users_text(**passwords: str) -> str:
    return "".join(f"{name}:{cheap_hash(password)}\n" for name, password in passwords.items())


def write_private(path: Path, text: str) -> Path:
    """Write a file as an editor does: another file, renamed."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(path)
    return path


async def knock(
    port: int,
    username: str | None = None,
    password: str | None = None,
    *,
    client_id: str = "c",
    version: int = 5,
    clean: bool = True,
    will: Will | None = None,
    properties: Properties | None = None,
    local_address: str = "127.0.0.1",
) -> tuple[int, RawClient]:
    """Send CONNECT; return the CONNACK's code and the client."""
    client = await RawClient.open(port, version=version, local_address=local_address)
    connect = Connect(client_id, version, clean, 60, will=will, properties=properties)
    connect.username = username
    connect.password = password.encode() if password is not None else None
    client.writer.write(encode(connect, version))
    answer = await client.receive()
    assert isinstance(answer, ConnAck), answer
    client.connack = answer
    return answer.reason, client
