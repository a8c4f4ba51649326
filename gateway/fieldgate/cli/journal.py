"""``fieldgate journal``: look into what is stored, take it out, check it, send it again.

Asks the running gateway; opens the files itself only when none is running.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import sqlite_utils
import typer

from fieldgate import clock
from fieldgate.cli.options import AsJson, ConfigFile, usable_config
from fieldgate.config import Config
from fieldgate.control import ControlError, GatewayNotRunning, socket_path, stream
from fieldgate.errors import FieldgateError
from fieldgate.journal.history import (
    HistoryQuery,
    event_facts,
    history_step,
    stats_facts,
    verify_facts,
)
from fieldgate.journal.journal import Journal

__all__ = ["register"]

_BATCH = 1_000
_PROGRESS_EVERY = 10_000

Since = Annotated[str | None, typer.Option(help="Only events since then: 90s, 15m, 1h, 7d, or an ISO 8601 time.")]
Device = Annotated[str | None, typer.Option(help="Only devices that match this glob.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Look into the journal, export it, check it, replay from it.", no_args_is_help=True)
    app.add_typer(group, name="journal")
    group.command("stats")(stats)
    group.command("tail")(tail)
    group.command("export")(export)
    group.command("verify")(verify)
    group.command("replay")(replay)


def stats(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print sizes, counts and what was lost, from the running gateway or from the stopped one's files."""
    facts = _one(usable_config(config).config, {"do": "journal.stats"})
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(
        f"epoch {facts['epoch']}   {facts['bytes']:,} bytes of {facts['max_bytes']:,}   {facts['used_bytes']:,} in use"
    )
    for lane, one in facts["lanes"].items():
        span = f"{one['first']} … {one['last']}" if one["events"] else "empty"
        typer.echo(
            f"{lane:<7} {one['events']:>12,} events {one['blocks']:>9,} blocks {one['bytes']:>14,} bytes   {span}"
        )
    for row in facts["ledger"]:
        whom = row["uplink"] or "every uplink"
        typer.echo(f"lost    {row['events']:,} events for {whom}: {row['reason']} ({row['first']} … {row['last']})")


def tail(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many of the newest.")] = 10,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as events are stored.")] = False,
    device: Device = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest stored events; delivered ones are stored only at level journal or with journal.keep."""
    request = {"do": "journal.tail", "count": count, "follow": follow, "device": device}
    asyncio.run(_print_events(usable_config(config).config, request, as_json=as_json))


def export(
    file: Annotated[Path, typer.Argument(help="FILE.db (SQLite), FILE.jsonl, or - for JSON lines on stdout.")],
    since: Since = None,
    device: Device = None,
    config: ConfigFile = None,
) -> None:
    """Copy stored events into a plain SQLite database (table events) or into JSON lines."""
    request = {"do": "journal.read", "since": since, "device": device}
    loaded = usable_config(config).config
    if str(file) == "-":
        asyncio.run(_print_events(loaded, request, as_json=True))
        return
    if file.exists():
        raise ControlError(f"{file} exists; export to a new file")
    count = asyncio.run(_export(loaded, request, file))
    typer.echo(f"{count:,} events in {file}", err=True)


def verify(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Read every block and check the chain, every checksum and every count; exit code 1 when anything is wrong."""
    facts = _one(usable_config(config).config, {"do": "journal.verify"})
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        for problem in facts["problems"]:
            typer.echo(problem)
        verdict = "sound" if facts["sound"] else f"{len(facts['problems'])} problems"
        typer.echo(
            f"{verdict}: {facts['blocks']:,} blocks, {facts['events']:,} events, {facts['removed_blocks']:,} removed"
        )
    raise typer.Exit(0 if facts["sound"] else 1)


