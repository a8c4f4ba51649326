"""How a listener's sockets end, whatever the other side has done to them in the meantime."""

from __future__ import annotations

import asyncio
import socket
import struct

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import Connect
from gateway_kit import eventually
from listener_kit import SettlingIntake, on_both_loops, serving


@on_both_loops
async def test_a_socket_that_was_reset_a_moment_ago_can_be_closed() -> None:
    """The loop has not heard of the reset; shutdown() says ENOTCONN, and that must not end the listener's timer."""
    loop = asyncio.get_running_loop()
    async with serving(SettlingIntake()) as listener:
        client = socket.create_connection(("127.0.0.1", listener.port))
        client.setblocking(False)
        await loop.sock_sendall(client, encode(Connect("c", 5), 5))
        await eventually("it is in", lambda: listener.crowd.clients == 1)
        (connection,) = listener.connections

        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        connection.close(at_once=False)

        await eventually("it is gone", lambda: not listener.connections)
