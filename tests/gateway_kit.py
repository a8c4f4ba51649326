"""A real gateway process for tests, a publisher that counts PUBACKs, and a log of what arrived upstream."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import paho.mqtt.client as paho

from fieldgate.control import GatewayNotRunning, ask, socket_path
from fieldgate.errors import FieldgateError
from ports import free_port


async def eventually(what: str, condition: Any, *, within_s: float = 30.0) -> Any:
    """Return the first true answer of ``condition`` (a function, or a coroutine function).

    The deadline is for what never comes: a machine with other work must not make a test fail.
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + within_s
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        if loop.time() > end_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(0.02)


class Gateway:
    """`fieldgate run` as a child process with its own folder; survives being killed and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        uplinks: dict[str, dict[str, Any]],
        durability: str = "relay",
        journal: dict[str, Any] | None = None,
        listen: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "fieldgate.yaml"
        self.log = folder / "gateway.log"
        self.env = env or {}
        self.process: asyncio.subprocess.Process | None = None
        self.settings: dict[str, Any] = {
            "gateway": {"id": "g"},
            "listen": [{"mqtt": f"127.0.0.1:{self.port}", **(listen or {})}],
            "uplinks": uplinks,
            "journal": {"path": str(self.state), "durability": durability, **(journal or {})},
        }

    async def start(self, *prefix: str, may_be_mute: bool = False) -> None:
        """Start it and wait until it listens and, unless it may be mute, answers.

        ``prefix`` is a command to run it under.
        """
        self.config.write_text(json.dumps(self.settings), encoding="utf-8")  # YAML is a superset of JSON
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *prefix,
                sys.executable,
                "-m",
                "fieldgate",
                "run",
                "-c",
                str(self.config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
            )
        await eventually("the gateway listens", self._listens)
        if not may_be_mute:
            await eventually("the gateway answers", self.status_or_none)

    async def _listens(self) -> bool:
        assert self.process is not None
        if self.process.returncode is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.log_text()[-3000:]}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; return the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def status(self) -> dict[str, Any]:
        return await ask(socket_path(self.state), {"do": "status"})

    async def status_or_none(self) -> dict[str, Any] | None:
        try:
            return await self.status()
        except (GatewayNotRunning, FieldgateError):
            return None

    async def drained(self, *names: str, within_s: float = 30.0) -> dict[str, Any]:
        """Wait until these uplinks (default: all) have nothing pending; return the status."""

        async def is_empty() -> dict[str, Any] | None:
            status = await self.status_or_none()
            if status is None or status["unsettled_bytes"]:
                return None
            chosen = [status["uplinks"][name] for name in (names or status["uplinks"])]
            is_done = all(one["pending"] == 0 and one["in_flight"] == 0 and one["is_counted"] for one in chosen)
            return status if is_done else None

        return dict(await eventually(f"{names or 'every uplink'} is drained", is_empty, within_s=within_s))

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[Gateway]:
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


async def publish_once(port: int, topic: str, payload: bytes) -> None:
    """Publish one message at QoS 1 and wait for its PUBACK."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.publish(topic, payload, qos=1)


