"""Read the text of an expression: Python's own grammar, positions in characters, mistakes in a person's words.

What comes out is any Python expression within the bounds; which of them the language has is the checker's business.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final

from fieldgate_rules.condition.bounds import MAX_CHARACTERS, MAX_LEVELS
from fieldgate_rules.condition.place import Complaint, Span

__all__ = ["BadSyntax", "Parsed", "parse"]

_ENDS_OF_LINES: Final = str.maketrans("\n\r\t\f", "    ")
_DURATION: Final = re.compile(r"[0-9][0-9.]*(ms|[smhd])(?![A-Za-z0-9_])")
_DEGREES: Final = re.compile(r"([0-9][0-9.]*) ?(°[A-Za-z]?)")
_STRING: Final = re.compile(r"""[rR]?("[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')""")
_INSTEAD: Final = {
    "&&": "write 'and'",
    "||": "write 'or'",
    "!=": "",
    "!": "write 'not'",
    "<>": "write '!='",
    "===": "write '=='",
    "=>": "write '>='",
    "=<": "write '<='",
    "==": "",
    "<=": "",
    ">=": "",
    ":=": "names are given values by nobody here",
    "=": "write '==' to compare",
    "?": "write 'A if TEST else B'",
    "$": "a name stands as it is, without a sign before it",
    ";": "there is one expression only",
}
_MEANT: Final = {
    "&&": " and ",
    "||": " or ",
    "!": " not ",
    "<>": "!=",
    "===": "==",
    "=>": ">=",
    "=<": "<=",
    "=": "==",
    "$": " ",
}
_ODD: Final = re.compile("|".join(map(re.escape, sorted(_INSTEAD, key=len, reverse=True))))
_TOKEN: Final = re.compile(r"\w+|[^\w\s]")
_UPPER_WORDS: Final = re.compile(r"\b(AND|OR|NOT|IN|IF|ELSE)\b")


class BadSyntax(Exception):
    """It is no expression at all; carries the complaint, and ``meant``: what should stand there, if one can tell."""

    def __init__(self, complaint: Complaint, meant: str | None = None) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint
        self.meant = meant


class Parsed:
    """The tree, and where its parts stand in the text."""

    def __init__(self, text: str, root: ast.expr, skipped: int) -> None:
        self.text = text
        self.root = root
        self._skipped = skipped
        self._is_ascii = text.isascii()
        self._bytes = b"" if self._is_ascii else text.encode()

    def span(self, node: ast.expr | ast.keyword) -> Span:
        """Which characters ``node`` is made of, without parentheses around it."""
        return Span(self._offset(node.col_offset), self._offset(node.end_col_offset or node.col_offset + 1))

    def source(self, span: Span) -> str:
        """The characters."""
        return self.text[span.start : span.end]

    def _offset(self, column: int) -> int:
        column += self._skipped
        return column if self._is_ascii else len(self._bytes[:column].decode(errors="ignore"))


def parse(text: str) -> Parsed:
    """Return the tree of ``text``, whose line breaks count as blanks.

    Raises:
        BadSyntax: it is empty, too long, too deep, or no expression.
    """
    if len(text) > MAX_CHARACTERS:
        whole = Span(MAX_CHARACTERS, len(text))
        raise BadSyntax(Complaint(whole, f"{len(text)} characters are too many; allowed: {MAX_CHARACTERS}"))
    line = text.translate(_ENDS_OF_LINES)
    if not line.strip():
        raise BadSyntax(
            Complaint(Span(0, len(text)), "nothing is written here; write an expression such as temperature > 80")
        )
    if not line.isprintable():
        odd = next(index for index, one in enumerate(line) if not one.isprintable())
        raise BadSyntax(Complaint(Span(odd, odd + 1), f"the character {line[odd]!r} is not allowed"))
    stripped = line.lstrip()
    skipped = len(line[: len(line) - len(stripped)].encode())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # '\d' in quotes is a warning today and a mistake tomorrow
            root = ast.parse(stripped, mode="eval").body
    except SyntaxError as error:
        raise _explained(line, error, len(line) - len(stripped)) from error
    except (ValueError, MemoryError, RecursionError) as error:
        whole = Span(0, len(text))
        raise BadSyntax(Complaint(whole, f"this is nested too deep; allowed: {MAX_LEVELS} levels")) from error
    parsed = Parsed(line, root, skipped)
    _check_end(parsed)
    _check_depth(parsed)
    return parsed


