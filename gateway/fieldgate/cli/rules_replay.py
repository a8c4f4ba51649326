"""``fieldgate rules replay``: what a file of rules would have done, against the rules in force."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fieldgate.cli.journal_source import answers
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.profile_sources import Profiles, folder_profiles, say_what_is_not_in_use
from fieldgate.cli.progress import Progress
from fieldgate.cli.recording_files import recording_at
from fieldgate.cli.rules_app import rules_app
from fieldgate.cli.rules_history import KeptEvents
from fieldgate.cli.rules_replaced import Replaced, replaced
from fieldgate.cli.rules_replay_report import ReplayReport
from fieldgate.cli.words import safe
from fieldgate.config import Config
from fieldgate.errors import FieldgateError
from fieldgate_devices.files.document import Problem
from fieldgate_devices.recording import rfc3339
from fieldgate_rules.tester import Happening, Messages, Replay, Spoken, recorded
from fieldgate_rules.tester.engines import make_engine

__all__: list[str] = []  # the command adds itself

_EXAMPLES: Final = 3
_ALL: Final = 1_000_000
_BUFFER: Final = 512
_UNUSABLE: Final = 2


@rules_app.command("replay", short_help="Say what a file of rules would have done, and how that differs from now.")
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The rules, as they would be in the folder.")],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Events of the journal since then: 90s, 15m, 1h, 7d, or a time. Default: 24h."
        ),
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(metavar="R", help="A recording in place of the journal (rules/RECORDINGS.md).")
    ] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Every difference, not the first of each rule.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send what was heard once more through the rules in force and through those with FILE, and compare what they do.

    A file of that name in the folder counts as replaced, and so does each rule of the same id. Nothing is sent and
    nothing is kept. Events are those of the journal (of the running gateway, or its files when it is stopped): all that
    passed with journal.keep, else what still waits for an uplink. What cannot be known from them is said.
    """
    if since is not None and recording is not None:
        raise typer.BadParameter("the journal has a time, a recording is taken whole", param_hint="--since")
    loaded = written_config(config).config
    profiles = folder_profiles(loaded)
    say_what_is_not_in_use(profiles)
    rules = replaced(file, loaded, profiles.catalogue)
    if rules.problems:
        typer.echo("\n".join(safe(str(one)) for one in rules.problems), err=True)
        raise typer.Exit(_UNUSABLE)
    player = _Player(rules, Progress(is_quiet=as_json), examples=_ALL if is_all else _EXAMPLES)
    kept = KeptEvents({*rules.before.kinds, *rules.after.kinds})
    if recording is None:
        notes = asyncio.run(_from_journal(loaded, since or "24h", player, kept))
    else:
        notes = _from_recording(recording, profiles, player, kept)
    player.end()
    report = ReplayReport(file, rules, player.replay, kept, notes)
    typer.echo(json.dumps(report.facts(), indent=2, ensure_ascii=False) if as_json else safe(report.text(), keep="\n"))


class _Player:
    """Feeds whole moments to both sets of rules."""

    def __init__(self, rules: Replaced, progress: Progress, *, examples: int) -> None:
        self.replay = Replay(rules.before, rules.after, make_engine, examples=examples)
        self._progress = progress
        self._waiting: list[Happening] = []

    def play(self, happenings: Iterable[Happening]) -> None:
        """Take more, in the order in which it came."""
        waiting = self._waiting
        waiting += happenings
        if len(waiting) < _BUFFER:
            return
        last_ns = waiting[-1].at_ns
        end = next((place for place, one in enumerate(waiting) if one.at_ns == last_ns), 0)
        if end:
            self._feed(waiting[:end])
            del waiting[:end]

    def end(self) -> None:
        """That was all."""
        self._feed(self._waiting)
        self._waiting = []
        self.replay.end()

    def _feed(self, happenings: list[Happening]) -> None:
        self.replay.feed(happenings)
        if happenings:
            self._progress.tell(f"{rfc3339(happenings[-1].at_ns)[:19]}Z …")


async def _from_journal(config: Config, since: str, player: _Player, kept: KeptEvents) -> list[str]:
    """Play what is stored; return what is not."""
    request: dict[str, Any] = {"do": "journal.read", "since": since, "device": None}
    async for event in answers(config, request):
        player.play(kept.happenings(event))
    notes = []
    if config.journal.keep is None:
        notes.append(
            "journal.keep is not set: events that every uplink has got are not stored any more, so most are missing"
        )
    notes.append(f"events since {since} that are not stored (any more) are missing, and what the gateway refused")
    if kept.without_time:
        notes.append(f"of {kept.without_time:,} events nobody knew the time: they are placed by how long after it was")
    return notes


def _from_recording(path: Path, profiles: Profiles, player: _Player, kept: KeptEvents) -> list[str]:
    """Play a recording; return what is wrong with it."""
    found = recording_at(path)
    if isinstance(found, str):
        raise FieldgateError(f"recording: {found}")
    problems: list[Problem] = []
    for happening in recorded(found, Messages(profiles.catalogue), problems.append, begin_ns=None):
        if isinstance(happening.action, Spoken):
            kept.count(happening.at_ns, happening.action.said)
        player.play([happening])
    errors = [one for one in problems if not one.is_warning]
    if errors:
        typer.echo("\n".join(safe(str(one)) for one in errors), err=True)
        raise typer.Exit(_UNUSABLE)
    return [str(one) for one in problems]
