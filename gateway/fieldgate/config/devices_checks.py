"""What of ``devices`` cannot work, or may surprise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fieldgate.config.finding import Finding
from fieldgate.config.model import Config
from fieldgate.config.places import kind_of
from fieldgate_devices.files.document import Document, Loc
from fieldgate_devices.files.quantities import format_size

__all__ = ["devices_errors", "devices_warnings"]


_PATH: Final[Loc] = ("devices", "path")


def devices_errors(config: Config) -> Iterator[Finding]:
    """Everything that cannot work."""
    path = config.devices.path
    if kind_of(path) == "file":
        yield Finding(_PATH, f"path: {str(path)!r} is not a folder")


def devices_warnings(config: Config, document: Document | None) -> Iterator[Finding]:
    """Everything that works and may surprise."""
    devices = config.devices
    if document is not None and document.node(_PATH) is not None and kind_of(devices.path) == "nothing":
        yield Finding(_PATH, f"path: {str(devices.path)!r} does not exist, so it holds no profile")
    if devices.unknown == "reject":
        message = (
            "unknown: 'reject' throws away what no profile matches, and tells the device that it is safe; "
            "'quarantine' keeps it for you to look at"
        )
        yield Finding(("devices", "unknown"), message)
    largest = max((listen.max_packet for listen in config.listen), default=0)
    kept = devices.dead_letters.largest_bytes
    if largest > kept:
        message = (
            f"max_size: {format_size(devices.dead_letters.max_size)!r} keeps no message of more than {kept:,} bytes, "
            f"and a listener takes {largest:,} (max_packet): such a one would be counted and not kept"
        )
        loc: Loc = ("devices", "dead_letters", "max_size")
        yield Finding(loc, message)
