"""Write the whole journal somewhere else, in bounded memory and in steps, between which commits go on.

Nothing is held open in the journal between two steps, so a slow target neither pins its log nor stalls it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Protocol, Self

import msgspec

from fieldgate.journal.records import ExportProgress, LedgerRow, ScanResult, StoredBlock

__all__ = ["DatabaseTarget", "Export", "JsonLinesTarget"]

_STEP_BYTES: Final = 1 << 20
_LANE_NAMES: Final = ("high", "normal", "low")


class Exportable(Protocol):
    """The part of a journal that an export needs."""

    def scan(self, after_no: int, *, max_bytes: int) -> ScanResult:
        """Blocks after that number."""

    def ledger(self) -> list[LedgerRow]:
        """The ledger."""


class Target(Protocol):
    """Where rows go."""

    def write(self, rows: list[dict[str, object]]) -> None:
        """Write events."""

    def finish(self, ledger: list[LedgerRow]) -> None:
        """All events were written."""

    def close(self) -> None:
        """Let go."""


class Export:
    """One export; use it as a context manager."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.progress = ExportProgress(0, 0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._target.close()

    def step(self, journal: Exportable) -> bool:
        """Write about a megabyte more; answers whether there may be more."""
        return self.put(self.take(journal), journal.ledger)

    def take(self, journal: Exportable) -> ScanResult:
        """The first half of a step, for the journal's thread."""
        return journal.scan(self.progress.last_block_no, max_bytes=_STEP_BYTES)

    def put(self, result: ScanResult, ledger: Any) -> bool:
        """The second half, for any thread; ``ledger`` is asked once, at the end."""
        rows = [row for block in result.blocks for row in _rows(block)]
        if rows:
            self._target.write(rows)
        blocks = self.progress.blocks + len(result.blocks)
        self.progress = ExportProgress(blocks, self.progress.events + len(rows), result.last_no)
        if not result.more:
            self._target.finish(ledger())
        return result.more


def _rows(block: StoredBlock) -> list[dict[str, object]]:
    return [
        {
            "run": f"{block.run:016x}",
            "seq": event.seq,
            "lane": _LANE_NAMES[event.lane],
            "device": event.address.device,
            "type": event.address.type,
            "topic": event.address.topic,
            "time_ns": event.stamp.wall_ns,
            "time_quality": event.stamp.quality,
            "boot_ns": event.stamp.boot_ns,
            "content_id": f"{event.content_id:016x}",
            "is_json": event.is_json,
            "data": event.data,
            "raw": event.raw,
        }
        for event in block.events
    ]


class JsonLinesTarget:
    """One JSON object per line; data that is JSON stands as it is, other data as base64."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, rows: list[dict[str, object]]) -> None:
        """Write one line per event."""
        encode = msgspec.json.Encoder().encode
        for row in rows:
            if row["is_json"] and isinstance(row["data"], bytes):
                row["data"] = msgspec.Raw(row["data"])
        self._file.write(b"".join(encode(row) + b"\n" for row in rows))

    def finish(self, ledger: list[LedgerRow]) -> None:
        """The ledger is not an event and has no line."""

    def close(self) -> None:
        """Write what is buffered; the file is the caller's."""
        self._file.flush()


class DatabaseTarget:
    """A plain SQLite database for the sqlite-utils command line: tables ``events`` and ``ledger``."""

    def __init__(self, path: Path) -> None:
        sqlite_utils = importlib.import_module("sqlite_utils")  # 12 MB that a running gateway need not carry
        path.unlink(missing_ok=True)
        self._database = sqlite_utils.Database(path)
        self._database.conn.execute("PRAGMA journal_mode=OFF")
        self._database.conn.execute("PRAGMA synchronous=OFF")
        columns = {
            "run": str,
            "seq": int,
            "lane": str,
            "device": str,
            "type": str,
            "topic": str,
            "time_ns": int,
            "time_quality": int,
            "boot_ns": int,
            "content_id": str,
            "is_json": int,
            "data": bytes,
            "raw": bytes,
        }
        self._database["events"].create(columns)

    def write(self, rows: list[dict[str, object]]) -> None:
        """Write one row per event; JSON data as text."""
        for row in rows:
            if row["is_json"] and isinstance(row["data"], bytes):
                row["data"] = row["data"].decode("utf-8", errors="replace")
        self._database["events"].insert_all(rows)

    def finish(self, ledger: list[LedgerRow]) -> None:
        """Write the ledger and the indexes."""
        self._database["ledger"].create(
            {"uplink": str, "lane": str, "reason": str, "run": str, "first_seq": int, "last_seq": int, "count": int}
        )
        self._database["ledger"].insert_all(
            {
                "uplink": row.entry.uplink,
                "lane": _LANE_NAMES[row.entry.lane],
                "reason": row.entry.reason,
                "run": None if row.entry.run is None else f"{row.entry.run:016x}",
                "first_seq": row.entry.first_seq,
                "last_seq": row.entry.last_seq,
                "count": row.entry.count,
            }
            for row in ledger
        )
        self._database["events"].create_index(["device"])
        self._database["events"].create_index(["run", "seq"])

    def close(self) -> None:
        """Close the database."""
        self._database.conn.commit()
        self._database.close()
