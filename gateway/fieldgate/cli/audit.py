"""``fieldgate audit``: who came in or was kept out, and what was told to the gateway and to devices."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldgate import clock
from fieldgate.cli.options import AsJson, ConfigFile, journal_folder
from fieldgate.cli.words import safe
from fieldgate.control import ControlError, GatewayNotRunning, ask, socket_path
from fieldgate.errors import FieldgateError
from fieldgate.journal.audit_file import read_audit
from fieldgate.journal.history import HistoryQuery
from fieldgate.rights import way_in

__all__ = ["register"]

_PLAIN = ("at", "event")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("audit", short_help="Print who came in or was kept out, and what the gateway was told.")
    def audit(
        since: Annotated[
            str | None, typer.Option(metavar="WHEN", help="Only what is younger: 90s, 15m, 1h, 7d, or a time.")
        ] = None,
        config: ConfigFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Print the audit trail, the oldest first: log-ins and denials, commands, reloads, changes of users and levels.

        It holds the last 2 MiB. What was the same again within ten minutes is one entry with 'count'. With --json one
        object a line. What every command was told and answered: 'fieldgate commands'.
        """
        folder = journal_folder(config)
        _let_it_write(folder)
        first = _since(since)
        is_empty = True
        for entry in _entries(folder):
            if first is None or (at := _time(entry)) is None or at >= first:
                is_empty = False
                typer.echo(json.dumps(entry, ensure_ascii=False) if as_json else safe(_line(entry)))
        if is_empty and not as_json:
            typer.echo("nothing is recorded" + (" since then" if first is not None else ""), err=True)


def _entries(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(read_audit(folder))
    except OSError as error:
        hint = f"; {way_in(Path(error.filename))}" if isinstance(error, PermissionError) else ""
        raise FieldgateError(f"{error.filename}: {os.strerror(error.errno or 0).lower()}{hint}") from error


def _let_it_write(folder: Path) -> None:
    """A running gateway writes now and then; without one everything is in the file."""
    try:
        asyncio.run(ask(socket_path(folder), {"do": "audit.flush"}))
    except (GatewayNotRunning, ControlError):
        return  # what cannot be read is said of the file


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    query = HistoryQuery.of(since=text, device=None, now_wall_ns=clock.wall_ns(), now_journal_s=0.0)
    return datetime.fromtimestamp(query.since_ns / 1e9, UTC)


def _time(entry: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(entry["at"].removesuffix(" unsynced"))
    except ValueError:
        return None


def _line(entry: dict[str, Any]) -> str:
    facts = (f"{name}={_word(value)}" for name, value in entry.items() if name not in _PLAIN)
    return "  ".join((entry["at"], entry["event"], " ".join(facts)))


def _word(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text
