"""``fieldgate dead-letters``: messages that are no events; look at them, send them through again, drop them.

Asks the running gateway; ``list``, ``show`` and ``purge`` work on the file itself when none is running.
"""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64decode
from typing import Annotated, Any, Final

import typer

from fieldgate.cli.journal_source import answers
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.words import age, count, dump, safe, size
from fieldgate.config import Config

__all__ = ["register"]

_PROBLEM: Final = 1
_WRONG_USE: Final = 2
_NO_PROFILE: Final = "none"

Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="NUMBER", min=1, help="As 'fieldgate dead-letters list' prints them.")
]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]
Profile = Annotated[
    str | None, typer.Option(metavar="ID", help="Only those of this profile; 'none': those that no profile matched.")
]
Topic = Annotated[str | None, typer.Option(metavar="GLOB", help="Only those whose topic matches this glob.")]
Reason = Annotated[str | None, typer.Option(metavar="CODE", help="Only those with this reason, as 'unknown_device'.")]
Since = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="Only those since then: 90s, 15m, 1h, 7d, or a time (ISO 8601, UTC)."),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Messages that broke their contract or that nobody knows: look, send through again, drop.",
        short_help="Messages that made no event: look, send through again, drop.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="dead-letters")
    group.command("list")(list_letters)
    group.command("show", short_help="Print dead letters whole: why, since when, and each byte.")(show)
    group.command("replay", short_help="Send them through the whole flow again, as after a profile was mended.")(replay)
    group.command("purge")(purge)


