"""A bundle for whoever is to help: one compressed archive, private, of bounded size, whole or not there at all."""

from __future__ import annotations

import io
import json
import os
import secrets
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fieldgate.doctor.scrub import Scrubber
from fieldgate.errors import FieldgateError

__all__ = ["Bundle", "BundleError"]

_MAX_MEMBER_BYTES: Final = 1 << 20
_MAX_BYTES: Final = 8 << 20
_MODE: Final = 0o600


class BundleError(FieldgateError):
    """The bundle cannot be written."""


@dataclass(slots=True)
class Bundle:
    """What is to be given away; everything that is added goes through ``scrubber``.

    ``left_out`` says by name what is missing or was cut, and why.
    """

    scrubber: Scrubber
    left_out: dict[str, str] = field(default_factory=dict)
    members: dict[str, bytes] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of all members together, not compressed."""
        return sum(map(len, self.members.values()))

    def add_json(self, name: str, value: Any, *, private: frozenset[str] = frozenset()) -> None:
        """Add plain values."""
        clean = self.scrubber.tree(value, private=private)
        content = json.dumps(clean, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
        if len(content) > _MAX_MEMBER_BYTES:
            self.left_out[name] = f"it has {len(content):,} bytes; {_MAX_MEMBER_BYTES:,} are the most"
        else:
            self._add(name, content + b"\n")

    def add_text(self, name: str, text: str, *, keeps_end: bool = False) -> None:
        """Add a text; of one that is too long the beginning is kept, or the end (of a log)."""
        content = self.scrubber.text(text).encode("utf-8", "backslashreplace")
        if len(content) > _MAX_MEMBER_BYTES:
            part = content[-_MAX_MEMBER_BYTES:] if keeps_end else content[:_MAX_MEMBER_BYTES]
            which = "last" if keeps_end else "first"
            self.left_out[name] = f"all but the {which} {len(part):,} bytes of {len(content):,}"
            content = part.partition(b"\n")[2] if keeps_end else part.rpartition(b"\n")[0] + b"\n"
        self._add(name, content)

    def _add(self, name: str, content: bytes) -> None:
        if self.size_bytes + len(content) > _MAX_BYTES:
            self.left_out[name] = f"the bundle has {_MAX_BYTES:,} bytes at most"
        else:
            self.members[name] = content

    def write(self, path: Path, *, made_s: float, is_replaced: bool, top: str) -> int:
        """Write ``path`` (mode 0600) with all members below the folder ``top``; return its size in bytes.

        Raises:
            BundleError: it cannot be written, or is there already and not to be replaced.
        """
        content = self._archive(made_s, top)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
            try:
                with os.fdopen(fd, "wb") as file:
                    os.fchmod(fd, _MODE)
                    file.write(content)
                    file.flush()
                    os.fsync(fd)
                (_replace if is_replaced else _put)(fresh, path)
            finally:  # whatever it was, nothing half stays
                with suppress(FileNotFoundError):
                    fresh.unlink()
        except FileExistsError as error:
            raise BundleError(f"{path} is there already; name another file, or replace it with --force") from error
        except OSError as error:
            raise BundleError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
        return len(content)

    def _archive(self, made_s: float, top: str) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
            for name, content in sorted(self.members.items()):
                member = tarfile.TarInfo(f"{top}/{name}")
                member.size, member.mode, member.mtime = len(content), _MODE, int(made_s)
                archive.addfile(member, io.BytesIO(content))
        return buffer.getvalue()


def _put(fresh: Path, path: Path) -> None:
    """Give it its name unless something has that already."""
    os.link(fresh, path, follow_symlinks=False)


_replace: Final[Callable[[Path, Path], object]] = os.replace
