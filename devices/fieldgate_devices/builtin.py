"""The profiles that come with Fieldgate, as files of this package.

Reading YAML takes milliseconds per profile, and a gateway meets few of the kinds of devices that there are. So the
package holds ``profiles/index.json`` beside them: of each profile its id, what it matches, and the profile itself
without its examples, from which the contract is made when a message first needs it. A test says when it is not that of
the YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["INDEX", "BuiltinProfiles", "IndexEntry", "builtin_profiles"]

INDEX: Final = "index.json"
_SHOWN: Final = "<built-in>/"


class IndexEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a profile without reading it. ``written`` is the whole of it as JSON, without examples."""

    id: str
    version: int
    file: str
    match: list[dict[str, Any]]
    commands: list[str]
    silent_after: float | None
    written: msgspec.Raw

    def profile(self) -> dict[str, Any]:
        """Return the keys and values of the profile."""
        return msgspec.json.decode(self.written, type=dict[str, Any])


class BuiltinProfiles(Mapping[str, bytes]):
    """Their contents by the name that messages show (``<built-in>/ruuvi.yaml``), read when they are asked for."""

    def __init__(self) -> None:
        self._folder = Path(__file__).with_name("profiles")  # importlib.resources brings half a megabyte
        self._names = sorted(one.name for one in self._folder.iterdir() if one.name.endswith(".yaml"))

    def __getitem__(self, name: str) -> bytes:
        file = name.removeprefix(_SHOWN)
        if file not in self._names or not name.startswith(_SHOWN):
            raise KeyError(name)
        return (self._folder / file).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return (f"{_SHOWN}{name}" for name in self._names)

    def __len__(self) -> int:
        return len(self._names)

    def index(self) -> list[IndexEntry]:
        """Return what is known of each without reading it."""
        return msgspec.json.decode((self._folder / INDEX).read_bytes(), type=list[IndexEntry])


def builtin_profiles() -> BuiltinProfiles:
    """Return the profiles that come with Fieldgate."""
    return BuiltinProfiles()
