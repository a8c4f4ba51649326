"""``fieldgate rules explain``: why a rule of the running gateway fired, or did not."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import msgspec
import typer

from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.rules_app import rules_app
from fieldgate.cli.words import safe
from fieldgate.control import ask, socket_path
from fieldgate_rules.explain.lines import report_lines
from fieldgate_rules.explain.report import Report

__all__: list[str] = []  # the command adds itself


@rules_app.command(
    "explain", short_help="Say why a rule fired or did not: every clause, timers, the line that decided."
)
def explain(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's id.")],
    device: Annotated[
        str | None, typer.Option(metavar="D", help="About this device. Default: that of the last decision.")
    ] = None,
    event: Annotated[
        str | None, typer.Option(metavar="ID", help="About this event, RUN-SEQ as in its envelope. Default: the last.")
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask the running gateway why a rule did what it did about an event, or nothing.

    Each key of the rule in its order, each clause with its value and place, how timers and throttles stand now, the
    last 50 decisions, and the line of the file that stopped it.
    """
    loaded = written_config(config).config
    request = {"do": "rules.explain", "rule": rule, "device": device, "event": event}
    answer = asyncio.run(ask(socket_path(loaded.journal.path), request))
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for line in report_lines(msgspec.convert(answer, Report)):
        typer.echo(safe(line))
