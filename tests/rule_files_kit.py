"""What authors write, for tests: files of the library, examples and blocks of the guide, read as a gateway does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fieldgate_devices.builtin import BuiltinProfiles
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.reading import ReadRules, read_rules
from rules_tables import EXAMPLES

__all__ = ["authors_catalogue", "read_files"]


@cache
def authors_catalogue() -> Catalogue:
    """The profiles that come with Fieldgate, and those of the examples."""
    own = {path.name: path.read_bytes() for path in (EXAMPLES / "devices.d").glob("*.yaml")}
    catalogue, files = read_catalogue(BuiltinProfiles(), own)
    assert [str(problem) for file in files for problem in file.problems] == []
    return catalogue


def read_files(files: Mapping[str, str]) -> ReadRules:
    """Read files of rules, by path."""
    return read_rules({path: text.encode() for path, text in files.items()}, authors_catalogue())
