"""``fieldgate log-level``: how much the log of the running gateway says."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.words import age, count
from fieldgate.control import ask, socket_path
from fieldgate.observe.log_level import LEVELS
from fieldgate_devices.files.quantities import format_duration, parse_duration

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("log-level", short_help="Print how much the log of the running gateway says, or change it.")
    def log_level(
        level: Annotated[
            str | None, typer.Argument(metavar="LEVEL", help=f"One of {', '.join(LEVELS)}. Default: change nothing.")
        ] = None,
        for_: Annotated[
            str | None,
            typer.Option(
                "--for", metavar="TIME", help="Then the usual level is back: 90s, 10m, 1h. Default: it stays."
            ),
        ] = None,
        config: ConfigFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Print how much the log of the running gateway says, or change it; no restart, and nothing is lost.

        Without --for the level stays until the gateway is started again, which then has that of 'fieldgate run
        --log-level'. At debug there is a line for each commit and for each request of a command.
        """
        if level is not None and level not in LEVELS:
            raise typer.BadParameter(f"{level!r} is none of {', '.join(LEVELS)}", param_hint="LEVEL")
        if level is None and for_ is not None:
            raise typer.BadParameter("it says for how long, and needs a LEVEL", param_hint="--for")
        request = {"do": "log.level", "level": level, "for_s": _seconds(for_)}
        answer = asyncio.run(ask(socket_path(written_config(config).config.journal.path), request))
        if as_json:
            typer.echo(json.dumps(answer))
            return
        left_s = answer["left_s"]
        back = "" if left_s is None else f" for another {age(left_s)}, then {answer['usual']}"
        written = sum(answer["lines"].values())
        left_out = f", {answer['left_out']:,} left out" if answer["left_out"] else ""
        typer.echo(f"{answer['level']}{back}   ({count(written, 'line')} since the start{left_out})")


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        for_s = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    if for_s <= 0:
        raise typer.BadParameter(f"{text!r} is no time; write {format_duration(600.0)}", param_hint="--for")
    return for_s