@dataclass
class Publisher:
    """A paho device that publishes numbered messages as fast as its window allows, over kills of the gateway."""

    port: int
    name: str = "d"
    window: int = 40
    total: int = 1_000_000
    qos: int = 1
    version: int = paho.MQTTv311
    topic: str = ""
    noise_bytes: int = 0  # random bytes in each payload, so that it does not compress away
    retry_s: float = 1.0
    on_acked: Callable[[], None] | None = None  # called at each acknowledgement, in the client's thread
    acked: set[int] = field(default_factory=set)
    sent: int = 0

    def __post_init__(self) -> None:
        self.topic = self.topic or f"t/{self.name}"
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self.name,
            protocol=self.version,  # type: ignore[arg-type]
        )
        self._client.max_inflight_messages_set(self.window)
        self._client.reconnect_delay_set(min_delay=self.retry_s, max_delay=self.retry_s)  # type: ignore[arg-type]
        self._client.on_connect = lambda *_: self._is_connected.set()
        self._client.on_publish = self._on_publish
        self._numbers: dict[int, int] = {}
        self._early: set[int] = set()  # acknowledged before `publish` told us their id
        self._lock = threading.Lock()
        self._room = threading.Semaphore(self.window)
        self._is_connected = threading.Event()  # paho sends what it was given before that after what comes at once
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish, name=f"publisher:{self.name}", daemon=True)

    def start(self) -> None:
        self._client.connect_async("127.0.0.1", self.port, keepalive=30)
        self._client.loop_start()
        self._thread.start()

    def _publish(self) -> None:
        while self.sent < self.total and not self._stop.is_set():
            if not self._is_connected.wait(0.1) or not self._room.acquire(timeout=0.1):
                continue
            number = self.sent
            self.sent += 1
            payload = json.dumps(
                {"device": self.name, "n": number, "pad": secrets.token_hex(self.noise_bytes) or "x" * 60}
            )
            mid = self._client.publish(self.topic, payload, qos=self.qos).mid
            with self._lock:  # never held while paho is called: it calls back under locks of its own
                if mid in self._early:
                    self._early.remove(mid)
                    self.acked.add(number)
                else:
                    self._numbers[mid] = number

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._lock:
            number = self._numbers.pop(mid, None)
            if number is None:
                self._early.add(mid)
            else:
                self.acked.add(number)
        if self.on_acked is not None:
            self.on_acked()
        self._room.release()

    async def finished(self, *, within_s: float = 30.0) -> None:
        await eventually("everything is acknowledged", lambda: len(self.acked) >= self.total, within_s=within_s)

    def stop(self) -> None:
        """Publish nothing more; what is in flight may still be acknowledged until `close`."""
        self._stop.set()
        self._thread.join()

    def close(self) -> None:
        self.stop()
        self._client.disconnect()
        self._client.loop_stop()


class Upstream:
    """A subscriber at the upstream broker, with a session of its own so that it misses nothing."""

    def __init__(
        self, port: int, *, topic: str = "#", client_id: str = "upstream-log", login: tuple[str, str] | None = None
    ) -> None:
        self.arrived: list[dict[str, Any]] = []  # envelopes in order of arrival
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, protocol=paho.MQTTv311
        )
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._port = port

    def start(self) -> None:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/status"):
            return  # what an uplink says of itself is no event
        envelope = json.loads(message.payload)
        self.arrived.extend(envelope if isinstance(envelope, list) else [envelope])

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    # -- the oracle of FAULTS.md ------------------------------------------------------------------------------------

    def events(self) -> list[dict[str, Any]]:
        return [one for one in list(self.arrived) if one["type"] == "fieldgate.generic"]

    def numbers(self, device: str) -> list[int]:
        """The device's message numbers in order of arrival, repeats included."""
        return [one["data"]["n"] for one in self.events() if one["data"]["device_"] == device]

    def missing(self, publishers: Iterable[Publisher]) -> dict[str, list[int]]:
        lost = {one.name: sorted(one.acked - set(self.numbers(one.name)))[:10] for one in publishers}
        return {name: numbers for name, numbers in lost.items() if numbers}

    def same_id_other_data(self) -> list[str]:
        seen: dict[str, str] = {}
        return [
            one["id"]
            for one in list(self.arrived)
            if seen.setdefault(one["id"], json.dumps(one, sort_keys=True)) != json.dumps(one, sort_keys=True)
        ]

    def out_of_order(self) -> list[tuple[str, int, int]]:
        """Events whose id is first seen after a later one of the same device and run."""
        newest: dict[tuple[str, str], int] = defaultdict(int)
        seen: set[str] = set()
        late = []
        for one in self.events():
            if one["id"] in seen:
                continue
            seen.add(one["id"])
            run, seq = one["id"].split("-")[:2]
            key = (run, one["data"]["device_"])
            if int(seq) < newest[key]:
                late.append((key[1], int(seq), newest[key]))
            newest[key] = max(newest[key], int(seq))
        return late


def oracle(upstream: Upstream, publishers: Iterable[Publisher], *, ordered: bool = True) -> None:
    """P1, P2 and P3, as seen from outside."""
    assert upstream.missing(publishers) == {}, "acknowledged and lost"
    assert upstream.same_id_other_data() == []
    if ordered:
        assert upstream.out_of_order() == []
