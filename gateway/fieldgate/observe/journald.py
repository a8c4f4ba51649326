"""Lines of the log as entries of systemd's journal, in its native protocol: each field is one to search by.

``journalctl -u fieldgate FIELDGATE_UPLINK=cloud`` finds what concerns one uplink. Names of fields are upper case, of
letters, digits and ``_``, and 64 characters at most, as the journal wants them; a value that has a line end goes with
its length (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["PRIORITIES", "encode_entry", "entry_fields"]

PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""The levels of syslog by ours."""

_PREFIX: Final = "FIELDGATE_"
_MAX_NAME: Final = 64
_NO_NAME: Final = re.compile("[^A-Z0-9_]")


def entry_fields(event: Mapping[str, object], *, level: str, message: str) -> list[tuple[str, str]]:
    """Return the fields of an entry: what every program has, then each of ``event`` as ``FIELDGATE_NAME``."""
    fields = [("MESSAGE", message), ("PRIORITY", str(PRIORITIES[level])), ("SYSLOG_IDENTIFIER", "fieldgate")]
    return fields + [(_field_name(key), _text(value)) for key, value in event.items()]


def encode_entry(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return one datagram."""
    parts: list[bytes] = []
    for name, text in fields:
        value = text.encode("utf-8", "backslashreplace")
        if b"\n" in value:
            parts += [name.encode(), b"\n", len(value).to_bytes(8, "little"), value, b"\n"]
        else:
            parts += [name.encode(), b"=", value, b"\n"]
    return b"".join(parts)


def _field_name(key: str) -> str:
    return (_PREFIX + _NO_NAME.sub("_", key.upper()))[:_MAX_NAME]


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def plain_line(entry: bytes) -> bytes:
    """Return an entry of `entry_fields` as a line with its priority, for the stream that the service writes to."""
    message, priority, *_ = entry.split(b"\n", 2)
    return b"<" + priority.partition(b"=")[2] + b">" + message.partition(b"=")[2] + b"\n"
