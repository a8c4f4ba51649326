"""``fieldgate rules status``, ``reload`` and ``resolve``: the rules of the running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.rules_app import rules_app
from fieldgate.cli.words import count, safe
from fieldgate.control import ask, socket_path, stream

__all__: list[str] = []  # the commands add themselves

_PROBLEM = 1
_MAX_ALERTS = 1_000  # of one rule; the gateway makes no more of them at once


@rules_app.command("status", short_help="Print the rules of the running gateway: how often they fired, their alerts.")
def status(
    rule: Annotated[str | None, typer.Argument(metavar="RULE", help="Only this one.")] = None,
    alerts: Annotated[
        int, typer.Option(metavar="N", min=0, max=_MAX_ALERTS, help="So many alerts of each rule at the most.")
    ] = 20,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the rules in force with their counts since the gateway's start, and the first of the alerts that last.

    On stderr it says if the folder holds something else, which is not in force because it is wrong. With --json one
    object a line.
    """
    journal = written_config(config).config.journal.path
    found = asyncio.run(_collected(journal, {"do": "rules.list", "rule": rule, "alerts": alerts}))
    _say_what_is_not_in_force(journal)
    if as_json:
        for one in found:
            typer.echo(json.dumps(one, ensure_ascii=False))
        return
    if not found:
        typer.echo("no rules are in force")
    for one in found:
        for line in _lines(one):
            typer.echo(safe(line))


@rules_app.command("reload", short_help="Let the running gateway read its rules now.")
def reload(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Let the running gateway read its rules now; it does so by itself once the folder was quiet for a second.

    Ends with 1 when something in the folder is wrong: then the rules read before go on.
    """
    answer = asyncio.run(
        ask(socket_path(written_config(config).config.journal.path), {"do": "rules.reload"}, within_s=None)
    )
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        for problem in answer["problems"]:
            typer.echo(safe(problem), err=True)
        kept = "; the rules read before go on" if answer["problems"] else ""
        typer.echo(f"{count(answer['rules'], 'rule')} in force{kept}")
    if answer["problems"]:
        raise typer.Exit(_PROBLEM)


@rules_app.command("resolve", short_help="End alerts of a rule by hand.")
def resolve(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's id.")],
    key: Annotated[str | None, typer.Option(metavar="K", help="Only the alert with this key. Default: all.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """End alerts of a rule. Those with 'resolve: false' end in no other way.

    Ends with 1 when there is none.
    """
    request = {"do": "rules.resolve", "rule": rule, "key": key}
    answer = asyncio.run(ask(socket_path(written_config(config).config.journal.path), request))
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        typer.echo(f"{count(answer['resolved'], 'alert')} resolved")
    if not answer["resolved"]:
        raise typer.Exit(_PROBLEM)


def _say_what_is_not_in_force(journal: Path) -> None:
    """Whoever has just saved a file with a mistake would take the rules that go on for the new ones."""
    problems = asyncio.run(ask(socket_path(journal), {"do": "status"}))["rules"]["problems"]
    if problems:
        more = f" and {count(len(problems) - 1, 'more problem')}" if len(problems) > 1 else ""
        typer.echo(safe(f"what the folder holds is not, or not all, in force: {problems[0]}{more}"), err=True)


async def _collected(journal: Path, request: dict[str, Any]) -> list[dict[str, Any]]:
    return [one async for one in stream(socket_path(journal), request)]


def _lines(one: dict[str, Any]) -> list[str]:
    state = "" if one["mode"] == "active" else "   shadow"
    state = state if one["enabled"] else "   DISABLED"
    line = f"{one['rule']}{state}   fired {one['fired']:,}"
    for name, words in (("suppressed", "held back"), ("not_done", "not done"), ("errors", "ERRORS")):
        if one[name]:
            line += f"   {words} {one[name]:,}"
    line += "".join(f"   stopped by {key} {times:,}" for key, times in sorted(one["stopped"].items()))
    lines = [line]
    if one["last_error"]:
        lines.append(f"    failed: {one['last_error']}")
    lines += [f"    {alert['severity'].upper()} {alert['key']}: {alert['text']}" for alert in one["alerts"]]
    if more := one["alert_count"] - len(one["alerts"]):
        lines.append(f"    and {count(more, 'more alert' if one['alerts'] else 'alert')}")
    return lines
