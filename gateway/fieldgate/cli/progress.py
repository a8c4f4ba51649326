"""A line on stderr now and then, for a person who waits."""

from __future__ import annotations

from typing import Final

import typer

from fieldgate import clock

__all__ = ["Progress"]

_TELL_EVERY_S: Final = 1.0


class Progress:
    """Says how far it is, once a second at most; ``is_quiet``: for programs, never."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._due_s = clock.boot_s() + _TELL_EVERY_S

    def tell(self, text: str) -> None:
        """Say it if it is time."""
        if not self._is_quiet and clock.boot_s() >= self._due_s:
            self._due_s = clock.boot_s() + _TELL_EVERY_S
            typer.echo(text, err=True)
