"""``fieldgate run``: the gateway itself."""

from __future__ import annotations

from typing import Annotated

import typer

from fieldgate.cli import serve
from fieldgate.cli.options import ConfigFile
from fieldgate.cli.plain_run import LOG_LEVELS

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("run")
    def run(
        config: ConfigFile = None,
        log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
    ) -> None:
        """Run the gateway until SIGTERM or Ctrl-C.

        As a service it reads everything again on SIGHUP, as 'fieldgate reload' has it do; in a terminal SIGHUP says
        that this was closed, and stops it.
        """
        if log_level not in LOG_LEVELS:
            raise typer.BadParameter(f"{log_level!r} is none of {', '.join(LOG_LEVELS)}", param_hint="--log-level")
        raise typer.Exit(serve.serve(config, log_level=log_level))
