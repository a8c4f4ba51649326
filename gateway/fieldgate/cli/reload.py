"""``fieldgate reload``: let the running gateway read everything again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import typer

from fieldgate.cli.options import AsJson, ConfigFile, journal_folder
from fieldgate.cli.words import count, safe
from fieldgate.control import ask, socket_path

__all__ = ["register"]

_REFUSED = 1


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("reload", short_help="Let the running gateway read everything again: all of it, or nothing.")
    def reload(config: ConfigFile = None, as_json: AsJson = False) -> None:
        """Let the running gateway read configuration, profiles, rules, users, ACLs and certificates again.

        All of it is checked first. If anything is wrong nothing changes, every problem is printed, and the command ends
        with 1. Keys that cannot change while the gateway runs are named: they count after a restart. It reads the files
        that it was started with; -c only says where it keeps its state.
        """
        answer = asyncio.run(ask(socket_path(journal_folder(config)), {"do": "reload"}, within_s=None))
        if as_json:
            typer.echo(json.dumps(answer, ensure_ascii=False))
        else:
            _print(answer)
        if not answer["reloaded"]:
            raise typer.Exit(_REFUSED)


def _print(answer: dict[str, Any]) -> None:
    for line in (*answer["problems"], *answer["warnings"]):
        typer.echo(safe(line), err=True)
    if not answer["reloaded"]:
        typer.echo("refused: nothing has changed, what was read before goes on", err=True)
        return
    typer.echo(f"reloaded: {count(answer['profiles'], 'profile')}, {count(answer['rules'], 'rule')}")
    for key in answer["changed"]:
        typer.echo(safe(f"changed: {key}"))
    for key in answer["needs_restart"]:
        typer.echo(safe(f"{key}: needs a restart"))
