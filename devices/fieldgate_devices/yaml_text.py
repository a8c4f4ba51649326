"""Write values as YAML that `files.document` reads as the same values: flow style, one line."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["flow", "quoted"]

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[-/.][A-Za-z0-9_]+)*|°[CF]|[A-Za-z]+/[A-Za-z0-9]+")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_WORDS: Final = frozenset({"null", "true", "false"})


def quoted(text: str) -> str:
    """A text in quotes: in single ones where that saves escapes, in double ones what needs them."""
    if text.isprintable() and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    made = (_ESCAPES.get(one) or (one if one.isprintable() else f"\\U{ord(one):08x}") for one in text)
    return f'"{"".join(made)}"'


def flow(value: object) -> str:
    """A value: mappings and lists in braces and brackets, texts in quotes where they need them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else quoted(text)
