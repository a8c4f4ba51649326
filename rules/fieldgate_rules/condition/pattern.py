"""Regular expressions by RE2: only whether one fits, and only those that a text of 4 KiB cannot make slow."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from fieldgate_rules.condition.bounds import MAX_PATTERN

__all__ = ["Pattern", "read_pattern"]

_MAX_MEMORY_BYTES: Final = 1024 * 1024


class Pattern:
    """One that was checked."""

    def __init__(self, compiled: Any) -> None:
        self._search = compiled.search

    def is_found(self, text: str) -> bool:
        """Whether it fits anywhere in ``text``."""
        return self._search(text.encode("utf-8", "replace")) is not None


@lru_cache(maxsize=256)
def read_pattern(text: str) -> Pattern:
    """Return the pattern.

    Raises:
        ValueError: it is too long, no regular expression of RE2, or one that could take too long.
    """
    if len(text) > MAX_PATTERN:
        raise ValueError(f"the pattern has {len(text)} characters; allowed: {MAX_PATTERN}")
    return Pattern(_compile(text))


def _compile(text: str) -> Any:
    import re2  # type: ignore[import-untyped]  # it has no types; 2 MB, for those who use it

    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    options.never_capture = True  # what groups catch is asked by nobody, and costs
    options.longest_match = True
    try:
        return re2.compile(text.encode("utf-8", "replace"), options)
    except re2.error as error:
        complaint = error.args[0] if error.args else error
        said = complaint.decode(errors="replace") if isinstance(complaint, bytes) else str(complaint)
        raise ValueError(f"{text!r} is no regular expression of RE2: {said}") from None
