"""The rules of a gateway: the files of ``rules.d``, read again when these change or the profiles do (P7).

A changed folder counts only as a whole and only if all of it is valid; else the rules that were read before go on, and
the status names every problem. At the start there is nothing before: what is valid counts. Whoever is still writing is
waited for: the folder counts once it has been the same for a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fieldgate.config import Config
from fieldgate.errors import FieldgateError
from fieldgate.ingest.profile_files import Signature, read_folder, signature_of
from fieldgate.threads import leave_signals_to_main
from fieldgate_devices.catalogue import Catalogue
from fieldgate_rules.file_limits import MAX_RULE_FILE
from fieldgate_rules.rule import RuleSet

if TYPE_CHECKING:  # see load
    from fieldgate_rules.reading import RulesReader

__all__ = ["LoadedRules", "RuleFiles", "RuleWatch", "RulesClosed"]

_EVERY_S: Final = 1.0
_MAX_FILES: Final = 500


class RulesClosed(FieldgateError):
    """The rules are not read any more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is not read any more: the gateway is about to stop")
        self.folder = folder


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """What the folder holds. With ``problems`` the rules are without those that have them."""

    rules: RuleSet
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    signature: Signature | None = None


class RuleFiles:
    """Reads ``folder``, which may be missing: then there are no rules."""

    def __init__(self, config: Config) -> None:
        self.folder: Path = config.rules.path
        self._config = config
        self._reader: RulesReader | None = None

    def signature(self) -> Signature | None:
        """Return what changes when a file does; None where the folder cannot be read."""
        return signature_of(self.folder)

    def load(self, catalogue: Catalogue) -> LoadedRules:
        """Read everything; never raises, what is wrong is in the answer. One at a time.

        Takes about half a millisecond for each rule; of files that have not changed only what others say to them.
        """
        signature = self.signature()  # before reading: a change meanwhile is a change after it
        contents, problems = read_folder(self.folder, max_files=_MAX_FILES, max_bytes=MAX_RULE_FILE.max_bytes)
        if not contents:
            return LoadedRules(RuleSet(), tuple(problems), (), signature)
        from fieldgate.config.known_rules import known_to_rules  # with 4 MB that a gateway without rules need not have
        from fieldgate_rules.reading import RulesReader

        self._reader = self._reader or RulesReader()
        read = self._reader.read(contents, catalogue, known_to_rules(self._config))
        if read.rules.rules:
            import_module("fieldgate_rules.engine")  # which runs them: here, in a thread, nothing waits for it
        problems += [str(problem) for problem in read.problems if not problem.is_warning]
        warnings = [str(problem) for problem in read.problems if problem.is_warning]
        return LoadedRules(read.rules, tuple(problems), tuple(warnings), signature)


class RuleWatch:
    """Keeps the rules that are in force up to date; ``problems`` says why what is in the folder is not, or not all.

    ``use`` is called on the loop with each new set, ``refused`` once for what is wrong, until that changes. Both are
    the caller's to set.
    """

    def __init__(self, files: RuleFiles, catalogue: Catalogue) -> None:
        self.use: Callable[[LoadedRules], None] = _nobody
        self.refused: Callable[[tuple[str, ...], str], None] = _nobody
        self.loaded = files.load(catalogue)
        self.problems = self.loaded.problems
        self.reads = 1
        self._files = files
        self._catalogue = catalogue
        self._seen = self.loaded.signature
        self._is_stale = False  # the profiles have changed since
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rules", initializer=leave_signals_to_main)
        self._reading = asyncio.Lock()
        self._is_closed = False

    def read(self, catalogue: Catalogue) -> LoadedRules:
        """Read the folder by these contracts, in whatever thread; nothing is used yet."""
        return self._noticed(self._files.load(catalogue))

    def _noticed(self, loaded: LoadedRules) -> LoadedRules:
        """A folder that was there and is gone is no wish to have no rules."""
        if loaded.signature is None and self.loaded.signature is not None and not loaded.problems:
            return replace(loaded, problems=(f"{self._files.folder}: the folder is gone",))
        return loaded

    def take(self, loaded: LoadedRules) -> None:
        """Use what was read; where it is what is in force, nothing happens."""
        if loaded.signature != self._seen or self.problems or self._is_stale:
            self._is_stale = False
            self._take(loaded)

    def use_profiles(self, catalogue: Catalogue) -> None:
        """From now on by these contracts: what is in the folder may mean something else, or nothing any more."""
        self._catalogue = catalogue
        self._is_stale = True

    async def run(self) -> None:
        """Look once a second until cancelled."""
        if self.problems and self.reads == 1:
            self.refused(self.problems, "these rules are left out until they are mended")
        last = self._seen
        while True:
            await asyncio.sleep(_EVERY_S)
            now = self._files.signature()
            is_settled, last = now == last, now
            if is_settled and (now != self._seen or self._is_stale):
                await self.reload()

    async def reload(self) -> tuple[str, ...]:
        """Read the folder now, and use it if all of it is valid; return what is not.

        Raises:
            RulesClosed: it was closed, perhaps meanwhile; nothing has changed then.
        """
        async with self._reading:
            self._check_open()
            self._is_stale = False
            loop = asyncio.get_running_loop()
            loaded = await loop.run_in_executor(self._pool, self._files.load, self._catalogue)
            self._check_open()
            self._take(loaded)
            return self.problems

    def _check_open(self) -> None:
        if self._is_closed:
            raise RulesClosed(self._files.folder)

    def _take(self, loaded: LoadedRules) -> None:
        self.reads += 1
        self._seen, problems = loaded.signature, self._noticed(loaded).problems
        is_news, self.problems = problems != self.problems, problems
        if problems:
            if is_news:
                self.refused(problems, "the rules read before go on")
            return
        self.loaded = loaded
        self.use(loaded)

    def close(self) -> None:
        """Read nothing any more; what is being read is left to its end, and not used."""
        self._is_closed = True
        self._pool.shutdown(wait=False)


def _nobody(*_facts: object) -> None:
    pass
