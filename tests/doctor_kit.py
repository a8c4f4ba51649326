"""A way to a server to be examined, and findings to be compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fieldgate.config.uplink import UplinkConfig
from fieldgate.config.webhook import WebhookConfig
from fieldgate.doctor.broker_checks import BrokerWishes
from fieldgate.doctor.catalogue import CATALOGUE
from fieldgate.doctor.far_side_checks import FarSideVisit, examine_far_side
from fieldgate.doctor.finding import Finding, Level

__all__ = ["answering", "bad", "by_id", "ids", "walk_to", "webhook_way"]


def ids(findings: Iterable[Finding]) -> list[str]:
    return [finding.id for finding in findings]


def bad(findings: Iterable[Finding]) -> list[str]:
    """Those that a person must do something about."""
    return [one.id for one in findings if CATALOGUE[one.id].level in (Level.WARNING, Level.ERROR)]


def by_id(findings: Iterable[Finding], wanted: str) -> Finding:
    """The one finding with this id."""
    found = list(findings)
    (one,) = [finding for finding in found if finding.id == wanted] or [None]
    assert one is not None, ids(found)
    return one


async def walk_to(
    mqtt: dict[str, Any], *, is_clock_set: bool = True, left_out: Iterable[str] = (), **wishes: Any
) -> list[Finding]:
    """Go the way of an uplink with these settings."""
    config = UplinkConfig.model_validate({"mqtt": {"connect_timeout": "20s", **mqtt}}).broker
    visit = FarSideVisit(
        "uplink cloud", config, config, BrokerWishes(window=1000, **wishes), left_out=frozenset(left_out)
    )
    return await examine_far_side(visit, is_clock_set=is_clock_set)


async def webhook_way(settings: dict[str, Any]) -> list[Finding]:
    """Go the way of a webhook."""
    return await examine_far_side(
        FarSideVisit("uplink alerts", WebhookConfig.model_validate(settings)), is_clock_set=True
    )


@asynccontextmanager
async def answering(
    speak: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server that says what ``speak`` says and waits for the other side to go; answers its port."""
    tasks: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await speak(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*filter(None, tasks))
