"""Write events to a file of their own: a plain SQLite database, or JSON lines."""

from __future__ import annotations

import importlib
from base64 import b64decode
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec

__all__ = ["DatabaseFile", "ExportFile", "LinesFile", "export_file", "json_line"]

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


class ExportFile(Protocol):
    """A file that is being written; it exists under its own name only once it is complete."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go; what is not complete is deleted."""

    def write(self, event: dict[str, Any]) -> None:
        """Add one event, as `fieldgate.journal.facts.event_facts` has it."""

    def finish(self, ledger: list[dict[str, Any]]) -> None:
        """Everything is there: add what was lost, and give the file its name."""


def export_file(path: Path) -> ExportFile:
    """Return what writes ``path``: a database for .db, .sqlite and .sqlite3, else JSON lines."""
    return DatabaseFile(path) if path.suffix.lower() in _DATABASE_SUFFIXES else LinesFile(path)


def json_line(event: dict[str, Any]) -> bytes:
    """Return one event as a line: data that is JSON stands as it is, other data as base64."""
    if not event["is_json"]:
        return _encode({**event, "data_base64": event["data"], "data": None}) + b"\n"
    data = event["data"].encode()
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    return _encode({**event, "data": msgspec.Raw(data)}) + b"\n"


class _Part:
    """The unfinished file, beside the one that it becomes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.part.unlink(missing_ok=True)

    def put_in_place(self) -> None:
        self.part.rename(self.path)

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)


class LinesFile:
    """One JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._file = _Part(path)
        self._lines = self._file.part.open("wb")

    def __enter__(self) -> Self:
        """See `ExportFile`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `ExportFile`."""
        self._lines.close()
        self._file.discard()

    def write(self, event: dict[str, Any]) -> None:
        """See `ExportFile`."""
        self._lines.write(json_line(event))

    def finish(self, ledger: list[dict[str, Any]]) -> None:
        """See `ExportFile`; the ledger is no event and has no line."""
        self._lines.flush()
        self._file.put_in_place()


class DatabaseFile:
    """Tables ``events`` and ``ledger`` for the sqlite-utils command line."""

    def __init__(self, path: Path) -> None:
        sqlite_utils = importlib.import_module(
            "sqlite_utils"
        )  # a quarter of a second that other commands need not wait
        self._file = _Part(path)
        self._database = sqlite_utils.Database(self._file.part)
        self._database.conn.execute("PRAGMA synchronous=OFF")
        self._database["events"].create(_EVENT_COLUMNS, pk="id")
        self._database["ledger"].create(_LEDGER_COLUMNS)
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """See `ExportFile`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `ExportFile`."""
        self._database.close()
        self._file.discard()

    def write(self, event: dict[str, Any]) -> None:
        """See `ExportFile`."""
        if not event["is_json"]:
            event = {**event, "data": b64decode(event["data"])}
        if (raw := event.pop("raw_base64", None)) is not None:
            event["raw"] = b64decode(raw)
        self._rows.append(event)
        if len(self._rows) >= _BATCH:
            self._insert()

    def _insert(self) -> None:
        self._database["events"].insert_all(self._rows, ignore=True)
        self._rows.clear()

    def finish(self, ledger: list[dict[str, Any]]) -> None:
        """See `ExportFile`."""
        self._insert()
        self._database["ledger"].insert_all(ledger)
        self._database["events"].create_index(["device", "time"])
        self._database.close()
        self._file.put_in_place()
