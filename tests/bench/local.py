"""The listener as a broker: a local subscriber to everything beside mosquitto's, and what an idle connection costs."""

from __future__ import annotations

import resource
import selectors
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.gateways import BRIDGE, Gateway, Setup
from bench.machine import rss_mb, usage_of
from bench.processes import BenchError, NotPossibleHere
from bench.scenarios import Bed, Meter, Record, measure_speed, summarize

__all__ = ["measure_connections", "measure_fanout"]

_PAIRS = 3
_QUEUE = "max_unsent: 256MiB"  # mosquitto runs without a limit too; by default a client so far behind is cut off
_SPARE_FILES = 200
_BATCH = 100


def measure_fanout(bed: Bed, setup: Setup) -> Record:
    """Publish at full speed with one ``#`` subscriber of QoS 1 at the gateway itself, forwarding as always.

    In turn: mosquitto (with its bridge), Fieldgate, and Fieldgate without the subscriber.
    """
    bridge, ours, alone = [], [], []
    for _ in range(_PAIRS):
        bridge.append(_fan_out(bed, BRIDGE))
        ours.append(_fan_out(bed, setup))
        alone.append(measure_speed(bed, setup))
    return {
        "events": bed.volume.events,
        "rate": _median(ours, "rate"),
        "bridge_rate": _median(bridge, "rate"),
        "rate_ratio": round(statistics.median(_pairwise(ours, bridge, "rate")), 2),
        "ack_ratio": round(statistics.median(_pairwise(ours, bridge, "ack_rate")), 2),
        "kept_ratio": round(statistics.median(_pairwise(ours, alone, "ack_rate")), 2),
        "cpu_us": _median(ours, "cpu_us_per_event"),
        "bridge_cpu_us": _median(bridge, "cpu_us_per_event"),
        "missing": sum(int(str(record["missing"])) for record in (*ours, *bridge)),
        "duplicates": sum(int(str(record["duplicates"])) for record in (*ours, *bridge)),
        "disorder": sum(int(str(record["disorder"])) for record in (*ours, *bridge)),
    }


def _fan_out(bed: Bed, setup: Setup) -> Record:
    with bed.pair_up(setup, limits=_QUEUE) as (_, gateway, folder):
        before = Meter.read(gateway.pid, folder)
        sink = bed.load.sink(gateway.port, n=bed.volume.events)
        sink.wait_ready()
        volume = bed.volume
        sent = bed.load.send(gateway.port, n=volume.events, c=volume.connections, w=volume.window).result()
        got = sink.result()
        return {**summarize(sent, got), **Meter.read(gateway.pid, folder).per_event_since(before, volume.events)}


def _median(records: list[Record], key: str) -> float:
    return statistics.median(float(str(record[key])) for record in records)


def _pairwise(ours: list[Record], others: list[Record], key: str) -> list[float]:
    return [float(str(one[key])) / float(str(other[key])) for one, other in zip(ours, others, strict=True)]


def measure_connections(bed: Bed, setup: Setup, *, count: int) -> Record:
    """Open idle connections, each with its own client id; then let a device publish among them."""
    _allow_files(count + _SPARE_FILES)
    limits = f"max_clients: {count + 100}, max_clients_per_address: {count + 100}"
    with bed.folder() as folder:
        gateway = Gateway(setup, place=bed.place, folder=folder, upstream_port=1, limits=limits)
        with gateway.running():
            time.sleep(1)
            rss_before = rss_mb(gateway.pid)
            begun = time.monotonic()
            with _connected(gateway.port, count):
                connect_s = time.monotonic() - begun
                time.sleep(1)
                rss_after = rss_mb(gateway.pid)
                before = usage_of(gateway.pid)
                time.sleep(5)
                cpu_percent = round(usage_of(gateway.pid).since(before).cpu_s / 5 * 100, 1)
                sent = bed.load.send(gateway.port, n=10_000, c=4, w=100).result()
    if sent["acked"] != 10_000:
        raise BenchError(f"only {sent['acked']} of 10000 events were acknowledged beside idle connections")
    return {
        "count": count,
        "kb_per_connection": round((rss_after - rss_before) * 1e3 / count, 2),
        "connects_per_s": round(count / connect_s),
        "idle_cpu_percent": cpu_percent,
        "rss_mb": rss_after,
    }


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise NotPossibleHere(f"{count} open files are needed and {hard} allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


@contextmanager
def _connected(port: int, count: int) -> Iterator[None]:
    """Hold that many connections open, each after its CONNACK."""
    with ExitStack() as stack:
        for first in range(0, count, _BATCH):
            batch = [stack.enter_context(_connect(port, number)) for number in range(first, first + _BATCH)]
            with selectors.DefaultSelector() as waiting:
                for one in batch:
                    waiting.register(one, selectors.EVENT_READ)
                while waiting.get_map():
                    ready = waiting.select(timeout=30)
                    if not ready:
                        raise BenchError(f"no CONNACK within 30 s at {first} connections")
                    for key, _ in ready:
                        if key.fileobj.recv(4)[:2] != b"\x20\x02":  # type: ignore[union-attr]
                            raise BenchError(f"a connection was refused at {first}")
                        waiting.unregister(key.fileobj)
        yield


def _connect(port: int, number: int) -> socket.socket:
    client_id = b"idle-%05d" % number
    connect = b"\x00\x04MQTT\x04\x02\x02\x58" + len(client_id).to_bytes(2, "big") + client_id  # keep-alive 600 s
    one = socket.create_connection(("127.0.0.1", port), 10)
    one.sendall(b"\x10" + bytes([len(connect)]) + connect)
    return one
