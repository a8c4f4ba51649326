"""``fieldgate commands``: what was told to devices, by whom, and what became of it.

Asks the running gateway; reads the file itself when none is running.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import typer

from fieldgate import clock
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.words import safe
from fieldgate.config import Config
from fieldgate.control import GatewayNotRunning, socket_path, stream
from fieldgate.decide.order_book import decode_row
from fieldgate.decide.order_facts import RowQuery, row_facts
from fieldgate.errors import FieldgateError
from fieldgate.journal.command_file import stored_commands
from fieldgate.journal.history import HistoryQuery

__all__ = ["register"]

_STATUSES: Final = ("received", "started", "accepted", "refused", "done", "timeout", "unknown")
_WRONG_USE: Final = 2


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("commands", short_help="Print what devices were told, and what became of it.")
    def commands(
        device: Annotated[
            str | None, typer.Option(metavar="GLOB", help="Only those to devices with such a name.")
        ] = None,
        since: Annotated[
            str | None, typer.Option(metavar="WHEN", help="Only those since then: 90s, 15m, 1h, 7d, or a time.")
        ] = None,
        status: Annotated[
            str | None, typer.Option(metavar="STATUS", help=f"Only these: {', '.join(_STATUSES)}.")
        ] = None,
        count: Annotated[
            int, typer.Option("-n", "--count", metavar="N", min=0, help="How many, the newest; 0 is all.")
        ] = 20,
        follow: Annotated[
            bool, typer.Option("-f", "--follow", help="Go on as commands come and are answered.")
        ] = False,
        config: ConfigFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Print what was told to devices: the audit trail, the oldest first.

        With --json one object a line, with arguments and times.
        """
        if status is not None and status not in _STATUSES:
            typer.echo(f"error: --status {status!r} is not known; allowed: {', '.join(_STATUSES)}", err=True)
            raise typer.Exit(_WRONG_USE)
        request = {"do": "command.list", "device": device, "since": since, "status": status}
        asyncio.run(
            _print(written_config(config).config, request | {"count": count, "follow": follow}, as_json=as_json)
        )


async def _print(config: Config, request: dict[str, Any], *, as_json: bool) -> None:
    is_empty = True
    async for one in _rows(config, request):
        is_empty = False
        typer.echo(json.dumps(one) if as_json else _line(one))
    if is_empty and not as_json:
        typer.echo("no such command is recorded", err=True)


async def _rows(config: Config, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    folder = config.journal.path
    try:
        async for item in stream(socket_path(folder), request):
            yield item
    except GatewayNotRunning:
        if request["follow"]:
            raise FieldgateError("no gateway is running here, so nothing new comes; leave out --follow") from None
    else:
        return
    bodies = (stored_commands(folder) if folder.is_dir() else None) or {}
    rows = [row for _, body in sorted(bodies.items()) if (row := decode_row(body)) is not None]
    since = HistoryQuery.of(since=request["since"], device=None, now_wall_ns=clock.wall_ns(), now_journal_s=0.0)
    for row in RowQuery(request["device"], since.since_ns, request["status"]).newest(rows, request["count"]):
        yield row_facts(row)


def _line(one: dict[str, Any]) -> str:
    arguments = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in one["arguments"].items())
    told = " ".join(filter(None, (one["device"], one["name"], arguments)))
    reason = f": {one['reason']}" if one["reason"] else ""
    return safe(f"{one['received']}  {one['status']:<8}  {told}{reason}   ({one['origin']}, id {one['id']})")
