"""The file of dead letters, for its tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from fieldgate.journal.dead_letter import DeadLetter, LetterChanges, LetterQuery
from fieldgate.journal.dead_letter_file import DeadLetterFile

SIZE = 2 << 20


def opened(folder: Path, *, max_size_bytes: int = SIZE) -> DeadLetterFile:
    return DeadLetterFile(folder, max_size_bytes=max_size_bytes)


def add(file: DeadLetterFile, *letters: DeadLetter) -> None:
    file.apply(LetterChanges(new=list(letters)))


def everything(file: DeadLetterFile, query: LetterQuery | None = None) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    page = file.read(query or LetterQuery())
    found += page.letters
    while not page.is_last:
        page = file.read(query or LetterQuery(), after=page.last_number)
        found += page.letters
    return found


def payloads(letters: list[DeadLetter]) -> list[bytes]:
    return [one.payload for one in letters]


def crashed(folder: Path, target: str = "crashed") -> Path:
    """What kill -9 leaves."""
    copy = folder / target
    copy.mkdir()
    for path in folder.glob("dead_letters.db*"):
        shutil.copy(path, copy)
    return copy
