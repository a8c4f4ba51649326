"""Which files of rules are read together, and with which profiles, where rules are tested or replayed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldgate.cli.profile_sources import Profiles, folder_profiles, profiles_of, read_paths
from fieldgate.config.loader import LoadedConfig
from fieldgate.config.places import kind_of
from fieldgate_devices.files.document import Problem
from fieldgate_rules.file_limits import MAX_RULE_FILE

__all__ = ["RuleGroup", "nothing_there", "profiles_for", "rule_groups"]


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Files whose rules know each other: their contents by path. ``tested`` are those that are asked for."""

    contents: Mapping[str, bytes]
    tested: tuple[str, ...]
    unreadable: tuple[Problem, ...] = ()


def rule_groups(paths: Sequence[Path], folder: Path) -> list[RuleGroup]:
    """Return what is read together: a folder as a whole, a file of ``folder`` with that folder, another one alone.

    Without ``paths`` it is ``folder``, the rules of the configuration, which may be missing.
    """
    if not paths:
        return [_group([folder] if kind_of(folder) != "nothing" else [], None)]
    groups: list[RuleGroup] = []
    of_folder: list[Path] = []
    for path in paths:
        if kind_of(path) != "folder" and path.parent.resolve() == folder.resolve():
            of_folder.append(folder / path.name)
        else:
            groups.append(_group([path], None))
    if of_folder:
        groups.insert(0, _group([folder], of_folder))
    return groups


def _group(paths: Sequence[Path], tested: Sequence[Path] | None) -> RuleGroup:
    contents, unreadable = read_paths(paths, max_bytes=MAX_RULE_FILE.max_bytes)
    names = tuple(contents) if tested is None else tuple(dict.fromkeys(map(str, tested)))
    if tested is not None and (missing := [Path(one) for one in names if one not in contents]):
        more, also_unreadable = read_paths(
            missing, max_bytes=MAX_RULE_FILE.max_bytes
        )  # a file of the folder that no gateway would read
        contents, unreadable = {**contents, **more}, [*unreadable, *also_unreadable]
    return RuleGroup(contents, names, tuple(unreadable))


def nothing_there(folder: Path) -> str:
    """Why no rules were found where a configuration has them: a slip in ``rules.path`` looks the same else."""
    return "no rules" if kind_of(folder) != "nothing" else "no rules: there is no such folder"


def profiles_for(loaded: LoadedConfig, paths: Sequence[Path]) -> Profiles:
    """Return the profiles of the configuration; without a file of it those in a ``devices.d`` beside ``paths``."""
    if loaded.path is not None:
        return folder_profiles(loaded.config)
    around = [parent for path in paths for parent in (path, path.parent, path.parent.parent)]
    found = {os.path.realpath(one): one for near in around if kind_of(one := near / "devices.d") == "folder"}
    return profiles_of(*read_paths(list(found.values()))) if found else folder_profiles(loaded.config)
