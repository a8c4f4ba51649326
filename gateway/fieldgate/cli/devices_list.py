"""``fieldgate devices list``: which profiles there are, yours and those that come with Fieldgate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from fieldgate.cli.devices_app import devices_app
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.profile_sources import Profiles, folder_profiles, shown_path
from fieldgate.cli.words import count
from fieldgate_devices.builtin import IndexEntry
from fieldgate_devices.profile import MatchSpec
from fieldgate_devices.reading import ProfileFile

__all__ = ["match_text", "matches_text"]


@devices_app.command("list", short_help="Print all profiles: id, version, what they match, where they come from.")
def list_profiles(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print all profiles, yours first: id, version, what it matches, where it comes from.

    A profile of yours with the id of a built-in one replaces it. A file with problems is not in use; 'fieldgate
    devices check' tells them.
    """
    loaded = written_config(config).config
    profiles = folder_profiles(loaded)
    rows = [_own_row(profiles, file) for file in profiles.own]
    rows += [_built_in_row(profiles, entry) for entry in profiles.built_in]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    lines = [_line(row) for row in rows if row["id"] is not None and row["replaced_by"] is None]
    widths = [max((len(line[place]) for line in lines), default=0) for place in range(3)]
    for *columns, last in lines:
        typer.echo("  ".join([*(f"{text:<{width}}" for text, width in zip(columns, widths, strict=True)), last]))
    for row in rows:
        if row["problems"]:
            typer.echo(
                f"{row['file']}: not in use: {count(len(row['problems']), 'problem')}; 'fieldgate devices check'"
            )
    for problem in profiles.unreadable:
        typer.echo(str(problem), err=True)
    if not profiles.own and not profiles.unreadable:
        typer.echo(f"{loaded.devices.path}: no profiles of yours", err=True)


def match_text(match: MatchSpec) -> str:
    """What a profile matches, in one line."""
    where = (
        match.mqtt if match.mqtt is not None else f"serial {match.serial}" if match.serial is not None else "any topic"
    )
    if not match.conditions:
        return where
    conditions = ", ".join(
        f"{path.removeprefix('$')}: {json.dumps(wanted, ensure_ascii=False)}"
        for path, wanted in match.conditions.items()
    )
    return f"{where} with {conditions}"


def matches_text(matches: Sequence[MatchSpec]) -> list[str]:
    """What a profile matches, a line for each entry."""
    return [match_text(one) for one in matches] or ["sources that name it"]


def _own_row(profiles: Profiles, file: ProfileFile) -> dict[str, Any]:
    profile = None if file.contract is None else file.contract.profile
    return {
        "id": None if profile is None else profile.profile,
        "version": None if profile is None else profile.version,
        "origin": "own",
        "file": file.path,
        "match": [] if profile is None else matches_text(profile.match),
        "replaces_built_in": profile is not None and profile.profile in {one.id for one in profiles.built_in},
        "replaced_by": None,
        "problems": [str(problem) for problem in file.problems],
    }


def _built_in_row(profiles: Profiles, entry: IndexEntry) -> dict[str, Any]:
    replacing = profiles.file_of(entry.id)
    return {
        "id": entry.id,
        "version": entry.version,
        "origin": "built-in",
        "file": shown_path(entry),
        "match": matches_text([MatchSpec.model_validate(one) for one in entry.match]),
        "replaces_built_in": False,
        "replaced_by": None if replacing is None else replacing.path,
        "problems": [],
    }


def _line(row: dict[str, Any]) -> tuple[str, str, str, str]:
    origin = "built-in" if row["origin"] == "built-in" else row["file"]
    if row["replaces_built_in"]:
        origin += " (replaces the built-in one)"
    more = f" and {len(row['match']) - 1} more" if len(row["match"]) > 1 else ""
    return row["id"], str(row["version"]), origin, f"{row['match'][0]}{more}"
