"""The tables of options in ``devices/FRAMING.md``, from the models.

``python tests/framing_tables.py`` writes them anew between their marks; the rest of the page is written by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decoder_tables import MARK, kind_of, shown
from fieldgate_devices.files.model_tree import quantity_of
from fieldgate_devices.files.section import Section
from fieldgate_devices.framing import options_class
from fieldgate_devices.framing.checks import CheckSpec, CrcSpec, PlacedCheckSpec
from fieldgate_devices.framing.make import FRAMINGS
from fieldgate_devices.framing.options import PatientOptions
from fieldgate_devices.framing.start_end import EscapeSpec

PAGE = Path(__file__).parents[1] / "devices/FRAMING.md"
SECTIONS: dict[str, type[Section]] = {"check": CheckSpec, "crc": CrcSpec, "escape": EscapeSpec}


def filled(page: str) -> str:
    """The page with its tables as the models have them."""
    return MARK.sub(lambda match: match[1] + table(match["name"]) + match[3], page)


def tables_wanted() -> set[str]:
    """What must have a table."""
    return {"all", *SECTIONS, *(name for name in FRAMINGS if own_options(name))}


def own_options(name: str) -> list[str]:
    """The options that not all framings have."""
    return [key for key in options_class(name).model_fields if key not in PatientOptions.model_fields]


def table(name: str) -> str:
    """The rows of one table."""
    if name == "all":
        model: type[Section] = PatientOptions
        keys = list(PatientOptions.model_fields)
    elif name in SECTIONS:
        model = SECTIONS[name]
        keys = list(model.model_fields)
    else:
        model = options_class(name)
        keys = own_options(name)
    rows = ["| Option | Value | Default | Meaning |", "|---|---|---|---|"]
    fields = [(key, model.model_fields[key]) for key in keys]
    if name == "check":
        fields.append(("over", PlacedCheckSpec.model_fields["over"]))
    for key, field in fields:
        quantity = quantity_of(field)
        kind = (
            {"Duration": "duration", "Size": "size"}[type(quantity).__name__] if quantity else kind_of(field.annotation)
        )
        default = "needed" if field.is_required() else shown(plain(field.default, quantity))
        example = f"; such as {shown(field.examples[0])}" if field.examples else ""
        rows.append(f"| `{key}` | {kind} | {default} | {field.description}{example} |")
    return "\n".join(rows) + "\n"


def plain(value: Any, quantity: Any) -> Any:
    """A default as someone would write it."""
    if isinstance(value, Section):
        return value.model_dump(exclude_defaults=True, exclude_none=True)
    return quantity.format(value) if quantity is not None and value is not None else value


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
