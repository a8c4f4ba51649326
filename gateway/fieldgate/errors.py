"""The root of every error that Fieldgate raises, and where in a file an error is.

Children live beside the code that raises them; they are split by whose fault it is.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConfigError", "FieldgateError", "JournalError", "Location", "UplinkError"]


class FieldgateError(Exception):
    """Anything that Fieldgate itself found wrong."""


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file; line and column count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class ConfigError(FieldgateError):
    """A configuration cannot be used as written; carries every problem found, one per line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class JournalError(FieldgateError):
    """The journal cannot keep its promise; nothing may be acknowledged any more."""


class UplinkError(FieldgateError):
    """An uplink cannot be used now; the pump keeps its events and tries again."""
