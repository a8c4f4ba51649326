"""Which OBIS code means what, as dsmr-parser knows it for each version and country."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfoNotFoundError

from fieldgate_devices.decoders.decoder import Undecodable

__all__ = ["Code", "Country", "Table", "load_table"]

Country = Literal["dsmr2", "dsmr3", "dsmr4", "dsmr5", "belgium", "luxembourg", "sweden", "hungary", "iskra", "q3d"]

_TABLES: Final[dict[Country, str]] = {
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
    """The codes of one version."""

    def __init__(self, codes: list[tuple[re.Pattern[str], Code]], *, has_checksum: bool) -> None:
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
    """Return the codes of that version.

    Raises:
        Undecodable: dsmr-parser cannot be used on this machine.
    """
    try:
        from dsmr_parser import telegram_specifications as known  # type: ignore[import-untyped]  # it has no types
    except (ImportError, ZoneInfoNotFoundError) as error:
        raise Undecodable(f"dsmr-parser cannot be used: {error}") from error
    table: dict[str, Any] = getattr(known, _TABLES[version])
    codes = [(re.compile(entry["obis_reference"]), _code(entry)) for entry in table["objects"]]
    return Table(codes, has_checksum=bool(table["checksum_support"]))


def _code(entry: dict[str, Any]) -> Code:
    parser = entry["value_parser"]
    kinds = tuple(str(one.coerce_type.__name__) for one in getattr(parser, "value_formats", ()))
    return Code(str(entry["value_name"]).lower(), _SHAPES[type(parser).__name__], kinds)
