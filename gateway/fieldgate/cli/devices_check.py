"""``fieldgate devices check``: is every profile usable, do its examples hold, and do any stand in each other's way?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fieldgate.cli.devices_app import devices_app
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.profile_sources import Profiles, folder_profiles, overlap_warnings, profiles_of, read_paths
from fieldgate.cli.words import count
from fieldgate_devices.files.document import Problem

__all__ = ["problem_facts"]

_PROBLEM = 1


@devices_app.command("check", short_help="Check profiles and run their examples; tells every problem at once.")
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE|FOLDER", help="Default: the folder of the configuration (devices.path)."),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check profiles: every problem with file:line:column, all at once. An example that does not hold is a problem.

    Warns about profiles that never get a message, and about those between which only the order of letters decides.
    Ends with 0 when all can be used (warnings do not count), with 1 when not.
    """
    if paths:
        profiles, where = profiles_of(*read_paths(paths)), ", ".join(map(str, paths))
    else:
        loaded = written_config(config).config
        profiles, where = folder_profiles(loaded), str(loaded.devices.path)
    errors, warnings = profiles.problems, overlap_warnings(profiles)
    if as_json:
        facts = {"ok": not errors, "errors": problem_facts(errors), "warnings": problem_facts(warnings)}
        typer.echo(json.dumps(facts | {"profiles": _names(profiles)}, indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join([*map(str, [*errors, *warnings]), _verdict(profiles, errors, where)]))
    raise typer.Exit(_PROBLEM if errors else 0)


def problem_facts(problems: list[Problem]) -> list[dict[str, str | int]]:
    """Problems for programs."""
    return [
        {"path": one.where.path, "line": one.where.line, "column": one.where.column, "message": one.message}
        for one in problems
    ]


def _names(profiles: Profiles) -> list[str]:
    return [one.contract.profile.profile for one in profiles.own if one.contract is not None]


def _verdict(profiles: Profiles, errors: list[Problem], where: str) -> str:
    if errors:
        return f"{count(len(errors), 'problem')} found"
    if not profiles.own:
        return f"{where}: no profiles"
    examples = sum(len(one.contract.profile.examples) for one in profiles.own if one.contract is not None)
    return f"{where}: {count(len(profiles.own), 'profile')} with {count(examples, 'example')}: ok"
