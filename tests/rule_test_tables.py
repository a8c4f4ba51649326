"""The tables of ``rules/TESTS.md``: the keys of tests, from the models.

``python tests/rule_test_tables.py`` writes them anew between their marks; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
from pathlib import Path

from decoder_tables import kind_of, shown
from fieldgate_devices.files.model_tree import quantity_of
from fieldgate_devices.files.section import Section
from fieldgate_rules.model.tests import ClockSpec, ExpectedCommand, ExpectSpec, GivenSpec, RestartSpec, TestSpec

PAGE = Path(__file__).parents[1] / "rules/TESTS.md"
MARK = re.compile(r"(<!-- keys: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
MODELS: dict[str, type[Section]] = {
    "test": TestSpec,
    "given": GivenSpec,
    "restart": RestartSpec,
    "clock": ClockSpec,
    "expect": ExpectSpec,
}
WORDS = {GivenSpec: "entries", ExpectSpec: "entries", RestartSpec: "mapping", ClockSpec: "word or mapping",
         ExpectedCommand: "name or mapping"}  # fmt: skip


def filled(page: str) -> str:
    """The page with its tables as they must be."""
    return MARK.sub(lambda match: match[1] + keys(match["name"]) + match[3], page)


def keys(name: str) -> str:
    """The keys of one section."""
    rows = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    for written, field in MODELS[name].model_fields.items():
        quantity = quantity_of(field)
        kind = "duration" if quantity is not None else _kind(field.annotation)
        default = "needed" if field.is_required() else "–"
        if isinstance(field.default, str | bool):
            default = shown(field.default)
        elif isinstance(field.default, float) and quantity is not None:
            default = f"`{quantity.format(field.default)}`"
        example = f" Such as {shown(field.examples[0])}." if field.examples else ""
        meaning = f"{field.description}{example}".replace("|", "\\|")
        rows.append(f"| `{field.alias or written}` | {kind} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _kind(annotation: object) -> str:
    text = str(annotation)
    if word := next((word for model, word in WORDS.items() if model.__name__ in text), None):
        return word
    return {"`True`": "`true`", "item": "anything"}.get(kind := kind_of(annotation), kind)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
