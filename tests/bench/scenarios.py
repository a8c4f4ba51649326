"""The scenarios in which the bridge and Fieldgate do the same work: full speed, fixed rate, and the upstream's ceiling.

Each call is one run with a fresh upstream, a fresh gateway and an empty state folder; it returns one flat record.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cpu_limit import cpu_limited
from bench.gateways import Gateway, Place, Setup, Upstream
from bench.machine import Usage, device_bytes_written, rss_mb, usage_of
from bench.processes import Load, Sent, Sunk

__all__ = [
    "CLOUDEVENTS_TOPIC",
    "Bed",
    "Meter",
    "Record",
    "Volume",
    "measure_ceiling",
    "measure_latency",
    "measure_limited",
    "measure_speed",
    "per_s",
    "summarize",
]

Record = dict[str, object]

CLOUDEVENTS_TOPIC = "fieldgate/bench/d%03d/sensor"


@dataclass(frozen=True, slots=True)
class Volume:
    """How much load a run gets."""

    events: int = 200_000
    stored: int = 100_000
    seconds: float = 30
    connections: int = 4
    window: int = 100


@dataclass(frozen=True, slots=True)
class Bed:
    """What every run stands on."""

    place: Place
    load: Load
    volume: Volume

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Provide an empty folder on the disk under test, for one run."""
        path = Path(tempfile.mkdtemp(prefix="run-", dir=self.place.work))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def pair_up(self, setup: Setup, *, limits: str = "") -> Iterator[tuple[Upstream, Gateway, Path]]:
        """Run an upstream and a gateway that forwards to it; ready when a message came through."""
        with self.folder() as folder, Upstream(place=self.place, folder=folder).running() as upstream:
            gateway = Gateway(setup, place=self.place, folder=folder, upstream_port=upstream.port, limits=limits)
            with gateway.running():
                self.load.wait_until_through(gateway.port, upstream.port)
                yield upstream, gateway, folder


@dataclass(frozen=True, slots=True)
class Meter:
    """Counters of a gateway and its disk at one moment."""

    usage: Usage
    device_bytes: int | None

    @classmethod
    def read(cls, pid: int, folder: Path) -> Meter:
        """Read them now."""
        return cls(usage=usage_of(pid), device_bytes=device_bytes_written(folder))

    def per_event_since(self, before: Meter, events: int) -> Record:
        """Return what each of ``events`` has cost since ``before``."""
        used = self.usage.since(before.usage)
        device: float | None = None
        if self.device_bytes is not None and before.device_bytes is not None:
            device = round((self.device_bytes - before.device_bytes) / events, 1)
        return {
            "cpu_us_per_event": round(used.cpu_s * 1e6 / events, 2),
            "flash_bytes_per_event": round(used.written_bytes / events, 1),
            "device_bytes_per_event": device,
        }


def measure_speed(bed: Bed, setup: Setup) -> Record:
    """Publish as fast as PUBACKs allow; rates, CPU, flash and memory."""
    with bed.pair_up(setup) as (upstream, gateway, folder):
        return _drive(bed, upstream, gateway, folder, events=bed.volume.events)


def measure_latency(bed: Bed, setup: Setup, *, rate: float, seconds: float) -> Record:
    """Publish on an open-loop schedule; time from when an event was due to its arrival at the sink."""
    with bed.pair_up(setup) as (upstream, gateway, folder):
        return _drive(bed, upstream, gateway, folder, events=int(rate * seconds), r=rate)


def measure_limited(bed: Bed, setup: Setup, *, share: float) -> Record:
    """Publish as fast as a gateway with ``share`` of one core acknowledges."""
    with bed.pair_up(setup) as (upstream, gateway, folder), cpu_limited(gateway.pid, share=share):
        return _drive(bed, upstream, gateway, folder, events=bed.volume.events)


def _drive(
    bed: Bed, upstream: Upstream, gateway: Gateway, folder: Path, *, events: int, **send_options: float
) -> Record:
    """Run one load through a gateway and return what came of it."""
    rss_idle = rss_mb(gateway.pid)
    before, upstream_before = Meter.read(gateway.pid, folder), usage_of(upstream.pid)
    sink = bed.load.sink(upstream.port, n=events)
    sink.wait_ready()
    sending = bed.load.send(gateway.port, n=events, c=bed.volume.connections, w=bed.volume.window, **send_options)
    sent, got = sending.result(), sink.result()
    after, upstream_after = Meter.read(gateway.pid, folder), usage_of(upstream.pid)
    record: Record = {"events": events, **summarize(sent, got), **after.per_event_since(before, events)}
    record["upstream_cpu_us_per_event"] = round((upstream_after.cpu_s - upstream_before.cpu_s) * 1e6 / events, 2)
    record["rss_idle_mb"], record["rss_peak_mb"] = rss_idle, rss_mb(gateway.pid, peak=True)
    record["load_average"] = os.getloadavg()[0]
    return record


def measure_ceiling(bed: Bed, *, payload_bytes: int, topic: str) -> Record:
    """Publish straight into the upstream: what it can take at best, with packets of this size."""
    with bed.folder() as folder, Upstream(place=bed.place, folder=folder).running() as upstream:
        events = bed.volume.events
        sink = bed.load.sink(upstream.port, n=events)
        sink.wait_ready()
        volume = bed.volume
        sending = bed.load.send(
            upstream.port, n=events, c=volume.connections, w=volume.window, b=payload_bytes, f=topic
        )
        sent, got = sending.result(), sink.result()
        return {"events": events, "sent_payload_bytes": payload_bytes, **summarize(sent, got)}


def summarize(sent: Sent, got: Sunk) -> Record:
    """Join what the sender and the sink say into one flat record."""
    arrived = got["main"]
    return {
        "rate": round(per_s(got["unique"], sent["start_us"], arrived["last_us"])),
        "ack_rate": round(per_s(sent["acked"], sent["start_us"], sent["last_ack_us"])),
        "acked": sent["acked"],
        "ack_disorder": sent["ack_disorder"],
        "arrived": got["unique"],
        "missing": got["missing"],
        "duplicates": got["duplicates"],
        "disorder": got["disorder"],
        "packets": got["packets"],
        "payload_bytes": round(got["payload_bytes"] / max(1, got["packets"]), 1),
        "latency_p50_ms": arrived["latency_p50_ms"],
        "latency_p95_ms": arrived["latency_p95_ms"],
        "latency_p99_ms": arrived["latency_p99_ms"],
        "latency_max_ms": arrived["latency_max_ms"],
        "ack_p50_ms": sent["ack_p50_ms"],
        "ack_p99_ms": sent["ack_p99_ms"],
    }


def per_s(count: int, start_us: int, end_us: int) -> float:
    """Return a rate; 0 for an empty span."""
    return count * 1e6 / (end_us - start_us) if end_us > start_us else 0.0
