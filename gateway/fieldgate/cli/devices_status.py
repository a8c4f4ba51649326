"""``fieldgate devices status`` and ``forget``: every device that was heard, and what it said last.

Asks the running gateway; ``status`` shows what the last one stored when none is running, and says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import typer

from fieldgate.cli.devices_app import devices_app
from fieldgate.cli.heard_devices import heard_devices
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.words import age, count, safe, size
from fieldgate.control import socket_path, stream
from fieldgate_devices.event import GENERIC

__all__: list[str] = []  # the commands add themselves

_PROBLEM: Final = 1
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_GLOB: Final = frozenset("*?[")
_MAX_NAME: Final = 60
_NO_PROFILE: Final = "none"
_MAX_VALUE: Final = 60
_NEVER: Final = float("inf")
_SORTS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "seen": lambda one: _age_of(one),
    "name": lambda one: (one["device"], one["profile"] or ""),
    "profile": lambda one: (one["profile"] or "", one["device"]),
    "messages": lambda one: -one["messages"],
    "errors": lambda one: (-one["errors"], one["device"]),
}

Sort = Annotated[
    Literal["seen", "name", "profile", "messages", "errors"],
    typer.Option(
        "--sort", metavar="HOW", help="What comes first: heard last, by name, by profile, most messages, most errors."
    ),
]
Profile = Annotated[
    str | None, typer.Option(metavar="GLOB", help="Only devices of these profiles; 'none': those of none.")
]


@devices_app.command("status", short_help="Print the devices that were heard, or all that is known of one.")
def status(
    devices: Annotated[
        list[str] | None, typer.Argument(metavar="DEVICE", help="Names, or globs of them (*, ?, [abc]).")
    ] = None,
    profile: Profile = None,
    silent: Annotated[bool, typer.Option("--silent", help="Only those that have fallen silent.")] = False,
    sort: Sort = "seen",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the devices that were heard; a device by its name with everything it said last.

    Columns: name, profile and version, heard for the last time, messages, dead letters. With --json one object a line.
    """
    loaded = written_config(config).config
    request = {
        "do": "devices.status",
        "names": devices or None,
        "profile": GENERIC if profile == _NO_PROFILE else profile,
        "silent": silent,
        "has_fields": bool(devices),
    }
    found, is_stored = asyncio.run(heard_devices(loaded, request))
    is_whole = bool(devices) and all(one["device"] in (devices or ()) for one in found)  # a name may look like a glob
    if is_stored:
        typer.echo("no gateway is running here: this is what the last one stored", err=True)
    found.sort(key=_SORTS[sort])
    if as_json:
        for one in found:
            typer.echo(json.dumps(one))
    elif is_whole:
        typer.echo("\n\n".join(map(_whole, found)), nl=bool(found))
    else:
        typer.echo("\n".join(_table(found)), nl=bool(found))
    is_narrowed = bool(devices) or profile is not None
    _end(found, devices or [], is_silent=silent, is_narrowed=is_narrowed, as_json=as_json)


