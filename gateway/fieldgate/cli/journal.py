"""``fieldgate journal``: look into what is stored, take it out, check it, send it again.

Asks the running gateway; reads the files itself, without changing them, only when none is running.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fieldgate.cli.journal_source import answers
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.progress import Progress
from fieldgate.cli.words import count, size
from fieldgate.config import Config
from fieldgate.control import ControlError
from fieldgate.journal.export import export_file, json_line
from fieldgate_devices.files.quantities import format_size

__all__ = ["register"]

_MAX_TAIL: Final = 100_000

Since = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN", help="Only events since then: 90s, 15m, 1h, 7d, or a time (ISO 8601; UTC if it names no zone)."
    ),
]
Device = Annotated[str | None, typer.Option(metavar="GLOB", help="Only devices whose name matches this glob.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Look into the journal, export it, check it, replay from it.", no_args_is_help=True)
    app.add_typer(group, name="journal")
    group.command("stats")(stats)
    group.command("tail", short_help="Print the newest stored events.")(tail)
    group.command("export", short_help="Copy stored events into SQLite or JSON lines.")(export)
    group.command("verify", short_help="Read every block and check every checksum.")(verify)
    group.command("replay", short_help="Send kept events again, under their old ids.")(replay)


def stats(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print sizes, counts and what was lost."""
    facts = _one(written_config(config).config, {"do": "journal.stats"})
    if as_json:
        typer.echo(json.dumps(facts))
        return
    aside = f"   {size(facts['set_aside_bytes'])} set aside" if facts["set_aside_bytes"] else ""
    typer.echo(
        f"epoch {facts['epoch']}   {size(facts['bytes'])} of {format_size(facts['max_bytes'])}   "
        f"{size(facts['used_bytes'])} in use   {size(facts['wal_bytes'])} in the log{aside}"
    )
    for lane, one in facts["lanes"].items():
        span = f"{one['first']} … {one['last']}" if one["events"] else "empty"
        typer.echo(
            f"{lane:<7} {one['events']:>12,} events {one['blocks']:>9,} blocks {size(one['bytes']):>10}   {span}"
        )
    for row in facts["ledger"]:
        whom = row["uplink"] or "the first uplink"
        typer.echo(
            f"lost    {count(row['events'], 'event')} for {whom}: {row['reason']} "
            f"({row['lane']} {row['first']} … {row['last']}, {row['time']})"
        )
    for uplink, parked in facts["parked"].items():
        typer.echo(f"parked  {count(parked['events'], 'event')} for {uplink}   {size(parked['bytes'])}")
    for note in facts.get("notes", ()):
        typer.echo(f"note    {note}")


