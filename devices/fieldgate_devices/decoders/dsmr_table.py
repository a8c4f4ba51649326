"""Which OBIS code means what, as dsmr-parser knows it for each version and country."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfoNotFoundError

from fieldgate_devices.decoders.decoder import Undecodable

__all__ = ["Code", "Country", "Table", "load_table"]

Country = Literal[
    "any", "dsmr2", "dsmr3", "dsmr4", "dsmr5", "belgium", "luxembourg", "sweden", "hungary", "iskra", "q3d"
]

_TABLES: Final[dict[str, str]] = {
    "dsmr2": "V2_2",
    "dsmr3": "V3",
    "dsmr4": "V4",
    "dsmr5": "V5",
    "belgium": "BELGIUM_FLUVIUS",
    "luxembourg": "LUXEMBOURG_SMARTY",
    "sweden": "SWEDEN",
    "hungary": "EON_HUNGARY",
    "iskra": "ISKRA_IE",
    "q3d": "Q3D",
}
_IN_ORDER: Final = ("dsmr5", "dsmr4", "dsmr3", "belgium", "luxembourg", "sweden", "hungary", "iskra", "q3d")
_MAX_FOUND: Final = 500

Shape = Literal["value", "reading", "peaks", "log"]
_SHAPES: Final[dict[str, Shape]] = {
    "CosemParser": "value",
    "MBusParser": "reading",
    "MaxDemandParser": "peaks",
    "ProfileGenericParser": "log",
}


@dataclass(frozen=True, slots=True)
class Code:
    """What a line says: ``shape`` is how its groups are laid out, ``kinds`` the types of its values."""

    name: str
    shape: Shape
    kinds: tuple[str, ...]


class Table:
    """The codes of one version. ``has_checksum`` None: some of its telegrams do."""

    def __init__(self, codes: list[tuple[re.Pattern[str], Code]], *, has_checksum: bool | None) -> None:
        self._codes = codes
        self._found: dict[str, Code | None] = {}  # a meter sends the same codes for ever
        self.has_checksum = has_checksum

    def find(self, code: str) -> Code | None:
        """Return what a line is that begins with ``code``."""
        if code in self._found:
            return self._found[code]
        line = f"{code}(.)\r\n.\r\n"  # the patterns go to the end of a line; one (a gas reading before DSMR 4) of two
        found = next((known for pattern, known in self._codes if pattern.match(line) is not None), None)
        if len(self._found) < _MAX_FOUND:
            self._found[code] = found
        return found


def load_table(version: Country) -> Table:
    """Return the codes of that version; of ``any`` those of all, of which the newest Dutch one counts first.

    Raises:
        Undecodable: dsmr-parser cannot be used on this machine.
    """
    try:
        from dsmr_parser import telegram_specifications as known  # type: ignore[import-untyped]  # it has no types
    except (ImportError, ZoneInfoNotFoundError) as error:
        raise Undecodable(f"dsmr-parser cannot be used: {error}") from error
    names = _IN_ORDER if version == "any" else (version,)
    tables: list[dict[str, Any]] = [getattr(known, _TABLES[name]) for name in names]
    entries: dict[str, dict[str, Any]] = {}
    for entry in (one for table in tables for one in table["objects"]):
        entries.setdefault(entry["obis_reference"], entry)
    codes = [(re.compile(code), _code(entry)) for code, entry in entries.items()]
    return Table(codes, has_checksum=None if version == "any" else bool(tables[0]["checksum_support"]))


def _code(entry: dict[str, Any]) -> Code:
    parser = entry["value_parser"]
    kinds = tuple(str(one.coerce_type.__name__) for one in getattr(parser, "value_formats", ()))
    return Code(str(entry["value_name"]).lower(), _SHAPES[type(parser).__name__], kinds)
