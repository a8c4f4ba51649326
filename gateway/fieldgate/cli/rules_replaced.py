"""The rules in force, and the same with a file put in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldgate.cli.profile_sources import read_paths
from fieldgate.config import Config
from fieldgate.config.places import kind_of
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.files.document import Problem
from fieldgate_rules.reading import read_rules
from fieldgate_rules.reading.sections import read_file
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester import is_error

__all__ = ["Replaced", "replaced"]


@dataclass(frozen=True, slots=True)
class Replaced:
    """``before`` are the rules in force, ``after`` those with the file; ``own`` are the ids of its rules.

    ``problems`` are those of the file: with one it cannot be used. ``left_out`` are those of the folder: rules that
    have them are not in force.
    """

    before: RuleSet
    after: RuleSet
    own: frozenset[str]
    problems: tuple[Problem, ...]
    left_out: tuple[Problem, ...]


def replaced(file: Path, config: Config, catalogue: Catalogue) -> Replaced:
    """Put ``file`` in the place of the one of that name in the folder, and of rules with the ids of its own."""
    folder = config.rules.path
    in_force, unreadable = read_paths([folder] if kind_of(folder) == "folder" else [])
    name = str(file)
    content, missing = read_paths([file])
    if missing:
        return Replaced(RuleSet(), RuleSet(), frozenset(), tuple(missing), ())
    before = read_rules(in_force, catalogue)
    left_out = tuple(one for one in (*unreadable, *before.problems) if is_error(one))
    others = {path: text for path, text in in_force.items() if Path(path).name != file.name}
    own = frozenset(one for text in content.values() for one in _ids(name, text))
    clashing = {rule.where.path for rule in before.rules.rules if rule.id in own}
    known = {path: text for path, text in others.items() if path not in clashing}
    read = read_rules({**known, **content}, catalogue)
    problems = tuple(one for one in read.problems if one.where.path == name and is_error(one))
    new = [rule for rule in read.rules.rules if rule.where.path == name]
    ids = frozenset(rule.id for rule in new)
    kept = [rule for rule in before.rules.rules if rule.where.path in others and rule.id not in ids]
    return Replaced(before.rules, RuleSet((*kept, *new)), ids, problems, left_out)


def _ids(path: str, content: bytes) -> Iterator[str]:
    """The ids of rules as they are written, right or wrong."""
    for node in read_file(path, content).rules:
        written = node.content.get("id") if isinstance(node.content, dict) else None
        if written is not None and isinstance(written[1].content, str):
            yield written[1].content
