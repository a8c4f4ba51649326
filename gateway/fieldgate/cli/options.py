"""What several commands share: their options, and what they do about a configuration that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from fieldgate.config.loader import LoadedConfig, load, load_as_written, read
from fieldgate.errors import ConfigError, FieldgateError

__all__ = ["AsJson", "ConfigFile", "access_file", "journal_folder", "usable_config", "without_file", "written_config"]

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help="The configuration. Default: $FIELDGATE_CONFIG, ./fieldgate.yaml, /etc/fieldgate/fieldgate.yaml; "
        "without any of them the built-in defaults.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def usable_config(path: Path | None) -> LoadedConfig:
    """Load the configuration, or print every problem to stderr and end the command."""
    return _loaded(load, path)


def written_config(path: Path | None) -> LoadedConfig:
    """The same for commands that need no secret: whoever types them may not be allowed to read one."""
    return _loaded(load_as_written, path)


def journal_folder(path: Path | None) -> Path:
    """Return where the gateway of this configuration keeps its state, as far as that can be understood.

    A running gateway may be asked about a file that is wrong by now: it goes on by what it read before.
    """
    reading = read(path, references="kept")
    return reading.config.journal.path if reading.config is not None else written_config(path).config.journal.path


def without_file(loaded: LoadedConfig) -> str:
    """What to add where nothing is found at a place that no file named."""
    return "" if loaded.path is not None else "; no configuration file was found here: name one with -c FILE"


def _loaded(how: Callable[[Path | None], LoadedConfig], path: Path | None) -> LoadedConfig:
    try:
        return how(path)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def access_file(config: Path | None, kind: Literal["users", "acl"]) -> Path:
    """Return the one file of this kind that the configuration's listeners use.

    Raises:
        FieldgateError: there is none, or more than one; the message says what to do.
    """
    doors = [listen.auth for listen in written_config(config).config.listen if listen.auth is not None]
    paths = list(dict.fromkeys(path for path in (getattr(door, kind) for door in doors) if path is not None))
    if not paths:
        raise FieldgateError(f"no listener of the configuration has auth.{kind}; name the file: --file FILE")
    if len(paths) > 1:
        raise FieldgateError(f"the listeners use several files; name one: --file {' | '.join(map(str, paths))}")
    return Path(paths[0])
