"""The root of every error that Fieldgate raises.

Children live beside the code that raises them; they are split by whose fault it is.
"""

from __future__ import annotations

__all__ = ["ConfigError", "FieldgateError", "JournalError", "UplinkError"]


class FieldgateError(Exception):
    """Anything that Fieldgate itself found wrong."""


class ConfigError(FieldgateError):
    """A configuration cannot be used as written; carries every problem found, one per line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class JournalError(FieldgateError):
    """The journal cannot keep its promise; nothing may be acknowledged any more."""


class UplinkError(FieldgateError):
    """An uplink cannot be used now; the pump keeps its events and tries again."""
