"""``fieldgate doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fieldgate.cli.all_problems import all_problems
from fieldgate.cli.options import AsJson, ConfigFile
from fieldgate.cli.progress import Progress
from fieldgate.cli.words import count, safe
from fieldgate.config.loader import Reading, read
from fieldgate.config.model import Config
from fieldgate.doctor.catalogue import CATALOGUE, link_of
from fieldgate.doctor.examination import Examination, Part, far_side_names
from fieldgate.doctor.finding import Finding, Level

__all__ = ["examine_as_facts", "register"]

_WIDTH: Final = 9


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(short_help="Look for what is wrong here, from the clock to the brokers, and say what to do.")
    def doctor(
        config: ConfigFile = None,
        as_json: AsJson = False,
        uplink: Annotated[
            str | None, typer.Option(metavar="NAME", help="Go the way of this uplink or source only.")
        ] = None,
        offline: Annotated[bool, typer.Option("--offline", help="Connect to nothing outside of this machine.")] = False,
    ) -> None:
        """Look for what is wrong here: clock, storage, configuration, serial ports, the way to each uplink, versions.

        Works with the gateway running or not, changes nothing and disturbs no session. Ends with 1 when there is an
        error, with 0 otherwise: warnings and notes do not count.
        """
        reading = read(config, references="examined")
        _check_name(reading, uplink)
        parts = asyncio.run(_examine(reading, only=uplink, is_offline=offline, is_quiet=as_json))
        findings = [finding for part in parts for finding in part.findings]
        if as_json:
            typer.echo(json.dumps(_facts(parts, reading.path), indent=2, ensure_ascii=False))
        else:
            typer.echo(_last_line(findings))
        raise typer.Exit(1 if any(_level(one) is Level.ERROR for one in findings) else 0)


def _check_name(reading: Reading, name: str | None) -> None:
    known = far_side_names(reading.config or Config())
    if name is not None and name not in known:
        allowed = ", ".join(known) or "none is configured"
        raise typer.BadParameter(
            f"{name!r} is no uplink or source with a server; there are: {allowed}", param_hint="--uplink"
        )


async def _examine(reading: Reading, *, only: str | None, is_offline: bool, is_quiet: bool) -> list[Part]:
    """Examine, and print each part as soon as it is known unless ``is_quiet``."""
    progress = Progress(is_quiet=is_quiet or not sys.stderr.isatty())
    examination = Examination(reading, all_problems(reading), only=only, is_offline=is_offline, tell=progress.tell)
    parts = []
    async for part in examination.parts():
        parts.append(part)
        if not is_quiet:
            typer.echo("\n".join(_lines(part)))
    return parts


async def examine_as_facts(reading: Reading, *, is_offline: bool) -> dict[str, Any]:
    """What ``--json`` prints."""
    parts = await _examine(reading, only=None, is_offline=is_offline, is_quiet=True)
    return _facts(parts, reading.path)


def _level(finding: Finding) -> Level:
    return CATALOGUE[finding.id].level


def _lines(part: Part) -> list[str]:
    lines = [part.name]
    for finding in part.findings:
        level = _level(finding)
        word = level.value if level in (Level.OK, Level.NOTE) else level.value.upper()
        lines.append(f"  {word:<{_WIDTH}}{safe(finding.seen)}")
        if finding.do:
            lines.append(f"  {'':<{_WIDTH}}do: {safe(finding.do)}")
        if level in (Level.WARNING, Level.ERROR):
            lines.append(
                f"  {'':<{_WIDTH}}see: {link_of(finding.id)}, and in the README: {CATALOGUE[finding.id].readme}"
            )
    return lines


def _last_line(findings: Sequence[Finding]) -> str:
    levels = Counter(map(_level, findings))
    told = ", ".join(count(levels[level], level.value) for level in (Level.ERROR, Level.WARNING, Level.NOTE))
    return f"{count(len(findings), 'finding')}: {told}"


def _facts(parts: Sequence[Part], path: Path | None) -> dict[str, Any]:
    findings = [(part.name, finding) for part in parts for finding in part.findings]
    levels = Counter(_level(finding) for _, finding in findings)
    return {
        "version": version("fieldgate"),
        "path": str(path) if path is not None else None,
        "ok": not levels[Level.ERROR],
        "errors": levels[Level.ERROR],
        "warnings": levels[Level.WARNING],
        "notes": levels[Level.NOTE],
        "findings": [
            {
                "id": finding.id,
                "level": _level(finding).value,
                "part": part,
                "about": finding.about or None,
                "seen": finding.seen,
                "do": finding.do or None,
                "see": link_of(finding.id),
                "readme": CATALOGUE[finding.id].readme,
                "figures": dict(finding.figures),
            }
            for part, finding in findings
        ],
    }
