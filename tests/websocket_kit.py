"""What the tests of our side of a WebSocket share: the URL of a server on this machine, and a right answer by hand."""

from __future__ import annotations

import base64
import hashlib
from typing import Any


def ws(port: int, path: str = "", **more: Any) -> dict[str, Any]:
    return {"url": f"ws://127.0.0.1:{port}{path}", **more}


def switching(request: bytes, *, protocol: str = "mqtt", key: bytes | None = None) -> bytes:
    """A right answer to the handshake, by hand."""
    lines = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1((key or lines[b"Sec-WebSocket-Key"]) + guid).digest()).decode()
    chosen = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n"
    ).encode()
