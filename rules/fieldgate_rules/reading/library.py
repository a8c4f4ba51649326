"""The templates that come with Fieldgate: a file for each, read when a rule first uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["IN_LIBRARY", "library_file", "library_names"]

IN_LIBRARY: Final = "<library>/"
_FOLDER: Final = Path(__file__).parent.with_name("library")


def library_names() -> list[str]:
    """Return the names of all of them."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def library_file(name: str) -> tuple[str, bytes] | None:
    """Return the file of a template: its path as messages show it, and what it holds; None where there is none."""
    if name not in library_names():
        return None
    return f"{IN_LIBRARY}{name}.yaml", (_FOLDER / f"{name}.yaml").read_bytes()
