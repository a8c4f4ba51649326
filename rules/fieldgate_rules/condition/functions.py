"""All functions that a condition can call, by name; `last` is not among them: it is a name with two parts."""

from __future__ import annotations

from typing import Final

from fieldgate_rules.condition.number_functions import NUMBER_FUNCTIONS
from fieldgate_rules.condition.text_functions import TEXT_FUNCTIONS
from fieldgate_rules.condition.time_functions import TIME_FUNCTIONS
from fieldgate_rules.condition.wants import Function

__all__ = ["FUNCTIONS", "OTHER_NAMES"]

FUNCTIONS: Final[dict[str, Function]] = {one.name: one for one in (*NUMBER_FUNCTIONS, *TEXT_FUNCTIONS, *TIME_FUNCTIONS)}

OTHER_NAMES: Final = {
    "avg": "an average needs a window", "mean": "an average needs a window", "sum": "a sum needs a window",
    "count": "counting needs a window", "len": "write length(text)", "exists": "write has(field)",
    "defined": "write has(field)", "isnull": "write not has(field)", "is_unknown": "write not has(field)",
    "coalesce": "write default(value, fallback)", "ifnull": "write default(value, fallback)",
    "regex": "write matches(text, pattern)", "match": "write matches(text, pattern)",
    "includes": "write contains(text, part)", "tolower": "write lower(text)", "toupper": "write upper(text)",
    "int": "write round(x) for a whole number", "float": "numbers are numbers, whole or not",
    "str": "write text and number in a template", "changed": "write x != prev.x", "pow": "write x * x",
    "sqrt": "compare the squares", "floor": "write x // 1", "ceil": "write -(-x // 1)", "time": "write now",
    "minute": "write between(now, from, to)", "day": "write weekday(now)", "avg_over_time": "an average needs a window",
}  # fmt: skip
"""Names that other languages have, and what to write here."""
