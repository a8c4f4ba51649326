"""``fieldgate check``: is the configuration usable, and what may surprise?"""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer

from fieldgate.cli.listen_files import problems_in_listen_files
from fieldgate.cli.options import AsJson, ConfigFile
from fieldgate.cli.profile_sources import folder_profiles, overlap_warnings
from fieldgate.config.loader import Reading, read
from fieldgate_devices.files.document import Problem

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(short_help="Check the configuration; tells every problem at once.")
    def check(config: ConfigFile = None, as_json: AsJson = False) -> None:
        """Check the configuration: every problem with file:line:column, all at once.

        Looks into the users, ACL and TLS files of the listeners and into the profiles of devices.path too. Ends with 0
        when all of it can be used (warnings do not count), with 1 when it cannot. Opens no connection.
        """
        reading = read(config)
        in_files: list[Problem] = []
        if reading.loaded is not None:
            profiles = folder_profiles(reading.loaded.config)
            in_files = [*problems_in_listen_files(reading.loaded), *profiles.problems, *overlap_warnings(profiles)]
        errors = [*reading.errors, *(problem for problem in in_files if not problem.is_warning)]
        warnings = [*reading.warnings, *(problem for problem in in_files if problem.is_warning)]
        typer.echo(_as_json(reading, errors, warnings) if as_json else _as_text(reading, errors, warnings))
        raise typer.Exit(1 if errors else 0)


def _as_text(reading: Reading, errors: Sequence[Problem], warnings: Sequence[Problem]) -> str:
    if errors:
        count = f"{len(errors)} problem{'s' if len(errors) > 1 else ''} found"
        return "\n".join([*map(str, errors), count])
    shown = warnings if reading.path is not None else [f"warning: {warning.message}" for warning in warnings]
    name = str(reading.path) if reading.path is not None else "no configuration file, the defaults"
    return "\n".join([*map(str, shown), f"{name}: ok"])


def _as_json(reading: Reading, errors: Sequence[Problem], warnings: Sequence[Problem]) -> str:
    return json.dumps(
        {
            "path": str(reading.path) if reading.path is not None else None,
            "ok": not errors,
            "errors": _facts(errors),
            "warnings": _facts(warnings),
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