def tail(
    number: Annotated[
        int,
        typer.Option(
            "-n", "--count", metavar="N", min=1, max=_MAX_TAIL, help="How many of the newest; all is an export."
        ),
    ] = 10,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as events are stored.")] = False,
    device: Device = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest stored events; delivered ones are stored only with journal.keep.

    Columns: time, id, lane, device, data. A time with '?' is that of a clock that was not set.
    """
    request = {"do": "journal.tail", "count": number, "follow": follow, "device": device}
    asyncio.run(_print_events(answers(written_config(config).config, request), as_json=as_json, at_once=True))


def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="FILE.db (SQLite), FILE.jsonl, or - for JSON lines on stdout.")
    ],
    since: Since = None,
    device: Device = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy stored events into a plain SQLite database (tables events, ledger) or into JSON lines.

    The database is for any tool: sqlite-utils rows FILE.db events --limit 5. FILE must not exist yet.
    """
    request = {"do": "journal.read", "since": since, "device": device}
    loaded = written_config(config).config
    if str(file) == "-":
        asyncio.run(_print_events(answers(loaded, request), as_json=True, at_once=False))
        return
    written = asyncio.run(_export(loaded, request, file, is_quiet=as_json))
    if as_json:
        typer.echo(json.dumps({"file": str(file), "events": written}))
    else:
        typer.echo(f"{count(written, 'event')} in {file}", err=True)


def verify(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Read every block and check the chain, each checksum and each count; ends with 1 when anything is wrong.

    Also holds the account of each uplink against the disk: what is pending for it must be stored for it.
    """
    facts = _one(written_config(config).config, {"do": "journal.verify"})
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        for problem in facts["problems"]:
            typer.echo(problem)
        verdict = "sound" if facts["sound"] else count(len(facts["problems"]), "problem")
        typer.echo(
            f"{verdict}: {count(facts['blocks'], 'block')}, {count(facts['events'], 'event')}, "
            f"{facts['removed_blocks']:,} removed"
        )
        for one in facts["accounts"] or ():
            whom = f"uplink {one['uplink']}" if one["uplink"] else "the first uplink"
            typer.echo(f"{whom}: {one['pending']:,} pending by its account, {one['stored']:,} stored for it")
            if one["parked"]:
                typer.echo(f"{whom}: {one['parked']:,} parked by its account, {one['parked_kept']:,} kept")
        if facts["accounts"] is None:
            typer.echo("accounts: not compared, too much is stored for that; stop the gateway to compare them")
    raise typer.Exit(0 if facts["sound"] else 1)


def replay(
    since: Since = None,
    uplink: Annotated[
        str | None, typer.Option(metavar="NAME", help="To this uplink; not needed when there is only one.")
    ] = None,
    device: Device = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send kept events again under their old ids, past decode and rules; needs the running gateway and journal.keep."""
    request = {"do": "journal.replay", "since": since, "uplink": uplink, "device": device}
    last = asyncio.run(_replay(written_config(config).config, request, is_quiet=as_json))
    typer.echo(json.dumps(last) if as_json else f"{count(last['arrived'], 'event')} sent again to {last['uplink']}")


def _one(config: Config, request: dict[str, Any]) -> dict[str, Any]:
    """Return the single object that answers ``request``."""

    async def first() -> dict[str, Any]:
        async for item in answers(config, request):
            return item
        raise ControlError("the gateway answered nothing")

    return asyncio.run(first())


async def _print_events(events: AsyncIterator[dict[str, Any]], *, as_json: bool, at_once: bool) -> None:
    """Write each event; ``at_once``, because somebody watches, who is told if there is none."""
    is_empty = True
    async for event in events:
        is_empty = False
        line = json_line(event) if as_json else f"{_for_people(event)}\n".encode(errors="backslashreplace")
        sys.stdout.buffer.write(line)
        if at_once:
            sys.stdout.buffer.flush()
    sys.stdout.buffer.flush()
    if is_empty and at_once and not as_json:
        typer.echo("nothing is stored: what is delivered is not kept without journal.keep", err=True)


def _for_people(event: dict[str, Any]) -> str:
    data = event["data"] if event["is_json"] else f"base64:{event['data']}"
    mark = "?" if event["timequality"] == "unsynced" else ""
    return f"{event['time']}{mark}  {event['id']}  {event['lane']:<6}  {event['device']}  {' '.join(data.splitlines())}"


async def _export(config: Config, request: dict[str, Any], file: Path, *, is_quiet: bool) -> int:
    progress = Progress(is_quiet=is_quiet)
    written = 0
    with export_file(file) as target:
        async for event in answers(config, request):
            target.write(event)
            written += 1
            if written % 1000 == 0:
                progress.tell(f"{written:,} events …")
        async for facts in answers(config, {"do": "journal.stats"}):
            target.finish(facts["ledger"])
    return written


async def _replay(config: Config, request: dict[str, Any], *, is_quiet: bool) -> dict[str, Any]:
    progress = Progress(is_quiet=is_quiet)
    last: dict[str, Any] = {}
    async for last in answers(config, request):
        waits = "" if last["state"] in ("connected", "ready") else f" (waiting: {last['state']}, {last['reason']})"
        progress.tell(f"{last['arrived']:,} of {last['sent']:,} …{waits}")
    return last
