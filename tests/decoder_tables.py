"""The tables of options in ``devices/DECODERS.md``, from the models.

``python tests/decoder_tables.py`` writes them anew between their marks; the rest of the page is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from fieldgate_devices.decoders import DecoderOptions, options_class
from fieldgate_devices.decoders.binary_options import Item
from fieldgate_devices.decoders.make import BUILT_IN
from fieldgate_devices.files.section import Section

PAGE = Path(__file__).parents[1] / "devices/DECODERS.md"
MARK = re.compile(r"(<!-- options: (?P<name>[a-z_ ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WORDS = {bool: "true, false", int: "whole number", float: "number", str: "text"}


def filled(page: str) -> str:
    """The page with its tables as the models have them."""
    return MARK.sub(lambda match: match[1] + table(match["name"]) + match[3], page)


def tables_wanted() -> set[str]:
    """What must have a table."""
    return {"all", "binary item", *(name for name in BUILT_IN if list(own_options(name)))}


def own_options(name: str) -> Iterator[str]:
    """The options that only this decoder has, or that it shares with some."""
    yield from (key for key in options_class(name).model_fields if key not in DecoderOptions.model_fields)


def table(name: str) -> str:
    """The rows of one table."""
    if name == "all":
        model: type[Section] = DecoderOptions
        keys = list(DecoderOptions.model_fields)
    elif name == "binary item":
        model = Item
        keys = list(Item.model_fields)
    else:
        model = options_class(name)
        keys = list(own_options(name))
    rows = ["| Option | Value | Default | Meaning |", "|---|---|---|---|"]
    for key in keys:
        field = model.model_fields[key]
        default = "needed" if field.is_required() else _shown(field.default)
        example = f"; such as {_shown(field.examples[0])}" if field.examples else ""
        rows.append(f"| `{key}` | {_kind(field.annotation)} | {default} | {field.description}{example} |")
    return "\n".join(rows) + "\n"


def _shown(value: object) -> str:
    """A value as YAML has it."""
    if value is None:
        return "–"
    text = value.replace("\t", "\\t").replace("|", "\\|") if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"


def _kind(annotation: Any) -> str:
    """The kind of value, in words."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if origin in {Union, UnionType}:
        return " or ".join(_kind(one) for one in get_args(annotation) if one is not NoneType)
    if origin in {tuple, list}:
        return "list"
    if origin is dict:
        return "mapping"
    return _WORDS.get(annotation, "item")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
