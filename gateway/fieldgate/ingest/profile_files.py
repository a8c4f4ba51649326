"""The profiles of a gateway: those that come with it and those in ``devices.d``, read again when these change (P7).

A changed folder counts only as a whole and only if all of it is valid; else what was read before stays in force, and
the status names every problem. At the start there is nothing before: what is valid counts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from fieldgate.threads import leave_signals_to_main
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.files.document import MAX_FILE_BYTES
from fieldgate_devices.reading import read_catalogue

__all__ = ["LoadedProfiles", "ProfileFiles", "ProfileWatch", "profile_paths"]

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


class ProfileFiles:
    """Reads ``folder``, which may be missing: then there are the built-in profiles only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def signature(self) -> Signature | None:
        """Return what changes when a profile does; None where the folder cannot be read."""
        try:
            found = [(path.name, path.stat()) for path in profile_paths(self.folder)]
        except OSError:
            return None
        return tuple((name, status.st_mtime_ns, status.st_size, status.st_ino) for name, status in found)

    def load(self) -> LoadedProfiles:
        """Read everything; never raises, what is wrong is in the answer. Takes some milliseconds per profile."""
        signature = self.signature()  # before reading: a change meanwhile is a change after it
        own: dict[str, bytes] = {}
        problems: list[str] = []
        try:
            paths = profile_paths(self.folder)
        except FileNotFoundError:
            paths = []
        except OSError as error:
            paths = []
            problems.append(f"{self.folder}: the folder cannot be read: {os.strerror(error.errno or 0).lower()}")
        if len(paths) > _MAX_FILES:
            problems.append(f"{self.folder}: {len(paths)} profiles are too many; allowed: {_MAX_FILES}")
            paths = []
        for path in paths:
            try:
                with path.open("rb") as file:
                    own[str(path)] = file.read(MAX_FILE_BYTES + 1)
            except OSError as error:
                problems.append(f"{path}: the file cannot be read: {os.strerror(error.errno or 0).lower()}")
        catalogue, files = read_catalogue(builtin_profiles(), own)
        problems += [str(problem) for file in files for problem in file.problems]
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
        self.problems = loaded.problems
        if seen is None and self.loaded.signature is not None:
            self.problems = (f"{self._files.folder}: the folder is gone",)
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
