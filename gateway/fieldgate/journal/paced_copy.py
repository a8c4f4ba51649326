"""Copy a database that is open and written to, a few pages at a time, into a file that is whole and consistent.

SQLite's backup follows what is written through the same connection meanwhile, so the copy shows the database as it is
when it ends. The last pages wait until `finish` is called: whoever calls it between two commits chooses that moment,
and waits for those few pages only. A commit waits for one step at most; after each the copy rests.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

from fieldgate.errors import FieldgateError
from fieldgate.threads import leave_signals_to_main

__all__ = ["STEP_BYTES", "CopyFailed", "PacedCopy"]

STEP_BYTES: Final = 256 << 10
_REST_S: Final = 0.004  # about 60 MB a second at most
_BUSY_S: Final = 0.002  # a commit is under way


class CopyFailed(FieldgateError):
    """There is no copy, or only a part of one."""


class _Aborted(Exception):
    """Somebody wants the database back."""


class PacedCopy:
    """One copy in a thread of its own, from `begin` until `finish` or `abort`.

    ``copied_bytes`` of ``total_bytes`` are there. ``is_near``: all but the last pages are, or it has failed.
    """

    def __init__(self, source: sqlite3.Connection, target: Path) -> None:
        self.copied_bytes = 0
        self.total_bytes = 0
        self._source = source
        self._target = target
        self._page_bytes = int(source.execute("PRAGMA page_size").fetchone()[0])
        (pages,) = source.execute("PRAGMA page_count").fetchone()
        self._is_small = int(pages) * self._page_bytes <= STEP_BYTES
        self._near = threading.Event()
        self._go = threading.Event()
        self._abort = threading.Event()
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start copying; a database of one step is left to `finish` altogether."""
        if self._is_small:
            self._near.set()
            return
        self._thread = threading.Thread(target=self._run, name=f"copy:{self._target.name}")
        self._thread.start()

    @property
    def is_near(self) -> bool:
        """See the class."""
        return self._near.is_set()

    def finish(self) -> None:
        """Copy the last pages and return when the file is complete; it shows the database as it is now.

        To be called by the thread that writes, outside of any transaction.

        Raises:
            CopyFailed: it could not be done, or was aborted.
        """
        self._go.set()
        if self._thread is None:
            self._run()
        else:
            self._thread.join()
        if self._failure is not None:
            raise CopyFailed(f"{self._target.name}: {self._failure}") from self._failure

    def abort(self) -> None:
        """Give it up and wait until the database is left alone; does no harm afterwards."""
        self._abort.set()
        self._go.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        if self._thread is not None:
            leave_signals_to_main()
        try:
            self._target.touch(mode=0o600)
            with closing(sqlite3.connect(self._target, isolation_level=None)) as target:
                target.execute("PRAGMA synchronous=OFF")  # it counts only once it is whole; who keeps it syncs it
                target.execute("PRAGMA journal_mode=OFF")
                pages = STEP_BYTES // self._page_bytes
                self._source.backup(target, pages=pages, progress=self._step_ended, sleep=_BUSY_S)
        except _Aborted:
            self._failure = CopyFailed("the copy was given up, because its file was closed")
        except (sqlite3.Error, OSError) as error:
            self._failure = error
        finally:
            self._near.set()

    def _step_ended(self, _status: int, remaining: int, total: int) -> None:
        if self._abort.is_set():
            raise _Aborted
        self.total_bytes = total * self._page_bytes
        self.copied_bytes = (total - remaining) * self._page_bytes
        if self._go.is_set() or not remaining:
            return
        if remaining * self._page_bytes <= STEP_BYTES:
            self._near.set()
            self._go.wait()
        else:
            self._abort.wait(_REST_S)
        if self._abort.is_set():
            raise _Aborted
