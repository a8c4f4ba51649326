"""Recordings that rules are tested with, or replayed from: files, read piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from fieldgate.cli.profile_sources import why
from fieldgate.config.places import kind_of
from fieldgate.errors import FieldgateError
from fieldgate_rules.tester.timeline import Recording

__all__ = ["RecordingUnreadable", "recording_at", "recordings_beside"]

_PIECE: Final = 1024 * 1024


class RecordingUnreadable(FieldgateError):
    """The file went away, or broke, while it was read."""


def recording_at(path: Path, *, name: str = "") -> Recording | str:
    """Return the recording in that file, or say why there is none. ``name`` is how messages call it."""
    match kind_of(path):
        case "nothing":
            return f"{str(path)!r} is not there"
        case "folder":
            return f"{str(path)!r} is a folder"
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        return f"{str(path)!r} cannot be read: {why(error)}"
    return Recording(name or str(path), partial(_pieces, path))


def recordings_beside(rules: Path) -> Callable[[str], Recording | str]:
    """Return what finds the recordings that a file of rules names: beside it, or by the whole path."""
    return lambda name: recording_at(rules.parent / name)


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise RecordingUnreadable(f"{path}: cannot be read: {why(error)}") from error
