"""What several commands share: their options, and what they do about a configuration that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fieldgate.config.loader import LoadedConfig, load
from fieldgate.errors import ConfigError

__all__ = ["AsJson", "ConfigFile", "usable_config"]

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


def usable_config(path: Path | None, *, exit_code: int = 1) -> LoadedConfig:
    """Load the configuration, or print every problem to stderr and end the command with ``exit_code``."""
    try:
        return load(path)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(exit_code) from None
