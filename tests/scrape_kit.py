"""The metrics' port with a client that reads it, and readers of both formats by other people."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from fieldgate.config.metrics import MetricsConfig
from fieldgate.observe.metric import Dialect, Sample
from fieldgate.scrape.listener import MetricsListener
from fieldgate.supervisor import keep_alive
from http_kit import HttpClient

__all__ = ["OPENMETRICS", "get", "promtool", "scraping", "series"]

OPENMETRICS = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def get(*headers: str, path: str = "/metrics", method: str = "GET", host: str = "127.0.0.1") -> bytes:
    """One request; ``headers`` are whole lines."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode("latin-1")


def series(text: str, dialect: Dialect = "text") -> Series:
    """Every value by the name and the labels of its series, as Prometheus' own library reads them."""
    families = (read_openmetrics if dialect == "openmetrics" else read_text)(text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def promtool() -> str | None:
    """Prometheus' own checker, if it is here."""
    beside = Path(sys.executable).with_name("promtool")
    return str(beside) if beside.exists() else shutil.which("promtool")


@asynccontextmanager
async def scraping(collect: Callable[[], Awaitable[list[Sample]]], **settings: Any) -> AsyncIterator[MetricsListener]:
    """A running port; ``settings`` are those of ``metrics``."""
    config = MetricsConfig.model_validate({"listen": "127.0.0.1:0"} | settings)
    listener = MetricsListener(config, collect)
    answering = keep_alive("answer", listener.answer, rng=random.Random(1), problems={})
    async with asyncio.TaskGroup() as tasks:
        parts = [tasks.create_task(listener.run(), name="metrics"), tasks.create_task(answering, name="answer")]
        async with asyncio.timeout(20):
            await listener.started.wait()
        try:
            yield listener
        finally:
            for part in parts:
                part.cancel()
            await HttpClient.close_all()
