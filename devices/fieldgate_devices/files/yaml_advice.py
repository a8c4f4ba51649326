"""Say what to change where a parser of YAML gives up: its own words speak of tokens and blocks.

Laws: it looks at the parser's words and at the line, and answers for a person. What it does not know it leaves alone.
"""

from __future__ import annotations

from typing import Final

__all__ = ["yaml_advice"]

_BRACE: Final = "put a text that begins with '{' in quotes"


def yaml_advice(problem: str, line: str, *, column: int, begun_line: int | None) -> str:
    """Return what to do about ``problem`` at ``line[column]``; empty if that is not known.

    ``begun_line`` (from 1) is where the list, mapping or quoted text begins that the parser was in.
    """
    here = line[column : column + 1]
    if here == "\t" or "\t" in line[: len(line) - len(line.lstrip())]:
        return "the line is indented with a tab; indent with spaces"
    if problem.startswith("expected ',' or"):
        if line[max(0, column - 1) : column + 1] == "${":
            return "put a text that holds ${…} in quotes within { } and [ ]"
        if line[:column].rstrip().endswith("}"):
            return f"a ',' is missing before this; {_BRACE}"
        kind = "{" if "}" in problem else "["
        return f"the {kind!r} that begins in line {begun_line} is not closed, or a ',' is missing before this"
    if problem.startswith("expected <block end>") and line[:column].rstrip().endswith("}"):
        return f"nothing can stand behind '}}'; {_BRACE}"
    if problem.startswith("expected alphabetic or numeric character"):
        return f"put a text that begins with {line[max(0, column - 1) : column]!r} in quotes"
    if problem.startswith("expected <block end>"):
        return "this line is indented by other than those that it belongs to; indent all keys of a section alike"
    if problem.startswith("mapping values are not allowed"):
        return (
            "there is a ':' too many: put a text that holds ': ' in quotes, and see that the line above ends with ':' "
            "and that the keys of a section are indented alike"
        )
    if problem.endswith("cannot start any token"):
        return f"put a text that begins with {here!r} in quotes"
    if problem.startswith("found unexpected end of stream"):
        return f"the text in quotes that begins in line {begun_line} is not closed"
    return ""
