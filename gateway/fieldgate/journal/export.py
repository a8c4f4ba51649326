"""Write events to a file of their own: a plain SQLite database for any tool, or JSON lines.

The file has its name only once it is complete, so an export that was cut short never looks whole.
"""

from __future__ import annotations

import importlib
import sqlite3
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec

from fieldgate.errors import FieldgateError

__all__ = ["ExportError", "ExportFile", "export_file", "json_line"]

_DATABASE_SUFFIXES: Final = (".db", ".sqlite", ".sqlite3")
_BATCH: Final = 1_000
_EVENT_COLUMNS: Final = {
    "id": str,
    "gateway": str,
    "run": str,
    "number": int,
    "lane": str,
    "device": str,
    "type": str,
    "topic": str,
    "time": str,
    "timequality": str,
    "uptime_s": float,
    "is_json": int,
    "data": str,  # JSON text; bytes where it is none: SQLite does not mind
    "raw": bytes,
    "expiry_s": int,
}
_LEDGER_COLUMNS: Final = {
    "uplink": str,
    "lane": str,
    "reason": str,
    "run": str,
    "events": int,
    "first": int,
    "last": int,
    "time": str,
}

_encode = msgspec.json.Encoder().encode


class ExportError(FieldgateError):
    """The export cannot be written."""


class ExportFile(Protocol):
    """A file that is being written; raises `ExportError` where that is not possible."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Let go; what is not complete is deleted."""

    def write(self, event: dict[str, Any]) -> None:
        """Add one event, as `fieldgate.journal.facts.event_facts` has it."""

    def finish(self, ledger: list[dict[str, Any]]) -> None:
        """Everything is there: add what was lost, and give the file its name."""


def export_file(path: Path) -> ExportFile:
    """Return what writes ``path``, which must not exist: a database for .db, .sqlite and .sqlite3, else JSON lines.

    Raises:
        ExportError: it exists, or cannot be made.
    """
    if path.exists():
        raise ExportError(f"{path} exists; export to a new file")
    return _Database(path) if path.suffix.lower() in _DATABASE_SUFFIXES else _Lines(path)


def json_line(event: dict[str, Any]) -> bytes:
    """Return one event as a line: data that is JSON stands as it is, other data as base64."""
    if not event["is_json"]:
        return _encode({**event, "data_base64": event["data"], "data": None}) + b"\n"
    data = event["data"].encode()
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    return _encode({**event, "data": msgspec.Raw(data)}) + b"\n"


class _Part(ABC):
    """What both kinds share: the unfinished file beside the one that it becomes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        with self._telling():
            self._part.unlink(missing_ok=True)
            self._part.touch(mode=0o600)

    def __enter__(self) -> Self:
        """See `ExportFile`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """See `ExportFile`."""
        with self._telling():
            try:
                self._close()
            finally:
                self._part.unlink(missing_ok=True)

    @abstractmethod
    def _close(self) -> None:
        """Close the file; again does no harm."""

    def _put_in_place(self) -> None:
        with self._telling():
            self._close()
            self._part.rename(self._path)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ExportError(f"{self._path}: {(error.strerror or str(error)).lower()}") from error
        except sqlite3.Error as error:
            raise ExportError(f"{self._path}: {error}") from error


class _Lines(_Part):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = self._part.open("wb")

    def write(self, event: dict[str, Any]) -> None:
        """See `ExportFile`."""
        with self._telling():
            self._file.write(json_line(event))

    def finish(self, ledger: list[dict[str, Any]]) -> None:
        """See `ExportFile`; the ledger is no event and has no line."""
        self._put_in_place()

    def _close(self) -> None:
        self._file.close()


class _Database(_Part):
    """Tables ``events`` and ``ledger``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._rows: list[dict[str, Any]] = []
        sqlite_utils = importlib.import_module("sqlite_utils")  # a quarter of a second that others need not wait
        with self._telling():
            self._database = sqlite_utils.Database(self._part)
            self._database.conn.execute("PRAGMA journal_mode=OFF")
            self._database.conn.execute("PRAGMA synchronous=OFF")
            self._database["events"].create(_EVENT_COLUMNS, pk="id")
            self._database["ledger"].create(_LEDGER_COLUMNS)

    def write(self, event: dict[str, Any]) -> None:
        """See `ExportFile`."""
        event = dict(event)
        if not event["is_json"]:
            event["data"] = b64decode(event["data"])
        raw = event.pop("raw_base64", None)
        event["raw"] = None if raw is None else b64decode(raw)
        event.setdefault("expiry_s", None)
        self._rows.append(event)
        if len(self._rows) >= _BATCH:
            self._insert()

    def _insert(self) -> None:
        with self._telling():
            self._database["events"].insert_all(self._rows, ignore=True)
        self._rows.clear()

    def finish(self, ledger: list[dict[str, Any]]) -> None:
        """See `ExportFile`."""
        self._insert()
        with self._telling():
            self._database["ledger"].insert_all(ledger)
            self._database["events"].create_index(["device", "time"])
        self._put_in_place()

    def _close(self) -> None:
        self._database.close()
