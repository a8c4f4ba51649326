"""The tables of ``gateway/CONFIG.md``: every key of ``fieldgate.yaml``, from the models and their schema.

``python tests/config_tables.py`` writes them anew between their marks; the rest of the page is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from fieldgate.config.changes import HOT_KEYS
from fieldgate.config.schema import json_schema
from fieldgate.config.secrets import Secret
from fieldgate.config.tree import TREE
from fieldgate_devices.files.model_tree import Key, quantity_of, range_of, section_of
from fieldgate_devices.files.section import Section

PAGE = Path(__file__).parents[1] / "gateway/CONFIG.md"
MARK = re.compile(r"(<!-- keys: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
BAR = "\\|"
_SHOWN_ELSEWHERE = {"sources[].serial.framing": "one of [the framings](../devices/FRAMING.md), or a section of it"}
_CODE = re.compile(
    r"(?<!\w)'[^']+'(?!\w)"  # words that the descriptions quote
    r"|\$\{[^}]+\}|\$[A-Z_]+"  # references and variables: two dollars would begin a formula
    r"|\b[a-z0-9+]+(?:\[s\])?://[^\s,;()]*[^\s,;().]"  # a forge would make links of them
    r"|\\(?:[a-z0]|\\|xHH)+"  # and eat a backslash
)
_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}


def filled(page: str) -> str:
    """The page with its tables as they must be."""
    return MARK.sub(lambda match: f"{match[1]}{table(match['name'])}{match[3]}", page)


def table_of(key: Key) -> str:
    """The name of the table that a key is in: the first word of its path, and what kind of source or uplink it is."""
    first, _, rest = key.path.partition(".")
    kind = rest.removeprefix("NAME.").partition(".")
    whole = first.removesuffix("[]")
    is_below = whole in ("sources", "uplinks") and kind[0] in ("mqtt", "serial", "modbus", "webhook")
    return f"{whole} {kind[0]}" if is_below else whole


def table(name: str) -> str:
    """The rows of one table."""
    rows = ["| Key | Value | Default | Change | Meaning |", "|---|---|---|---|---|"]
    rows += [_row(key) for key in TREE.all_keys() if table_of(key) == name]
    return "\n".join(rows) + "\n"


def _row(key: Key) -> str:
    meaning = _CODE.sub(lambda match: _code(match[0].strip("'")), key.field.description or "") + _example(key)
    cells = (f"`{key.path}`", value_of(key), _default(key), change_of(key), meaning)
    return f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"


def change_of(key: Key) -> str:
    """What it takes that another value counts; a section that is always there has none of its own."""
    if section_of(key.field.annotation) is not None and _is_always_there(key):
        return "–"
    return "reload" if re.sub(r"\[\]|\.NAME", ".*", key.path) in HOT_KEYS else "restart"


def _is_always_there(key: Key) -> bool:
    annotation = key.field.annotation
    return isinstance(annotation, type) and issubclass(annotation, Section)


def value_of(key: Key) -> str:
    """What may be written, in words, with its limits."""
    if key.path in _SHOWN_ELSEWHERE:
        return _SHOWN_ELSEWHERE[key.path]
    if key.holds(Secret):
        return "mapping of secrets" if _schema(key).get("type") == "object" else "secret"
    quantity = quantity_of(key.field)
    if quantity is not None:
        return f"{type(quantity).__name__.lower()}, {quantity.minimum} to {quantity.maximum}"
    limits = [f"{float(one):,.15g}" for one in range_of(key.field) or ()]
    return _in_words(_schema(key)) + (f", {' to '.join(limits)}" if limits else "")


def _schema(key: Key) -> dict[str, Any]:
    schema = _schemas()
    owner = schema if key.owner is TREE.root else schema["$defs"][key.owner.__name__]
    found: dict[str, Any] = owner["properties"][key.name]
    return found


@cache
def _schemas() -> dict[str, Any]:
    return json_schema()


def _in_words(schema: dict[str, Any]) -> str:
    """A value by its schema; that a key may be left empty is no kind of value."""
    if "anyOf" in schema:
        return " or ".join(_in_words(one) for one in schema["anyOf"] if one != {"type": "null"})
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in dict.fromkeys(str(one) for one in schema["enum"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        return "section"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "array" in kinds:
        below = _in_words(schema["items"])
        return f"list of {below}" if below.startswith("`") else f"list of {below}s"
    if "object" in kinds:
        below = schema["additionalProperties"]
        return f"mapping of {_in_words(below)}s"
    if schema.get("format") == "path":
        return "path"
    return " or ".join(_WORDS[one] for one in kinds)


def _default(key: Key) -> str:
    field = key.field
    if field.is_required():
        return "needed"
    quantity = quantity_of(field)
    default = field.default
    if default in (None, PydanticUndefined, ()) or isinstance(default, Section):
        return "–"
    return _code(quantity.format(default) if quantity is not None else default)


def _example(key: Key) -> str:
    examples = key.field.examples
    if not examples or (section_of(key.field.annotation) is not None and not isinstance(examples[0], str)):
        return ""  # a section's keys have theirs
    return f" Such as {_code(examples[0])}."


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


def tables_wanted() -> Iterator[str]:
    """The names of all tables, in the order of the file."""
    yield from dict.fromkeys(table_of(key) for key in TREE.all_keys())


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
