"""A stand-in for the gateway that the demo starts: devices' broker, and a bridge that wraps and sends in order.

It acknowledges before anything is safe, so it serves only where its process lives on; ``--fault`` makes it lose,
swap or repeat events, or end, so that the demo's verdict can be tested. Usage: standin_gateway.py [--fault=F] CONFIG
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
from ruamel.yaml import YAML

from fieldgate_simulators.broker import Broker


class Bridge:
    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.stored: deque[tuple[int, bytes]] = deque()
        self.seq = 0
        self.late: tuple[int, bytes] | None = None
        self.filled = asyncio.Event()

    async def listen(self, port: int, subscribed: asyncio.Event) -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe("sensors/#", qos=1)
            subscribed.set()
            async for message in client.messages:
                self.take(message.payload)

    def take(self, payload: bytes) -> None:
        self.seq += 1
        if self.fault == "die" and self.seq == 20:
            sys.exit("stand-in: told to die")
        if self.fault == "drop" and self.seq == 30:
            return
        self.stored.append((self.seq, payload))
        if self.fault == "repeat" and self.seq == 30:
            self.stored.append((self.seq, payload))
        if self.fault == "swap" and self.seq == 30:
            self.late = self.stored.pop()
        if self.late and self.seq == 45:
            self.stored.append(self.late)
        self.filled.set()

    async def send(self, url: str) -> None:
        parts = urlsplit(url)
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(parts.hostname, parts.port, timeout=0.3) as client:
                    while True:
                        await self.send_oldest(client)

    async def send_oldest(self, client: aiomqtt.Client) -> None:
        while not self.stored:
            self.filled.clear()
            await self.filled.wait()
        seq, payload = self.stored[0]
        data = {"device_" if name == "device" else name: value for name, value in json.loads(payload).items()}
        envelope = {"id": f"{7:016x}-{seq}", "type": "generic", "data": data}
        await client.publish("fieldgate/standin", json.dumps(envelope), qos=1)
        self.stored.popleft()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def main(config_path: Path, fault: str) -> None:
    config = YAML(typ="safe").load(config_path)
    port = int(config["listen"][0]["mqtt"].rpartition(":")[2])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bridge = Bridge(fault)
    async with Broker() as broker, asyncio.TaskGroup() as tasks:

        async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_connection(broker.host, broker.port)
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

        subscribed = asyncio.Event()
        parts = [
            tasks.create_task(bridge.listen(broker.port, subscribed)),
            tasks.create_task(bridge.send(config["uplinks"]["upstream"]["mqtt"]["url"])),
        ]
        await subscribed.wait()  # or the bridge would not hear what is published first
        server = await asyncio.start_server(admit, "127.0.0.1", port)
        await stop.wait()
        server.close()
        for part in parts:
            part.cancel()


if __name__ == "__main__":
    faults = [argument.removeprefix("--fault=") for argument in sys.argv[1:-1]]
    asyncio.run(main(Path(sys.argv[-1]), faults[0] if faults else ""))
