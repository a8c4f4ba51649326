"""``fieldgate parked``: events that an uplink's far side refused; look at them, send them again, drop them.

Asks the running gateway; ``list`` and ``show`` read the files themselves when none is running.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from typing import Annotated, Any, Final

import typer

from fieldgate.cli.journal_source import answers
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.words import age, count, dump, safe, size
from fieldgate.config import Config
from fieldgate.errors import FieldgateError

__all__ = ["register"]

_PROBLEM: Final = 1
_WRONG_USE: Final = 2

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As 'fieldgate parked list' prints them.")]
All = Annotated[bool, typer.Option("--all", help="All that are parked (of --uplink, if given).")]
Uplink = Annotated[str | None, typer.Option(metavar="NAME", help="Only what is parked for this uplink.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Events that a server refuses: look, send again, drop.", no_args_is_help=True)
    app.add_typer(group, name="parked")
    group.command("list")(list_parked)
    group.command("show", short_help="Print one parked event, and why it is parked.")(show)
    group.command("retry", short_help="Send parked events again, under their old ids.")(retry)
    group.command("drop", short_help="Give parked events up for good.")(drop)


def list_parked(uplink: Uplink = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print what is parked, the longest parked first.

    With --json one object a line.
    """
    found = _all(written_config(config).config, {"do": "parked.list", "uplink": uplink, "ids": None})
    if not as_json:
        _echo_table(found)
    else:
        for one in found:
            typer.echo(json.dumps(one))
    if not found and not as_json:
        typer.echo("nothing is parked", err=True)


def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="As 'fieldgate parked list' prints it.")],
    uplink: Uplink = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print one parked event: why, since when, and what it holds; whatever it holds cannot upset the terminal."""
    found = _all(written_config(config).config, {"do": "parked.show", "uplink": uplink, "ids": [event_id]})
    if not found:
        raise FieldgateError(f"no event {event_id!r} is parked; 'fieldgate parked list' prints those that are")
    for one in found:
        typer.echo(json.dumps(one) if as_json else _whole(one))


def retry(
    ids: Ids = None,
    everything: All = False,
    uplink: Uplink = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send parked events again under their old ids, marked as drained; what is refused again stays parked."""
    request = {"do": "parked.retry", "uplink": uplink, "ids": _chosen(ids, everything=everything)}
    (facts,) = _all(written_config(config).config, request)
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        for name, number in facts["retried"].items():
            waits = " once it is connected" if name in facts["waiting"] else ""
            typer.echo(f"{count(number, 'event')} sent again to {name}{waits}")
        if facts["already"]:
            typer.echo(f"{count(facts['already'], 'event')} on the way already")
        if not facts["retried"] and not facts["already"] and not facts["unknown"]:
            typer.echo("nothing is parked", err=True)
    _end(facts["unknown"])


def drop(
    ids: Ids = None,
    everything: All = False,
    uplink: Uplink = None,
    is_sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Give up parked events for good; the ledger keeps their number under 'dropped'."""
    loaded = written_config(config).config
    chosen = {"uplink": uplink, "ids": _chosen(ids, everything=everything)}
    if not is_sure:
        found = _all(loaded, {"do": "parked.list", **chosen})
        if found:
            typer.confirm(f"Drop {count(len(found), 'event')} for good?", abort=True, err=True)
    (facts,) = _all(loaded, {"do": "parked.drop", **chosen})
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        for name, number in facts["dropped"].items():
            typer.echo(f"{count(number, 'event')} dropped for {name}")
        if not facts["dropped"] and not facts["unknown"]:
            typer.echo("nothing is parked", err=True)
    _end(facts["unknown"])


def _chosen(ids: list[str] | None, *, everything: bool) -> list[str] | None:
    if everything == bool(ids):
        typer.echo("error: name the events (see 'fieldgate parked list') or write --all", err=True)
        raise typer.Exit(_WRONG_USE)
    return ids or None


def _end(unknown: list[str]) -> None:
    """What was asked for and is not there is a problem, after what could be done was done."""
    for event_id in unknown:
        typer.echo(f"error: no event {event_id!r} is parked", err=True)
    if unknown:
        raise typer.Exit(_PROBLEM)


def _all(config: Config, request: dict[str, Any]) -> list[dict[str, Any]]:
    async def gather() -> list[dict[str, Any]]:
        return [item async for item in answers(config, request)]

    return asyncio.run(gather())


_HEADS: Final = ("FOR", "UPLINK", "ID", "LANE", "TOPIC", "SIZE", "REASON")


def _echo_table(found: list[dict[str, Any]]) -> None:
    """A line for each, under what it is."""
    rows = [_HEADS, *map(_row, found)] if found else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    again = "  (sent again)" if one["retrying"] else ""
    shown = (age(one["parked_for_s"]), one["uplink"], one["id"], one["lane"], one["topic"])
    return tuple(map(safe, (*shown, size(one["payload_bytes"]), f"{one['reason']}{again}")))


def _whole(one: dict[str, Any]) -> str:
    heads = {
        "uplink": one["uplink"],
        "reason": one["reason"],
        "parked": f"{one['parked_at']}, for {age(one['parked_for_s'])}" + (", sent again" if one["retrying"] else ""),
        "id": one["id"],
        "device": one["device"],
        "type": one["type"],
        "topic": one["topic"],
        "lane": one["lane"],
        "time": one["time"] + ("" if one["timequality"] == "synced" else f" ({one['timequality']})"),
        "payload": size(one["payload_bytes"]),
    }
    lines = [f"{name + ':':<9} {safe(str(value))}" for name, value in heads.items()]
    if "raw_base64" in one:
        return "\n".join([*lines, "", dump(b64decode(one["raw_base64"]))])
    content = safe(one["data"], keep="\n\t") if one["is_json"] else dump(b64decode(one["data"]))
    return "\n".join([*lines, "", content])