def list_letters(
    profile: Profile = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print what is kept, the oldest first.

    Columns: number, for how long, topic, size, profile, reason, in words. With --json one object a line.
    """
    request = {"do": "dead-letters.list", **_filters(None, profile, topic, reason, since)}
    is_any = False
    for one in _answers(written_config(config).config, request):
        is_any = True
        typer.echo(json.dumps(one) if as_json else _line(one))
    if not is_any and not as_json:
        is_narrowed = any(one is not None for one in (profile, topic, reason, since))
        typer.echo(f"there are no {'such ' if is_narrowed else ''}dead letters", err=True)


def show(
    numbers: Annotated[
        list[int], typer.Argument(metavar="NUMBER...", min=1, help="As 'fieldgate dead-letters list' prints them.")
    ],
    is_raw: Annotated[bool, typer.Option("--raw", help="Only the bytes as they came, for a file or a pipe.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print dead letters whole: why, since when, and each byte; whatever they hold cannot upset the terminal."""
    if is_raw and (as_json or len(numbers) > 1):
        typer.echo("error: --raw prints the bytes of one letter, and nothing else", err=True)
        raise typer.Exit(_WRONG_USE)
    request = {"do": "dead-letters.show", **_filters(numbers, None, None, None, None)}
    found: set[int] = set()
    for one in _answers(written_config(config).config, request):
        if is_raw:
            sys.stdout.buffer.write(b64decode(one["payload_base64"]))
        else:
            separator = "\n" if found and not as_json else ""
            typer.echo(separator + (json.dumps(one) if as_json else _whole(one)))
        found.add(one["number"])
    _end([number for number in numbers if number not in found])


def replay(
    numbers: Numbers = None,
    everything: Everything = False,
    profile: Profile = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters through the whole flow again, as after a profile was mended.

    Those that become events are dead letters no more; what is refused again stays, with the new reason. Frames of a
    serial port that were damaged stay what they are.
    """
    chosen = _chosen(numbers, everything, profile=profile, topic=topic, reason=reason, since=since)
    (facts,) = _answers(written_config(config).config, {"do": "dead-letters.replay", **chosen})
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        if facts["replayed"]:
            typer.echo(f"{count(facts['replayed'], 'message')} sent through again: {_became(facts)}")
        for one in facts["again"]:
            typer.echo(_line(one))
        if any(one["damaged"] for one in facts["again"]):
            typer.echo("bad frames stay what they are: only their device can send them again")
        if facts["already"]:
            typer.echo(f"{count(facts['already'], 'message')} on the way already")
        if not facts["replayed"] and not facts["already"] and not facts["unknown"]:
            typer.echo("there are no such dead letters", err=True)
    _end(facts["unknown"])


def purge(
    numbers: Numbers = None,
    everything: Everything = False,
    profile: Profile = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    is_sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Drop dead letters for good."""
    loaded = written_config(config).config
    chosen = _chosen(numbers, everything, profile=profile, topic=topic, reason=reason, since=since)
    if not is_sure:
        found = len(_answers(loaded, {"do": "dead-letters.list", **chosen}))
        if found:
            typer.confirm(f"Drop {count(found, 'message')} for good?", abort=True, err=True)
    (facts,) = _answers(loaded, {"do": "dead-letters.purge", **chosen})
    if as_json:
        typer.echo(json.dumps(facts))
    elif facts["purged"]:
        typer.echo(f"{count(facts['purged'], 'message')} dropped")
    elif not facts["unknown"]:
        typer.echo("there are no such dead letters", err=True)
    _end(facts["unknown"])


def _filters(
    numbers: list[int] | None, profile: str | None, topic: str | None, reason: str | None, since: str | None
) -> dict[str, Any]:
    profile = "" if profile == _NO_PROFILE else profile
    return {"numbers": numbers, "profile": profile, "topic": topic, "reason": reason, "since": since}


def _chosen(numbers: list[int] | None, everything: bool, **filters: str | None) -> dict[str, Any]:
    """What a command that changes something is about; all of them only if that was said."""
    is_narrowed = bool(numbers) or any(value is not None for value in filters.values())
    if everything == is_narrowed:
        problem = "leave out --all" if everything else "name the messages, narrow them with an option, or write --all"
        typer.echo(f"error: {problem} (see 'fieldgate dead-letters list')", err=True)
        raise typer.Exit(_WRONG_USE)
    return _filters(numbers or None, filters["profile"], filters["topic"], filters["reason"], filters["since"])


def _became(facts: dict[str, Any]) -> str:
    parts = [count(facts["events"], "event")] if facts["events"] else []
    if facts["again"]:
        parts.append(f"{len(facts['again']):,} refused again:")
    return ", ".join(parts)


def _end(unknown: list[int]) -> None:
    """What was asked for and is not there is a problem, after what could be done was done."""
    for number in unknown:
        typer.echo(f"error: there is no dead letter {number}", err=True)
    if unknown:
        raise typer.Exit(_PROBLEM)


def _answers(config: Config, request: dict[str, Any]) -> list[dict[str, Any]]:
    async def gather() -> list[dict[str, Any]]:
        return [item async for item in answers(config, request)]

    return asyncio.run(gather())


def _line(one: dict[str, Any]) -> str:
    kept = age(one["kept_for_s"]) if one["kept_for_s"] is not None else "?"
    again = f"  (refused {one['attempts'] + 1} times)" if one["attempts"] else ""
    contract = f"{one['profile']} {one['version'] or ''}".rstrip() if one["profile"] else "-"
    return safe(
        f"{one['number']:>6}  {kept:<8} {one['topic']}  {size(one['payload_bytes'])}  {contract}  {one['reason']}  "
        f"{one['detail']}{again}"
    )


def _whole(one: dict[str, Any]) -> str:
    since = f", for {age(one['kept_for_s'])}" if one["kept_for_s"] is not None else ""
    unsure = "" if one["timequality"] == "synced" else f" ({one['timequality']})"
    heads = {
        "number": one["number"],
        "received": f"{one['time']}{unsure}{since}",
        "source": one["source"],
        "topic": one["topic"],
        "lane": one["lane"],
        "profile": f"{one['profile']}, version {one['version']}" if one["profile"] else "none",
        "reason": one["reason"],
        "detail": one["detail"],
        "replays": one["attempts"],
        "payload": size(one["payload_bytes"]),
    }
    lines = [f"{name + ':':<9} {safe(str(value))}" for name, value in heads.items()]
    return "\n".join([*lines, "", dump(b64decode(one["payload_base64"]))])
