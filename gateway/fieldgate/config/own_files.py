"""Which files a configuration is made of, beside itself: who may come in, certificates, and where secrets are.

Opens nothing: the configuration is one that was read with its references kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel

from fieldgate.config.model import Config
from fieldgate.config.secrets import Resolved, Secret
from fieldgate_devices.files.document import Loc

__all__ = ["FileKind", "OwnFile", "literal_secrets", "own_files", "unreachable_secrets"]

FileKind = Literal["users", "acl", "certificate", "secret"]

_KINDS: Final[dict[str, FileKind]] = {
    "users": "users",
    "acl": "acl",
    "ca": "certificate",
    "client_ca": "certificate",
    "crl": "certificate",
    "certificate": "certificate",
    "key": "secret",
}
"""By the name of the key that names the file."""
_FILE: Final = re.compile(r"\$\{file:([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file, and the key that names it."""

    loc: Loc
    path: Path
    kind: FileKind


def own_files(config: Config, folder: Path) -> Iterator[OwnFile]:
    """Every file that the configuration names, where it lies on this machine; ``folder`` is the configuration's."""
    for loc, value in _values((), config):
        if isinstance(value, Path) and str(loc[-1]) in _KINDS and "${" not in str(value):
            yield OwnFile(loc, value, _KINDS[str(loc[-1])])
        elif isinstance(value, Resolved):
            for reference in value.references:
                if match := _FILE.fullmatch(reference):
                    yield OwnFile(loc, folder / match[1], "secret")


def unreachable_secrets(config: Config) -> Iterator[tuple[Loc, str]]:
    """References to what only the service or its environment has."""
    for loc, value in _values((), config):
        written = value.references if isinstance(value, Resolved) else [str(value)] if isinstance(value, Path) else []
        for reference in written:
            if reference.startswith(("${credential:", "${env:")):
                yield loc, reference


def literal_secrets(config: Config) -> Iterator[tuple[Loc, Secret]]:
    """Secrets that stand in the configuration itself."""
    for loc, value in _values((), config):
        if isinstance(value, Secret) and value.is_literal:
            yield loc, value


def _values(loc: Loc, value: object) -> Iterator[tuple[Loc, object]]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _values((*loc, field.alias or name), getattr(value, name))
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _values((*loc, str(key)), below)
    elif isinstance(value, list | tuple):
        for number, below in enumerate(value):
            yield from _values((*loc, number), below)
    else:
        yield loc, value
