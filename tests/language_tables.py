"""The tables of ``rules/LANGUAGE.md`` that come from the code: truths, functions and limits.

``python tests/language_tables.py`` writes them anew between their marks; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
from pathlib import Path

from condition_kit import ON_ANYTHING, expression, facts
from fieldgate_rules.condition import bounds, pattern_states
from fieldgate_rules.condition.functions import FUNCTIONS
from fieldgate_rules.condition.wants import Example, Function

PAGE = Path(__file__).parents[1] / "rules/LANGUAGE.md"
MARK = re.compile(r"(<!-- (?P<name>truths|functions|limits) -->\n).*?(<!-- end -->)", re.DOTALL)
_TRUTHS = {"true": True, "false": False, "unknown": None}


def filled(page: str) -> str:
    """The page with its tables as they must be."""
    tables = {"truths": truths, "functions": functions, "limits": limits}
    return MARK.sub(lambda match: match[1] + tables[match["name"]]() + match[3], page)


def truths() -> str:
    """What and, or and not give: asked of the closures themselves."""
    rows = ["| a | b | a and b | a or b | not a |", "|---|---|---|---|---|"]
    for one in _TRUTHS:
        for other in _TRUTHS:
            pair = {"a": _TRUTHS[one], "b": _TRUTHS[other]}
            given = facts({name: truth for name, truth in pair.items() if truth is not None})
            found = [shown(expression(text, ON_ANYTHING).evaluate(given)) for text in ("a and b", "a or b", "not a")]
            rows.append(f"| {one} | {other} | {' | '.join(found)} |")
    return "\n".join(rows) + "\n"


def functions() -> str:
    """Every function: how it is written, what it takes and gives, what it means, and an example."""
    rows = ["| Function | Takes | Gives | Meaning | Example |", "|---|---|---|---|---|"]
    for one in FUNCTIONS.values():
        examples = "; ".join(map(example, one.examples))
        rows.append(f"| `{one.signature}` | {takes(one)} | {one.gives} | {one.meaning} | {examples} |")
    return "\n".join(rows) + "\n"


def takes(function: Function) -> str:
    """The kinds of its arguments."""
    return ", ".join(f"{one.name}: {one.wants.value}" for one in function.parameters)


def example(one: Example) -> str:
    """An example as the page shows it: the expression, what it is asked of, and what it is."""
    given = [f"{name} {shown(value)}" for name, value in one.fields.items()]
    given += [f"before it {shown(value)}" for value in one.prev.values()]
    return f"`{one.text}` is {shown(one.value)}{' for ' + ', '.join(given) if given else ''}"


def shown(value: object) -> str:
    """A value as the page shows it."""
    if value is None:
        return "unknown"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def limits() -> str:
    """The bounds."""
    rows = [
        ("Characters of a condition or text", f"{bounds.MAX_CHARACTERS:,}"),
        ("Levels of operators, calls and choices within each other", f"{bounds.MAX_LEVELS}"),
        ("Characters of a pattern", f"{bounds.MAX_PATTERN}"),
        ("States of the search for a pattern", f"{pattern_states.MAX_STATES}"),
        (
            "Bytes of a text that are looked at",
            f"{bounds.MAX_TEXT_BYTES:,} (4 KiB); what is behind them does not count",
        ),
        ("Whole numbers as literals", "64 bits"),
        ("Numbers", "up to 1.8e308; beyond they are unknown"),
        ("Cost", f"{bounds.MAX_STEPS:,} steps of 85 ns at most"),
    ]
    return "| What | At most |\n|---|---|\n" + "".join(f"| {what} | {most} |\n" for what, most in rows)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
