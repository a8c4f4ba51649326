"""Messages that were kept in files: one payload a line, one a file, or lines of JSON with topic and payload.

A line ``{"topic": …, "payload": …}`` is a message with its topic, as ``mosquitto_sub -F %j`` writes it; ``payload`` is
a text as it is, anything else as JSON; ``payload_hex`` and ``payload_base64`` stand for bytes.
"""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from fieldgate.cli.profile_sources import why
from fieldgate.config.places import kind_of
from fieldgate.errors import FieldgateError
from fieldgate_devices.infer import Sample

__all__ = ["MessagesUnreadable", "read_samples", "recorded_samples"]

_MAX_BYTES: Final = 64 * 1024 * 1024
_STDIN: Final = Path("-")


class MessagesUnreadable(FieldgateError):
    """The file with messages cannot be used."""


def read_samples(path: Path, *, topic: str | None, by_line: bool) -> list[Sample]:
    """Return the messages of a file, of each file of a folder, or of stdin (``-``).

    ``by_line``: each line of a file that is no recording is a payload; else the whole file is one, as each file of a
    folder is. ``topic`` is that of messages that name none.

    Raises:
        MessagesUnreadable: it cannot be read, or holds nothing.
    """
    samples: list[Sample] = []
    is_folder = kind_of(path) == "folder"
    for file, content in _contents(path):
        recorded = recorded_samples(content)
        if recorded is not None:
            samples += recorded
        elif by_line and not is_folder:
            samples += [Sample(topic, line.rstrip(b"\r")) for line in content.split(b"\n") if line.strip()]
        elif content:
            samples.append(Sample(topic, content))
        elif not is_folder:
            raise MessagesUnreadable(f"{file}: the file is empty")
    if not samples:
        raise MessagesUnreadable(f"{path}: there is no message in it")
    return samples


def recorded_samples(content: bytes) -> list[Sample] | None:
    """Return the messages if every line is a JSON mapping with topic and payload; else None."""
    samples = []
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        try:
            said = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        sample = _recorded(said)
        if sample is None:
            return None
        samples.append(sample)
    return samples or None


def _recorded(said: object) -> Sample | None:
    if not isinstance(said, dict) or not isinstance(said.get("topic"), str):
        return None
    topic = said["topic"]
    try:
        if isinstance(said.get("payload_hex"), str):
            return Sample(topic, bytes.fromhex(said["payload_hex"]))
        if isinstance(said.get("payload_base64"), str):
            return Sample(topic, base64.b64decode(said["payload_base64"], validate=True))
    except (ValueError, binascii.Error):
        return None
    if "payload" not in said:
        return None
    payload = said["payload"]
    return Sample(topic, payload.encode() if isinstance(payload, str) else msgspec.json.encode(payload))


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path == _STDIN:
            yield "stdin", sys.stdin.buffer.read(_MAX_BYTES + 1)
            return
        files = sorted(one for one in path.iterdir() if one.is_file()) if kind_of(path) == "folder" else [path]
        for file in files:
            with file.open("rb") as opened:
                content = opened.read(_MAX_BYTES + 1)
            if len(content) > _MAX_BYTES:
                raise MessagesUnreadable(f"{file}: is larger than 64 MiB; a part of it is enough")
            yield str(file), content
    except OSError as error:
        raise MessagesUnreadable(f"{error.filename or path}: cannot be read: {why(error)}") from error
