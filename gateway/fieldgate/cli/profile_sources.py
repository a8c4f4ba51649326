"""Where the commands about profiles take them from: the folder of the configuration, files that are named, our own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from fieldgate.config import Config
from fieldgate.config.loops import covers
from fieldgate.config.places import kind_of
from fieldgate.errors import FieldgateError
from fieldgate.ingest.profile_files import profile_paths, read_profile_file
from fieldgate_devices.builtin import IndexEntry, builtin_profiles
from fieldgate_devices.catalogue import Assigned, Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.files.document import MAX_FILE_BYTES, Problem
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.overlap import find_overlaps
from fieldgate_devices.reading import ProfileFile, read_catalogue
from fieldgate_devices.topic_pattern import read_command_pattern

__all__ = [
    "NoFolder", "Profiles", "UnknownProfile", "folder_profiles", "overlap_warnings", "profiles_of", "read_paths",
    "say_what_is_not_in_use", "shown_path", "why",
]  # fmt: skip


class NoFolder(FieldgateError):
    """``devices.path`` of the configuration cannot be looked into."""


class UnknownProfile(FieldgateError):
    """There is no profile of that id."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        hint = did_you_mean(name, known) or "; 'fieldgate devices list' prints those that are there"
        super().__init__(f"there is no profile {name!r}{hint}")


@dataclass(frozen=True, slots=True)
class Profiles:
    """Your own profiles and the built-in ones. ``unreadable`` are files and folders that could not be opened.

    ``catalogue`` holds those that are in use: the valid ones, yours before a built-in one of the same id.
    """

    catalogue: Catalogue
    own: Sequence[ProfileFile]
    built_in: Sequence[IndexEntry]
    unreadable: Sequence[Problem]

    @property
    def problems(self) -> list[Problem]:
        """Everything that is wrong with your own, sorted."""
        return sorted({*self.unreadable, *(problem for file in self.own for problem in file.problems)})

    def file_of(self, name: str) -> ProfileFile | None:
        """Your file with the profile of that id, if it is in use."""
        return next(
            (one for one in self.own if one.contract is not None and one.contract.profile.profile == name), None
        )

    def path_of(self, name: str) -> str:
        """Where the profile of that id that is in use stands, as messages show it; empty where there is none."""
        file = self.file_of(name)
        if file is not None:
            return file.path
        return next((shown_path(one) for one in self.built_in if one.id == name), "")

    def get(self, name: str) -> Contract:
        """Return a profile that is in use.

        Raises:
            UnknownProfile: there is none of that id.
        """
        contract = self.catalogue.contracts.get(name)
        if contract is None:
            raise UnknownProfile(name, list(self.catalogue.contracts))
        return contract


def folder_profiles(config: Config) -> Profiles:
    """Return the profiles of a gateway with this configuration; a missing folder is one without profiles.

    Raises:
        NoFolder: it is something else than a folder.
    """
    folder = config.devices.path
    kind = kind_of(folder)
    if kind == "file":
        raise NoFolder(f"devices.path: {str(folder)!r} is not a folder")
    return profiles_of(*read_paths([folder] if kind != "nothing" else []), config.assigned)


def say_what_is_not_in_use(profiles: Profiles) -> None:
    """Tell on stderr that there are problems, for commands that go on without what has them."""
    if profiles.problems:
        number = len(profiles.problems)
        found = f"{number} problem{'' if number == 1 else 's'} in your profiles"
        typer.echo(f"note: {found}; those are not in use here: 'fieldgate devices check'", err=True)


def profiles_of(
    own: Mapping[str, bytes], unreadable: Sequence[Problem], assigned: Mapping[str, Assigned] | None = None
) -> Profiles:
    """Return what is to be made of files; ``assigned`` is what sources say, by topic."""
    built_in = builtin_profiles()
    catalogue, files = read_catalogue(built_in, own, assigned)
    return Profiles(catalogue, files, built_in.index(), unreadable)


def shown_path(entry: IndexEntry) -> str:
    """The name of a built-in profile's file as messages show it."""
    return f"<built-in>/{entry.file}"


def read_paths(paths: Sequence[Path], *, max_bytes: int = MAX_FILE_BYTES) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the contents of files, and of the profiles or rules in folders, by path; and what could not be read."""
    own: dict[str, bytes] = {}
    unreadable: list[Problem] = []
    for path in paths:
        try:
            is_folder = kind_of(path) == "folder"
            files = profile_paths(path) if is_folder else [path]
        except OSError as error:
            unreadable.append(Problem(Location(str(path), 1, 1), f"the folder cannot be read: {why(error)}"))
            continue
        for file in files:
            try:
                read = read_profile_file if is_folder else _read
                own[str(file)] = read(file, max_bytes=max_bytes)
            except OSError as error:
                unreadable.append(Problem(Location(str(file), 1, 1), f"the file cannot be read: {why(error)}"))
    return own, unreadable


def _read(path: Path, *, max_bytes: int) -> bytes:
    """What was named may be a pipe, too."""
    with path.open("rb") as file:
        return file.read(max_bytes + 1)


def why(error: OSError) -> str:
    """The reason in words."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _silencing(contract: Contract, profiles: Profiles) -> Iterator[Problem]:
    """What this profile says of commands that keeps messages of others from being events."""
    file = profiles.file_of(contract.profile.profile)
    assert file is not None
    for name, command in contract.profile.commands.items():
        if command.publish is None:
            continue
        topics = read_command_pattern(command.publish.topic).filter
        for other, one in profiles.catalogue.contracts.items():
            taken = [matcher.topic for matcher in one.matchers if matcher.topic is not None]
            if other != contract.profile.profile and any(covers(topics, topic.filter) for topic in taken):
                text = (
                    f"messages of {other!r} ({profiles.path_of(other)}) come on topics of this command, and are no "
                    "events where clients of a listener send them"
                )
                where = file.document.where(("commands", name, "publish", "topic"))
                yield Problem(where, text, is_warning=True)


def overlap_warnings(profiles: Profiles) -> list[Problem]:
    """Return what your profiles take from each other, sorted."""
    own = [one.contract for one in profiles.own if one.contract is not None]
    found = [problem for one in own for problem in _silencing(one, profiles)]
    built_in = [one for name, one in profiles.catalogue.contracts.items() if name not in profiles.catalogue.own]
    for one in find_overlaps(own, built_in):
        file, other = profiles.file_of(one.of), profiles.path_of(one.other)
        assert file is not None
        if one.is_never:
            text = f"this never takes a message: {one.other!r} ({other}) is asked before and takes all of them"
        else:
            text = (
                f"{one.other!r} ({other}) takes messages of {one.topic!r} with equal right; {one.winner!r} gets "
                "them, by the order of letters; say more in one of them"
            )
        found.append(Problem(file.document.where(("match", one.number)), text, is_warning=True))
    return sorted(found)