@devices_app.command("forget", short_help="Forget devices that are gone for good.")
def forget(
    devices: Annotated[list[str], typer.Argument(metavar="DEVICE...", help="Names, or globs of them.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Forget devices that are gone for good, until they are heard again; Home Assistant forgets them too."""
    answer: list[dict[str, Any]] = []

    async def ask() -> None:
        path = socket_path(written_config(config).config.journal.path)
        answer.extend([item async for item in stream(path, {"do": "devices.forget", "names": devices})])

    asyncio.run(ask())
    gone = answer[0]["forgotten"]
    if as_json:
        typer.echo(json.dumps(answer[0]))
    else:
        for one in gone:
            typer.echo(safe(f"{one['device']}  {one['profile']}"))
    if not gone:
        typer.echo("error: no such device is known", err=True)
        raise typer.Exit(_PROBLEM)


def _end(found: list[dict[str, Any]], asked: list[str], *, is_silent: bool, is_narrowed: bool, as_json: bool) -> None:
    """A device that was asked for by name and is not known is a problem; an empty table is none."""
    names = {facts["device"] for facts in found}
    missing = [] if is_silent else [one for one in asked if one not in names and not _GLOB & set(one)]
    for one in missing:
        typer.echo(f"error: no device '{safe(one)}' was heard", err=True)
    if missing:
        raise typer.Exit(_PROBLEM)
    if not found and not as_json:
        heard = f"no {'such ' if is_narrowed else ''}device was heard"
        typer.echo("no device is silent" if is_silent else heard, err=True)


def _age_of(one: dict[str, Any]) -> float:
    """For sorting: who was heard last comes first, of whom nothing is known last."""
    return next((one[key] for key in ("last_seen_s", "last_seen_at_least_s") if one[key] is not None), _NEVER)


# -- the table ----------------------------------------------------------------------------------------------------


def _table(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return []
    rows = [("DEVICE", "PROFILE", "LAST SEEN", "MESSAGES", "ERRORS", "")]
    rows += [
        (
            _short(one["device"], _MAX_NAME),
            _contract(one),
            _seen(one),
            f"{one['messages']:,}",
            f"{one['errors']:,}" if one["errors"] else "-",
            "SILENT" if one["silent"] else "",
        )
        for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    shown = [
        "  ".join(text.rjust(width) if 3 <= at <= 4 else text.ljust(width) for at, (text, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    silent = sum(one["silent"] for one in found)
    total = count(len(found), "device") + (f", {silent:,} silent" if silent else "")
    return [*(line.rstrip() for line in shown), total]


def _contract(one: dict[str, Any]) -> str:
    return f"{one['profile']} {one['version'] or ''}".rstrip() if one["profile"] else "-"


def _seen(one: dict[str, Any]) -> str:
    if one["last_seen_s"] is not None:
        return f"{age(one['last_seen_s'])} ago"
    if one["last_seen_at_least_s"] is not None:
        return f"over {age(one['last_seen_at_least_s'])} ago"
    return "unknown" if one["messages"] else "never"


def _profile(one: dict[str, Any]) -> str:
    if not one["profile"]:
        return "none (generic)"
    return f"{one['profile']}" + (f", version {one['version']}" if one["version"] else "")


def _when(one: dict[str, Any]) -> str:
    if not one["messages"]:
        return ": each message of it is a dead letter ('fieldgate dead-letters list')"
    return f" ({one['last_seen']})" if one["last_seen"] else ""


def _short(text: str, limit: int) -> str:
    shown = safe(text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


# -- one device ---------------------------------------------------------------------------------------------------


def _whole(one: dict[str, Any]) -> str:
    heads = {
        "device": one["device"],
        "profile": _profile(one),
        "seen": f"{_seen(one)}" + _when(one),
        "first": one["first_seen"] or "unknown: the clock was not set",
        "messages": f"{one['messages']:,}",
        "errors": f"{one['errors']:,}" + (f", the last: {one['last_error']}" if one["last_error"] else ""),
        "topic": ", ".join(one["topics"]) or "none",
    }
    if one["silent_after_s"] is not None:
        heads["silent"] = f"{'SILENT' if one['silent'] else 'no'}, after {age(one['silent_after_s'])} without a message"
    lines = [f"{name + ':':<9} {safe(str(value))}" for name, value in heads.items()]
    lines += [f"not kept: {safe(topic)}: {size(number)}, too large" for topic, number in one["not_kept"].items()]
    lines += [f"no JSON:  {safe(topic)}: {size(number)}" for topic, number in one["not_json"].items()]
    return "\n".join([*lines, "", *_fields(one["fields"])]) if one["fields"] else "\n".join(lines)


def _fields(fields: list[dict[str, Any]]) -> list[str]:
    names = [_short(one["name"], _MAX_NAME) for one in fields]
    values = [_value(one) for one in fields]
    name_width, value_width = max(map(len, names)), max(map(len, values))
    lines = []
    for name, value, one in zip(names, values, fields, strict=True):
        history = ""
        if "points" in one:
            history = f"  {_sparkline(one['points'])}  {_number(one['min'])} to {_number(one['max'])}"
            history += f" in {age(one['over_s'])}" if one["over_s"] else ""
        lines.append(f"{name:<{name_width}}  {value:<{value_width}}{history}".rstrip())
    return lines


def _value(one: dict[str, Any]) -> str:
    value = one["value"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = _number(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _short(text, _MAX_VALUE) + (f" {safe(one['unit'])}" if one["unit"] else "")


def _number(value: float) -> str:
    return f"{value:.10g}"


def _sparkline(points: list[float | None]) -> str:
    """One block per point, from the least to the greatest; a blank where there was no value."""
    halves = [None if one is None else one / 2 for one in points]  # the span of any two numbers is a number then
    numbers = [one for one in halves if one is not None]
    least, greatest = min(numbers, default=0.0), max(numbers, default=0.0)
    span = greatest - least
    if not span:
        return "".join(" " if one is None else _BLOCKS[3] for one in halves)
    top = len(_BLOCKS) - 1
    return "".join(" " if one is None else _BLOCKS[round((one - least) / span * top)] for one in halves)
