"""What of ``rules`` cannot work, or may surprise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fieldgate.config.finding import Finding
from fieldgate.config.model import Config
from fieldgate.config.places import kind_of
from fieldgate_devices.files.document import Document, Loc

__all__ = ["rules_errors", "rules_warnings"]

_PATH: Final[Loc] = ("rules", "path")


def rules_errors(config: Config) -> Iterator[Finding]:
    """Everything that cannot work."""
    path = config.rules.path
    if kind_of(path) == "file":
        yield Finding(_PATH, f"path: {str(path)!r} is not a folder")
    elif path == config.devices.path:
        yield Finding(_PATH, f"path: {str(path)!r} is the folder of the device profiles; rules need one of their own")


def rules_warnings(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything that works and may surprise."""
    if document is not None and document.node(_PATH) is not None and kind_of(config.rules.path) == "nothing":
        yield Finding(_PATH, f"path: {str(config.rules.path)!r} does not exist, so it holds no rules")
