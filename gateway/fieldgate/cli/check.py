"""``fieldgate check``: is the configuration usable, and what may surprise?"""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer

from fieldgate.cli.all_problems import all_problems
from fieldgate.cli.options import AsJson, ConfigFile
from fieldgate.config.loader import Reading, read
from fieldgate_devices.files.document import Problem

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        short_help="Check the configuration; tells every problem at once.",
        context_settings={"allow_extra_args": True},  # to say how a file is named
    )
    def check(context: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
        """Check the configuration: every problem with file:line:column, all at once.

        Looks into the files that it names too: certificates and keys, users and ACL, device profiles, rules. Ends with
        0 when all of it can be used (warnings and notes do not count), with 1 when it cannot. Opens no connection. A
        credential of systemd is there for the service only; elsewhere a note says that it was not looked at.
        """
        if context.args:
            raise typer.BadParameter(f"name the file with -c: fieldgate check -c {context.args[0]}")
        reading = read(config, references="examined")
        found = all_problems(reading)
        errors = [problem for problem in found if not (problem.is_warning or problem.is_note)]
        others = [problem for problem in found if problem.is_warning or problem.is_note]
        typer.echo(_as_json(reading, errors, others) if as_json else _as_text(reading, errors, others))
        raise typer.Exit(1 if errors else 0)


def _as_text(reading: Reading, errors: Sequence[Problem], others: Sequence[Problem]) -> str:
    if errors:
        count = f"{len(errors)} problem{'s' if len(errors) > 1 else ''} found"
        notes = [one for one in others if one.is_note]
        return "\n".join([*map(str, sorted([*errors, *notes])), count])
    shown = others if reading.path is not None else [f"warning: {warning.message}" for warning in others]
    name = str(reading.path) if reading.path is not None else "no configuration file, the defaults"
    return "\n".join([*map(str, shown), f"{name}: ok"])


def _as_json(reading: Reading, errors: Sequence[Problem], others: Sequence[Problem]) -> str:
    return json.dumps(
        {
            "path": str(reading.path) if reading.path is not None else None,
            "ok": not errors,
            "errors": _facts(errors),
            "warnings": _facts([one for one in others if one.is_warning]),
            "notes": _facts([one for one in others if one.is_note]),
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
