"""The scenarios that only a gateway with a journal can run: drain, flash, memory and start.

Each call is one run on an empty state folder and returns one flat record.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from bench.gateways import BRIDGE, Gateway, Setup, Upstream
from bench.machine import connections_to, load_clock_us, rss_mb
from bench.processes import BenchError
from bench.scenarios import Bed, Meter, Record, per_s, summarize

__all__ = [
    "measure_backlog_memory",
    "measure_drain",
    "measure_flash_down",
    "measure_flash_up",
    "measure_idle",
    "measure_memory",
    "measure_start",
]

SESSION = "bench-sink"
RECONNECT_WITHIN_S = 90
DAY_S = 86_400


def measure_drain(bed: Bed, setup: Setup, *, live_rate: float = 0) -> Record:
    """Store events while the upstream is away, bring it back, time the backlog.

    With ``live_rate`` new events come meanwhile. The rate counts from the gateway's TCP connection to the last
    stored event at the sink; the wait for the reconnect is told apart. The live rate to compare with is measured just
    before, on the same gateway.
    """
    stored, place = bed.volume.stored, bed.place
    with bed.folder() as folder, Upstream(place=place, folder=folder, is_durable=True).running() as upstream:
        gateway = Gateway(setup, place=place, folder=folder, upstream_port=upstream.port)
        with gateway.running():
            bed.load.wait_until_through(gateway.port, upstream.port)
            before = _run_through(bed, gateway, upstream, events=stored)
            bed.load.sink(upstream.port, n=1, C=SESSION, t=0.2).result()  # leaves a persistent session behind
            upstream.stop()
            rss_before = rss_mb(gateway.pid)
            offline = bed.load.send(gateway.port, n=stored, c=bed.volume.connections, w=bed.volume.window).result()
            rss_stored = rss_mb(gateway.pid)
            drain_s = stored / max(1.0, float(str(before["rate"])))  # about as long as the drain should take
            live = round(live_rate * drain_s)
            sink = bed.load.sink(
                upstream.port, n=stored + live, S=stored, C=SESSION, i=RECONNECT_WITHIN_S, t=2 * RECONNECT_WITHIN_S
            )
            up_us = load_clock_us()
            upstream.launch()
            connected_us = _await_connections(upstream, count=2)  # the sink's and the gateway's
            if live:
                sink.wait_ready()
                sink.wait_first()
                bed.load.send(gateway.port, n=live, s=stored, r=live_rate, c=bed.volume.connections).result()
            got = sink.result()
    drained = got["main"]
    return {
        "events": stored,
        "live_events": live,
        "rate_before": before["rate"],
        "offline_ack_rate": round(per_s(offline["acked"], offline["start_us"], offline["last_ack_us"])),
        "drain_rate": round(per_s(drained["unique"], connected_us, drained["last_us"])),
        "connected_after_s": round((connected_us - up_us) / 1e6, 2),
        "first_after_s": round((drained["first_us"] - up_us) / 1e6, 2),
        "live_p50_ms": got["live"]["latency_p50_ms"],
        "live_p95_ms": got["live"]["latency_p95_ms"],
        "live_max_ms": got["live"]["latency_max_ms"],
        "missing": got["missing"],
        "duplicates": got["duplicates"],
        "disorder": got["disorder"],
        "rss_before_mb": rss_before,
        "rss_stored_mb": rss_stored,
    }


def _await_connections(upstream: Upstream, *, count: int) -> int:
    """Return the time on the load's clock at which the upstream has ``count`` connections."""
    deadline = time.monotonic() + RECONNECT_WITHIN_S
    while connections_to(upstream.port) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"the gateway did not reconnect within {RECONNECT_WITHIN_S} s")
        time.sleep(0.001)
    return load_clock_us()


def _run_through(bed: Bed, gateway: Gateway, upstream: Upstream, *, events: int) -> Record:
    """Send events at full speed through a gateway that is up already."""
    sink = bed.load.sink(upstream.port, n=events)
    sink.wait_ready()
    sent = bed.load.send(gateway.port, n=events, c=bed.volume.connections, w=bed.volume.window).result()
    return summarize(sent, sink.result())


def measure_flash_down(bed: Bed, setup: Setup, *, devices: int = 0) -> Record:
    """Write events to the journal while no upstream is there: ``devices`` at 1 Hz each, or (0) at full speed.

    ``to_stop`` adds what the stop writes: the checkpoint that a longer run would have made on its way.
    """
    with bed.folder() as folder:
        gateway = Gateway(setup, place=bed.place, folder=folder, upstream_port=1)  # nobody listens on port 1
        with gateway.running():
            _settle(bed, gateway)
            events = int(devices * bed.volume.seconds) if devices else bed.volume.events
            options = {"c": devices, "d": devices, "r": devices} if devices else {"c": 4, "w": bed.volume.window}
            before = Meter.read(gateway.pid, folder)
            sent = bed.load.send(gateway.port, n=events, t=bed.volume.seconds + 120, **options).result()
            after = Meter.read(gateway.pid, folder)
            written_in_life = gateway.stop()
    return {
        "events": events,
        "missing": events - sent["acked"],
        "ack_rate": round(per_s(sent["acked"], sent["start_us"], sent["last_ack_us"])),
        "ack_p50_ms": sent["ack_p50_ms"],
        "ack_p99_ms": sent["ack_p99_ms"],
        "flash_bytes_per_event_to_stop": round((written_in_life - before.usage.written_bytes) / events, 1),
        **after.per_event_since(before, events),
    }


