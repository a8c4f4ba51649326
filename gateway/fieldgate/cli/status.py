"""``fieldgate status``: what the running gateway is doing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import typer

from fieldgate.cli.options import AsJson, ConfigFile, usable_config
from fieldgate.control import ask, socket_path
from fieldgate.errors import FieldgateError

__all__ = ["register"]

_RUNNING, _NOT_RUNNING = 0, 1


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("status")
    def status(
        config: ConfigFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Ask the running gateway how it is; exit code 1 when none is running."""
        state_folder = usable_config(config).config.journal.path
        try:
            answer = asyncio.run(ask(socket_path(state_folder), {"do": "status"}))
        except FieldgateError as error:
            typer.echo(json.dumps({"error": str(error)}) if as_json else f"error: {error}", err=not as_json)
            raise typer.Exit(_NOT_RUNNING) from error
        typer.echo(json.dumps(answer) if as_json else _for_people(answer))


def _for_people(answer: dict[str, Any]) -> str:
    journal = answer["journal"]
    lines = [
        f"gateway {answer['gateway']}   version {answer['version']}   up {_duration(answer['uptime_s'])}   "
        f"clock {answer['clock']}",
        f"events  {answer['events_in']:,} accepted   {answer['rate_in']:,.1f}/s   "
        f"{answer['unsettled_bytes']:,} bytes not safe yet",
        f"journal {journal['events']:,} events   {_size(journal['bytes'])} of {_size(journal['max_bytes'])}   "
        f"{journal['durability']}   epoch {journal['epoch']}"
        + (f"   FULL ({journal['full']}): nothing new is acknowledged" if journal["full"] else ""),
    ]
    lines += [
        f"listen  {one['name']}   {one['clients']} clients   {one['publishes']:,} publishes"
        for one in answer["listeners"]
    ]
    if not answer["uplinks"]:
        lines.append("uplinks none: events are kept until there is one")
    for name, uplink in answer["uplinks"].items():
        lost = sum(uplink["ledger"].values())
        lines.append(
            f"uplink  {name}   {uplink['state']}"
            + (f" ({uplink['reason']})" if uplink["reason"] else "")
            + f"   {uplink['delivered']:,} delivered   {uplink['pending']:,} pending"
            + f"   {uplink['in_flight']:,} in flight"
            + (f"   {lost:,} lost: {uplink['ledger']}" if lost else "")
        )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}d {hour:02}:{minute:02}:{second:02}" if days else f"{hour:02}:{minute:02}:{second:02}"


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"