def replay(
    since: Since = None,
    uplink: Annotated[str | None, typer.Option(help="To this uplink; not needed when there is only one.")] = None,
    device: Device = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send kept events again under their old ids, past decode and rules; needs the running gateway."""
    request = {"do": "journal.replay", "since": since, "uplink": uplink, "device": device}
    last = asyncio.run(_replay(usable_config(config).config, request, is_quiet=as_json))
    typer.echo(json.dumps(last) if as_json else f"{last['arrived']:,} events sent again to {last['uplink']}")


def _one(config: Config, request: dict[str, Any]) -> dict[str, Any]:
    """Return the single object that answers ``request``."""

    async def first() -> dict[str, Any]:
        async for item in _answer(config, request):
            return item
        raise ControlError("the gateway answered nothing")

    return asyncio.run(first())


async def _answer(config: Config, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Ask the running gateway; without one, read the files."""
    folder = config.journal.path
    try:
        async for item in stream(socket_path(folder), request):
            yield item
        return
    except GatewayNotRunning:
        pass
    if not folder.is_dir():
        raise ControlError(f"{folder}: there is no journal yet; it is made when the gateway first runs")
    with closing(_open_stopped(config)) as journal:
        if request["do"] == "journal.stats":
            yield stats_facts(journal)
        elif request["do"] == "journal.verify":
            yield verify_facts(journal)
        else:
            for item in _read_stopped(journal, config, request):
                yield item


def _open_stopped(config: Config) -> Journal:
    return Journal.open(
        config.journal.path,
        run=0,
        os_boot=clock.os_boot_id(),
        gateway=config.gateway.id,
        boot_ns=clock.boot_ns(),
        wall_ns=clock.wall_ns(),
        max_size_bytes=config.journal.max_size_bytes,
    )


def _read_stopped(journal: Journal, config: Config, request: dict[str, Any]) -> list[dict[str, Any]]:
    query = HistoryQuery.of(request, now_wall_ns=clock.wall_ns())
    if request["do"] == "journal.tail":
        newest = max((lane.last_seq or 0 for lane in journal.stats().lanes), default=0)
        query = HistoryQuery(after_seq=max(0, newest - int(request["count"])), device=request["device"])
    items: list[dict[str, Any]] = []
    position = None
    while True:
        step = history_step(journal, query=query, position=position)
        position = step.position
        items.extend(event_facts(event, gateway=config.gateway.id) for event in step.events)
        if position is None:
            return items


async def _print_events(config: Config, request: dict[str, Any], *, as_json: bool) -> None:
    async for item in _answer(config, request):
        if as_json:
            sys.stdout.write(json.dumps(item, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(f"{item['time']}  {item['id']}  {item['lane']:<6}  {item['device']}  {item['data']}\n")
        sys.stdout.flush()


async def _export(config: Config, request: dict[str, Any], file: Path) -> int:
    """Write to a file beside it first, so that an export that was cut short never looks complete."""
    count = 0
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    database = sqlite_utils.Database(part) if file.suffix in (".db", ".sqlite", ".sqlite3") else None
    lines = None if database is not None else part.open("w", encoding="utf-8")
    try:
        async for item in _answer(config, request):
            count += 1
            if lines is not None:
                lines.write(json.dumps(item, ensure_ascii=False) + "\n")
            else:
                rows.append(item)
            if database is not None and len(rows) >= _BATCH:
                database.table("events").insert_all(rows, pk="id", alter=True)
                rows = []
            if count % _PROGRESS_EVERY == 0:
                typer.echo(f"{count:,} events …", err=True)
        if database is not None:
            database.table("events").insert_all(rows, pk="id", alter=True)
            if count:
                database.table("events").create_index(["device", "time"])
    finally:
        if lines is not None:
            lines.close()
        if database is not None:
            database.close()
    part.rename(file)
    return count


async def _replay(config: Config, request: dict[str, Any], *, is_quiet: bool) -> dict[str, Any]:
    last: dict[str, Any] = {}
    try:
        async for last in stream(socket_path(config.journal.path), request):
            if not is_quiet:
                typer.echo(f"{last['arrived']:,} of {last['sent']:,} …", err=True)
    except GatewayNotRunning as error:
        raise FieldgateError(f"{error}; a replay needs the running gateway") from error
    return last
