"""``fieldgate devices eject`` and ``schema``: a built-in profile as a file of yours, and what editors check it by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from fieldgate.cli.devices_app import devices_app
from fieldgate.cli.options import ConfigFile, written_config
from fieldgate.cli.profile_sources import Profiles, UnknownProfile, folder_profiles, shown_path, why
from fieldgate.config.places import kind_of
from fieldgate.errors import FieldgateError
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.decoders.make import decoder_names
from fieldgate_devices.profile_schema import SCHEMA_FILE, editor_line, schema_text

__all__ = ["NotWritten", "write_new", "write_schema_beside"]

_FILE_MODE: Final = 0o644  # a contract is no secret, and the gateway runs as another user than root
_FOLDER_MODE: Final = 0o755


class NotWritten(FieldgateError):
    """The file is not there, or is as it was."""


@devices_app.command("eject", short_help="Copy a built-in profile into your folder, to be edited.")
def eject(
    name: Annotated[str, typer.Argument(metavar="ID", help="Of a built-in profile; 'fieldgate devices list'.")],
    config: ConfigFile = None,
) -> None:
    """Copy a built-in profile into your folder of profiles, where it replaces the built-in one.

    Beside it goes the schema by which editors complete and check it. Never overwrites a file.
    """
    folder = written_config(config).config.devices.path
    profiles = folder_profiles(written_config(config).config)
    path = _file_of(profiles, name)
    if (taken := profiles.file_of(name)) is not None:
        raise NotWritten(f"{taken.path} is your profile {name!r} already")
    target = folder / f"{name}.yaml"
    content = builtin_profiles()[path].decode()
    if content.startswith("# yaml-language-server:"):
        content = content.partition("\n")[2]
    make_folder(folder)
    write_new(target, editor_line() + content)
    typer.echo(f"{target}: written; it replaces the built-in profile {name!r} from now on")
    write_schema_beside(target)


@devices_app.command("schema", short_help="Print the JSON Schema of profile files, for editors.")
def schema() -> None:
    """Print the JSON Schema (2020-12) of profile files, with the options of all decoders that are installed here."""
    typer.echo(schema_text(decoder_names()), nl=False)


def _file_of(profiles: Profiles, name: str) -> str:
    known = {one.id: shown_path(one) for one in profiles.built_in}
    if name not in known:
        raise UnknownProfile(name, list(known))
    return known[name]


def make_folder(folder: Path) -> None:
    """Make it where it is missing; those above it must be there."""
    if kind_of(folder) == "folder":
        return
    try:
        folder.mkdir(_FOLDER_MODE)
    except OSError as error:
        raise NotWritten(f"{folder}: the folder cannot be made: {why(error)}") from error


def write_new(path: Path, text: str) -> None:
    """Write a file that everyone may read.

    Raises:
        NotWritten: there is one already, or it cannot be written.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, _FILE_MODE)
            file.write(text)
    except FileExistsError:
        raise NotWritten(f"{path}: is there already; it stays as it is") from None
    except OSError as error:
        raise NotWritten(f"{path}: cannot be written: {why(error)}") from error


def _is_same(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def write_schema_beside(profile: Path) -> None:
    """Put the schema beside a profile, if none is there; say so."""
    path, text = profile.with_name(SCHEMA_FILE), schema_text(decoder_names())
    if kind_of(path) == "nothing":
        write_new(path, text)
        typer.echo(f"{path}: written, for editors that understand the first line of the profile")
    elif not _is_same(path, text):
        typer.echo(f"{path}: is of another version; 'fieldgate devices schema > {path}' makes it anew", err=True)
