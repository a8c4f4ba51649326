"""``fieldgate rules check``: is every rule usable, and does any do what hardly can be meant?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from fieldgate.cli.devices_check import problem_facts
from fieldgate.cli.heard_devices import heard_profiles
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.rules_app import rules_app
from fieldgate.cli.rules_groups import nothing_there, profiles_for, rule_groups
from fieldgate.cli.words import count, safe
from fieldgate.config.known_rules import known_to_rules
from fieldgate_devices.files.document import Problem
from fieldgate_rules.condition import with_caret
from fieldgate_rules.reading import Known, ReadRules, read_rules

__all__: list[str] = []  # the command adds itself

_PROBLEM: Final = 1
_WORD: Final = re.compile(r"[\w.*-]+|\S")


@rules_app.command("check", short_help="Check rules against profiles and configuration; tells every problem at once.")
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE|FOLDER", help="Default: the folder of the configuration (rules.path)."),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check rules: every problem with file:line:column and the line itself, all at once.

    Conditions, values and commands are checked against the profiles, names of uplinks against the configuration, names
    of devices against those that its gateway has heard. Warns of what can run and is hardly meant: circles of rules,
    commands at every event, what nobody uses. A file of the folder is read with the whole folder.

    Ends with 0 when all can be used (warnings do not count), with 1 when not.
    """
    loaded = written_config(config)
    folder = loaded.config.rules.path
    groups = rule_groups(paths or [], folder)
    profiles = profiles_for(loaded, paths or [folder])
    known = Known() if loaded.path is None else known_to_rules(loaded.config, heard_profiles(loaded.config))
    reads = [read_rules(one.contents, profiles.catalogue, known) for one in groups]
    contents = {path: content for one in groups for path, content in one.contents.items()}
    problems = sorted(
        {*profiles.problems, *(one for group in groups for one in group.unreadable),
         *(one for read in reads for one in read.problems)}
    )  # fmt: skip
    errors = [one for one in problems if not one.is_warning]
    if as_json:
        warnings = [one for one in problems if one.is_warning]
        facts = {"ok": not errors, "errors": problem_facts(errors), "warnings": problem_facts(warnings)}
        ids = [one.id for read in reads for one in read.rules.rules]
        typer.echo(json.dumps(facts | {"rules": ids}, indent=2, ensure_ascii=False))
    else:
        where = ", ".join(map(str, paths or [folder]))
        typer.echo("\n".join([*(_shown(one, contents) for one in problems), _verdict(reads, errors, where, folder)]))
    raise typer.Exit(_PROBLEM if errors else 0)


def _shown(problem: Problem, contents: dict[str, bytes]) -> str:
    """The problem, with the line of the file and a caret below the word that it is about."""
    content = contents.get(problem.where.path)
    if content is None:
        return str(problem)
    text = content.decode("utf-8-sig", errors="replace")
    lines = text.split("\n")
    line = lines[problem.where.line - 1] if problem.where.line <= len(lines) else ""
    word = _WORD.match(line, problem.where.column - 1)
    shown = with_caret(problem, text, width=1 if word is None else len(word[0]))
    return "\n".join(map(safe, shown.split("\n")))


def _verdict(reads: list[ReadRules], errors: list[Problem], where: str, folder: Path) -> str:
    if errors:
        return f"{count(len(errors), 'problem')} found"
    rules = sum(len(one.rules.rules) for one in reads)
    return f"{where}: {count(rules, 'rule')}: ok" if rules else f"{where}: {nothing_there(folder)}"
