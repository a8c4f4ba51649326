"""The profiles of a gateway: those that come with it and those in ``devices.d``, read again when these change (P7).

A changed folder counts only as a whole and only if all of it is valid; else what was read before stays in force, and
the status names every problem. At the start there is nothing before: what is valid counts.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from fieldgate.threads import leave_signals_to_main
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.catalogue import Assigned, Catalogue
from fieldgate_devices.files.document import MAX_FILE_BYTES
from fieldgate_devices.reading import read_catalogue

__all__ = [
    "LoadedProfiles", "ProfileFiles", "ProfileWatch", "Signature", "profile_paths", "read_folder",
    "read_profile_file",
    "signature_of", "unknown_profiles", "why_unreadable",
]  # fmt: skip

log = structlog.get_logger("fieldgate")

_EVERY_S: Final = 1.0
_MAX_FILES: Final = 500
_LOGGED: Final = 5

Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class LoadedProfiles:
    """What the folder holds. With ``problems`` the catalogue is without the profiles that have them."""

    catalogue: Catalogue
    problems: tuple[str, ...] = ()
    signature: Signature | None = None


def profile_paths(folder: Path) -> list[Path]:
    """Return the profiles in ``folder``: files that end with ``.yaml`` or ``.yml``, not hidden, in order.

    Raises:
        OSError: the folder cannot be read; FileNotFoundError where there is none.
    """
    return sorted(
        path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"} and not path.name.startswith(".")
    )


def read_profile_file(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return what a file of the folder holds, up to a byte more than one may have.

    Raises:
        OSError: it cannot be read, or is no plain file: a pipe would be waited for, perhaps for ever. Or root reads and
            it is somebody's link to a file that is not his: who may edit rules would have root read out any file.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no plain file")
        if os.geteuid() == 0 and path.is_symlink() and path.lstat().st_uid not in (0, status.st_uid):
            raise OSError("it is a link to a file of another user than who made it, which root does not follow")
        return file.read(max_bytes + 1)


def why_unreadable(error: OSError) -> str:
    """Return the reason in words."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _state(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere
        return path.name, 0, 0, 0
    return path.name, status.st_mtime_ns, status.st_size, status.st_ino


def signature_of(folder: Path) -> Signature | None:
    """Return what changes when a file of ``folder`` does; None where the folder cannot be read."""
    try:
        return tuple(map(_state, profile_paths(folder)))
    except OSError:
        return None


def read_folder(folder: Path, *, max_files: int, max_bytes: int) -> tuple[dict[str, bytes], list[str]]:
    """Return what the files of a folder hold, by path, up to a byte more than ``max_bytes`` each, and what is wrong.

    A folder that is missing has none.
    """
    contents: dict[str, bytes] = {}
    try:
        paths = profile_paths(folder)
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{folder}: the folder cannot be read: {why_unreadable(error)}"]
    if len(paths) > max_files:
        return {}, [f"{folder}: {len(paths)} files are too many; allowed: {max_files}"]
    problems: list[str] = []
    for path in paths:
        try:
            contents[str(path)] = read_profile_file(path, max_bytes=max_bytes)
        except OSError as error:
            problems.append(f"{path}: the file cannot be read: {why_unreadable(error)}")
    return contents, problems


def unknown_profiles(assigned: Iterable[Assigned], catalogue: Catalogue) -> list[str]:
    """Return what is to be said of sources that name a profile which there is not."""
    problems = []
    for one in assigned:
        if one.profile not in catalogue.contracts:
            like = difflib.get_close_matches(one.profile, list(catalogue.contracts), n=1)
            hint = f"; did you mean {like[0]!r}?" if like else ""
            problems.append(f"sources: {one.source} names profile {one.profile!r}, and there is none{hint}")
    return problems


class ProfileFiles:
    """Reads ``folder``, which may be missing: then there are the built-in profiles only.

    ``assigned`` is what sources say of the profiles of their messages, by topic.
    """

    def __init__(self, folder: Path, assigned: Mapping[str, Assigned] | None = None) -> None:
        self.folder = folder
        self._assigned = assigned or {}

    def signature(self) -> Signature | None:
        """Return what changes when a profile does; None where the folder cannot be read."""
        return signature_of(self.folder)

    def load(self) -> LoadedProfiles:
        """Read everything; never raises, what is wrong is in the answer. Takes some milliseconds per profile."""
        signature = self.signature()  # before reading: a change meanwhile is a change after it
        own, problems = read_folder(self.folder, max_files=_MAX_FILES, max_bytes=MAX_FILE_BYTES)
        catalogue, files = read_catalogue(builtin_profiles(), own, self._assigned)
        problems += [str(problem) for file in files for problem in file.problems]
        problems += unknown_profiles(self._assigned.values(), catalogue)
        return LoadedProfiles(catalogue, tuple(problems), signature)


class ProfileWatch:
    """Keeps the profiles that are in use up to date. ``use`` is called on the loop with each new catalogue.

    ``problems`` says why what is in the folder is not, or not all, in use; empty when all is well.
    """

    def __init__(self, files: ProfileFiles, loaded: LoadedProfiles, use: Callable[[Catalogue], None]) -> None:
        self.loaded = loaded
        self.problems = loaded.problems
        self._files = files
        self._use = use
        self._seen = loaded.signature

    def read(self) -> LoadedProfiles:
        """Read the folder, in whatever thread; nothing is used yet."""
        return self._noticed(self._files.load())

    def take(self, loaded: LoadedProfiles) -> None:
        """Use what was read; where it is what is in use, nothing happens."""
        if loaded.signature != self._seen or self.problems:
            self._changed(loaded, loaded.signature)

    def _noticed(self, loaded: LoadedProfiles) -> LoadedProfiles:
        """A folder that was there and is gone is no wish to have no profiles."""
        if loaded.signature is None and self.loaded.signature is not None and not loaded.problems:
            return replace(loaded, problems=(f"{self._files.folder}: the folder is gone",))
        return loaded

    async def run(self) -> None:
        """Look once a second until cancelled."""
        if self.problems:
            _say_refused(self.problems, "these profiles are left out until they are mended")
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="profiles", initializer=leave_signals_to_main)
        last = self._seen
        try:
            while True:
                await asyncio.sleep(_EVERY_S)
                now = self._files.signature()
                is_settled, last = now == last, now  # whoever is still writing is waited for
                if is_settled and now != self._seen:
                    self._changed(await loop.run_in_executor(pool, self._files.load), now)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _changed(self, loaded: LoadedProfiles, seen: Signature | None) -> None:
        self._seen = seen
        self.problems = self._noticed(loaded).problems
        if self.problems:
            _say_refused(self.problems, "the profiles read before stay in use")
            return
        self.loaded = loaded
        self._use(loaded.catalogue)
        log.info("profiles.loaded", profiles=len(loaded.catalogue.contracts), own=len(loaded.catalogue.own))


def _say_refused(problems: tuple[str, ...], meaning: str) -> None:
    for problem in problems[:_LOGGED]:
        log.error("profiles.refused", problem=problem, meaning=meaning)
    if len(problems) > _LOGGED:
        log.error("profiles.refused", problem=f"and {len(problems) - _LOGGED} more", meaning=meaning)
