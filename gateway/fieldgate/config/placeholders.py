"""Find what a template leaves to be filled in: ``CHANGE-ME``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fieldgate.config.finding import Finding
from fieldgate_devices.files.document import Document, Loc, Node

__all__ = ["PLACEHOLDER", "find_placeholders"]

PLACEHOLDER: Final = "CHANGE-ME"


def find_placeholders(document: Document) -> Iterator[Finding]:
    """Every value in which it still stands."""
    if document.root is not None:
        yield from _within((), document.root)


def _within(loc: Loc, node: Node) -> Iterator[Finding]:
    match node.content:
        case dict() as entries:
            for key, (_, below) in entries.items():
                yield from _within((*loc, key), below)
        case list() as items:
            for number, below in enumerate(items):
                yield from _within((*loc, number), below)
        case str() as text if PLACEHOLDER in text:
            key = next((step for step in reversed(loc) if isinstance(step, str)), "")
            yield Finding(loc, f"{key}: {PLACEHOLDER} of the template still stands here; replace it")
