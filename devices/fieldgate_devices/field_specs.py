"""What a profile says of a field that an event has, also of one whose name a message made."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.members import PART
from fieldgate_devices.profile import Profile

__all__ = ["spec_of"]

_TYPES: Final[dict[str, frozenset[str]]] = {
    "number": frozenset({"float", "int"}),
    "bool": frozenset({"bool"}),
    "text": frozenset({"string", "enum"}),
}


def spec_of(profile: Profile, name: str, kind: str) -> FieldSpec | None:
    """Return the spec of field ``name``, whose value is of ``kind``: ``number``, ``bool``, ``text``, or anything else.

    Of several ``repeated`` that make such a name the one that says most of it; None where no field does.
    """
    if (spec := profile.fields.get(name)) is not None:
        return spec
    types = _TYPES.get(kind, frozenset({"object"}))
    makes = [
        (len(PART.sub("", template)), one)
        for template, one in profile.repeated.items()
        if one.type in types and _pattern(template).fullmatch(name)
    ]
    return max(makes, key=lambda found: found[0])[1] if makes else None


@lru_cache(maxsize=1024)
def _pattern(template: str) -> re.Pattern[str]:
    """Names that a template makes; a number goes behind one that a message has twice."""
    texts = PART.split(template)[::2]
    return re.compile("[a-z0-9_]+".join(map(re.escape, texts)) + "(_[0-9]+)?")
