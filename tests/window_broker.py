"""A broker by script that keeps its window full: it has as much as is taken, and counts the PUBACKs.

It shows what a client makes of a window over a long line. `plain_client` is the measure: it acknowledges at once
whatever a read brings.
"""

from __future__ import annotations

import asyncio
from itertools import cycle, islice

from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.packets import ConnAck, Connect, PubAck, Publish, SubAck, Subscribe, Subscription
from source_kit import GoodBroker
from uplink_kit import Peer

__all__ = ["WindowBroker", "plain_client"]


class WindowBroker(GoodBroker):
    """Sends QoS 1 messages to whoever has subscribed, ``window`` at a time; ``acked`` counts PUBACKs."""

    def __init__(self, *, window: int = 20) -> None:
        super().__init__()
        self.window = window
        self.acked = 0
        self.sent = 0
        self._ids = cycle(range(1, 1001))
        self.on_subscribed = lambda peer: self._send(peer, self.window)
        self.on_acks = self._acknowledged

    def _acknowledged(self, peer: Peer, count: int) -> None:
        self.acked += count
        self._send(peer, count)

    def _send(self, peer: Peer, count: int) -> None:
        """One write for as many as one read has freed."""
        packets = [Publish("sensors/a", b'{"n":%d}' % (self.sent + n), 1) for n in range(count)]
        for packet, packet_id in zip(packets, islice(self._ids, count), strict=True):
            packet.packet_id = packet_id
        self.sent += count
        peer.writer.write(b"".join(encode(packet, peer.version) for packet in packets))

    async def rate(self, *, for_s: float) -> float:
        """Return how many messages a second are acknowledged from now on."""
        before = self.acked
        await asyncio.sleep(for_s)
        return (self.acked - before) / for_s


async def plain_client(port: int) -> None:
    """Subscribe, and acknowledge what comes as soon as it is there; until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    decoder = Decoder(version=4, max_packet_bytes=1 << 20, from_client=False)
    writer.write(encode(Connect("plain", version=4), 4))
    try:
        while chunk := await reader.read(65_536):
            for packet in decoder.feed(chunk):
                match packet:
                    case ConnAck():
                        writer.write(encode(Subscribe(1, (Subscription("sensors/#", 1),)), 4))
                    case Publish():
                        writer.write(encode(PubAck(packet.packet_id), 4))
                    case SubAck():
                        pass
    finally:
        writer.close()
