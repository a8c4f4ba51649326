"""What makes and exports spans, made from the configuration; nothing of it is loaded where there is no collector."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from fieldgate import clock
from fieldgate.config import Config
from fieldgate.forward.uplink import Feed
from fieldgate.journal.keeper import Keeper

if TYPE_CHECKING:
    from fieldgate.observe.span_export import SpanExport
    from fieldgate.observe.tracing import Tracer

__all__ = ["make_tracing", "traced"]


def make_tracing(config: Config, keeper: Keeper, *, run: int) -> tuple[Tracer | None, SpanExport | None]:
    """Make what makes spans, and hears of every commit, and what exports them; none without a collector."""
    tracing = config.tracing
    if tracing.otlp is None:
        return None, None
    from fieldgate.observe.otlp import OtlpCollector
    from fieldgate.observe.span_export import SpanExport
    from fieldgate.observe.tracing import Tracer

    collector = OtlpCollector(
        f"{tracing.otlp.reveal().rstrip('/')}/v1/traces",
        gateway=config.gateway.id,
        headers={name: value.reveal() for name, value in tracing.headers.items()},
        ca=tracing.ca,
    )
    spans = SpanExport(collector, place=tracing.otlp.written)
    tracer = Tracer(
        spans,
        sample=tracing.sample,
        rate_per_s=tracing.rate,
        run=run,
        rng=random.Random(),
        boot_ns=clock.boot_ns,
        wall_ns=clock.wall_ns,
    )
    keeper.on_stored = lambda job: tracer.stored(
        event for entries in job.lanes.values() for _, events in entries for event in events
    )
    return tracer, spans


def traced(feed: Feed, tracer: Tracer, uplink: str) -> Feed:
    """Put between an uplink and its feed what notes when events leave."""
    from fieldgate.forward.traced_feed import TracedFeed

    return TracedFeed(feed, tracer, uplink=uplink)