def _settle(bed: Bed, gateway: Gateway) -> None:
    """Get one event acknowledged, so that start-up and the first file growth are behind the gateway."""
    bed.load.send(gateway.port, n=1, c=1, s=900_000_000).result()
    time.sleep(1)


def measure_flash_up(bed: Bed, setup: Setup, *, rate: float) -> Record:
    """Write nothing, hopefully: the upstream is up and acknowledges in time."""
    with bed.pair_up(setup) as (upstream, gateway, folder):
        time.sleep(1)
        events = int(rate * bed.volume.seconds)
        before = Meter.read(gateway.pid, folder)
        sink = bed.load.sink(upstream.port, n=events)
        sink.wait_ready()
        sent = bed.load.send(gateway.port, n=events, r=rate, t=bed.volume.seconds + 60).result()
        got = sink.result()
        after = Meter.read(gateway.pid, folder)
        return {"events": events, **summarize(sent, got), **after.per_event_since(before, events)}


def measure_idle(bed: Bed, setup: Setup) -> Record:
    """Do nothing with the upstream connected: memory, CPU and background writes."""
    with bed.pair_up(setup) as (_, gateway, folder):
        time.sleep(2)
        before = Meter.read(gateway.pid, folder)
        time.sleep(bed.volume.seconds)
        used = Meter.read(gateway.pid, folder).usage.since(before.usage)
        return {
            "seconds": bed.volume.seconds,
            "rss_idle_mb": rss_mb(gateway.pid),
            "cpu_percent": round(100 * used.cpu_s / bed.volume.seconds, 2),
            "written_mb_per_day": round(used.written_bytes / bed.volume.seconds * DAY_S / 1e6, 1),
        }


def measure_memory(bed: Bed, setup: Setup, *, events_per_min: int) -> Record:
    """Hold a steady rate and take the peak of the resident memory."""
    with bed.pair_up(setup) as (upstream, gateway, _):
        time.sleep(1)
        rss_idle = rss_mb(gateway.pid)
        rate = events_per_min / 60
        events = int(rate * bed.volume.seconds)
        sink = bed.load.sink(upstream.port, n=events)
        sink.wait_ready()
        sent = bed.load.send(gateway.port, n=events, r=rate, t=bed.volume.seconds + 60).result()
        got = sink.result()
        return {
            "events": events,
            "missing": got["missing"],
            "acked": sent["acked"],
            "rss_idle_mb": rss_idle,
            "rss_peak_mb": rss_mb(gateway.pid, peak=True),
        }


def measure_backlog_memory(bed: Bed, setup: Setup) -> Record:
    """Store a backlog, then twice as much on top: the second part must not cost memory."""
    with bed.folder() as folder:
        gateway = Gateway(setup, place=bed.place, folder=folder, upstream_port=1)
        with gateway.running():
            _settle(bed, gateway)
            rss = [_fill(bed, gateway, bed.volume.stored)]
            rss.append(_fill(bed, gateway, 2 * bed.volume.stored))
    return {"stored": 3 * bed.volume.stored, "rss_first_mb": rss[0], "rss_last_mb": rss[1]}


def _fill(bed: Bed, gateway: Gateway, events: int) -> float:
    """Store events at full speed; return the resident memory afterwards."""
    sent = bed.load.send(gateway.port, n=events, c=bed.volume.connections, w=bed.volume.window, t=3600).result()
    if sent["acked"] != events:
        raise BenchError(f"only {sent['acked']} of {events} events were acknowledged")
    return rss_mb(gateway.pid)


def measure_start(bed: Bed, setup: Setup, *, stored: int, repeats: int = 3) -> Record:
    """Time from exec until a CONNECT is answered, with ``stored`` events in the journal."""
    with bed.folder() as folder:
        gateway = Gateway(setup, place=bed.place, folder=folder, upstream_port=1)
        with gateway.running():
            if stored:
                _fill(bed, gateway, stored)
        times_s = []
        for _ in range(repeats):
            begun = time.monotonic()
            with gateway.running():
                times_s.append(time.monotonic() - begun)
                rss = rss_mb(gateway.pid)
        return {
            "stored": stored,
            "start_s": round(statistics.median(times_s), 3),
            "start_max_s": round(max(times_s), 3),
            "rss_mb": rss,
            "state_mb": _size_mb(folder / "state") if setup != BRIDGE else None,
        }


def _size_mb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)