def _check_end(parsed: Parsed) -> None:
    """Python takes what is behind a ``#`` for a remark; here nobody would see that it is ignored."""
    masked = _masked(parsed.text)
    if (at := masked.find("#")) >= 0:
        raise BadSyntax(Complaint(Span(at, at + 1), "'#' begins no remark here; put remarks into lines of their own"))


def _check_depth(parsed: Parsed) -> None:
    level = [parsed.root]
    for _ in range(MAX_LEVELS):
        level = [below for node in level for below in ast.iter_child_nodes(node) if isinstance(below, ast.expr)]
        if not level:
            return
    raise BadSyntax(Complaint(parsed.span(level[0]), f"this is nested too deep; allowed: {MAX_LEVELS} levels"))


def _masked(line: str) -> str:
    """The line with its quoted texts blanked out, as long as before."""
    return _STRING.sub(lambda match: " " * len(match[0]), line)


def _explained(line: str, error: SyntaxError, skipped: int) -> BadSyntax:
    """Say what is meant, as far as one can tell; Python's own words where not."""
    return _slip(line, str(error.msg)) or BadSyntax(_plainly(line, error, skipped))


def _slip(line: str, message: str) -> BadSyntax | None:
    """What people write who know other languages, or units."""
    masked = _masked(line)
    if (quote := re.search("[\"']", masked)) is not None:
        return BadSyntax(
            Complaint(Span(quote.start(), len(line)), f"the text that begins with {quote[0]} is not closed")
        )
    if message.startswith(("invalid escape sequence", "invalid octal escape", "(unicode error)")):
        at = next((match.start() + match[0].find("\\") for match in _STRING.finditer(line) if "\\" in match[0]), 0)
        hint = "write two backslashes for one, or r before the quotes of a pattern"
        return BadSyntax(Complaint(Span(at, at + 2), f"'{line[at : at + 2]}' is no escape; {hint}"), "  ")
    if (duration := _DURATION.search(masked)) is not None:
        quoted = f'"{duration[0]}"'
        return BadSyntax(Complaint(Span(*duration.span()), f"a duration is written in quotes: {quoted}"), quoted)
    if (degrees := _DEGREES.search(masked)) is not None:
        number, unit = degrees.groups()
        quoted = f'"{number} {unit}"'
        hint = f"a value with its unit is written in quotes: {quoted}"
        return BadSyntax(Complaint(Span(*degrees.span()), f"{degrees[0]!r} is not of this language; {hint}"), quoted)
    for odd in _ODD.finditer(masked):
        if hint := _INSTEAD[odd[0]]:
            complaint = Complaint(Span(*odd.span()), f"{odd[0]!r} is not of this language; {hint}")
            return BadSyntax(complaint, _MEANT.get(odd[0]))
    if (word := _UPPER_WORDS.search(masked)) is not None:
        complaint = Complaint(Span(*word.span()), f"{word[0]!r} is not of this language; write {word[0].lower()!r}")
        return BadSyntax(complaint, word[0].lower())
    return None


def _plainly(line: str, error: SyntaxError, skipped: int) -> Complaint:
    """In Python's own words."""
    message = str(error.msg)
    if "nested" in message or "too complex" in message:
        return Complaint(Span(0, len(line)), f"this is nested too deep; allowed: {MAX_LEVELS} levels")
    at = error.offset - 1 + skipped if error.offset else len(line)
    if not line[at:].strip():
        end = len(line.rstrip())
        return Complaint(Span(end, end + 1), "this ends too early: something is missing behind it")
    token = _TOKEN.match(line, at)
    span = Span(*token.span()) if token is not None else Span(at, at + 1)
    if message.startswith("invalid syntax"):
        return Complaint(span, f"{line[span.start : span.end]!r} is not expected here")
    return Complaint(span, message[0].lower() + message[1:])
