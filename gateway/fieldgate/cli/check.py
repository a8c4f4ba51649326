"""``fieldgate check``: is the configuration usable, and what may surprise?"""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer

from fieldgate.cli.options import AsJson, ConfigFile
from fieldgate.config.loader import Reading, read
from fieldgate.config.positions import Problem

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(short_help="Check the configuration; tells every problem at once.")
    def check(config: ConfigFile = None, as_json: AsJson = False) -> None:
        """Check the configuration: every problem with file:line:column, all at once.

        Ends with 0 when the gateway can start with it (warnings do not count), with 1 when it cannot.
        Opens no connection.
        """
        reading = read(config)
        typer.echo(_as_json(reading) if as_json else _as_text(reading))
        raise typer.Exit(0 if reading.loaded is not None else 1)


def _as_text(reading: Reading) -> str:
    if reading.loaded is None:
        count = len(reading.errors)
        return "\n".join([*map(str, reading.errors), f"{count} problem{'s' if count > 1 else ''} found"])
    name = str(reading.path) if reading.path is not None else "no configuration file, the defaults"
    return "\n".join([*reading.loaded.warnings, f"{name}: ok"])


def _as_json(reading: Reading) -> str:
    return json.dumps(
        {
            "path": str(reading.path) if reading.path is not None else None,
            "ok": reading.loaded is not None,
            "errors": _facts(reading.errors),
            "warnings": _facts(reading.warnings),
        },
        indent=2,
        ensure_ascii=False,
    )


def _facts(problems: Sequence[Problem]) -> list[dict[str, str | int]]:
    return [
        {
            "path": problem.where.path,
            "line": problem.where.line,
            "column": problem.where.column,
            "message": problem.message,
        }
        for problem in problems
    ]
