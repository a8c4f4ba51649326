"""Regular expressions by RE2: only whether one fits, and only those that no text of 4 KiB can make slow."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from fieldgate_rules.condition.bounds import MAX_PATTERN
from fieldgate_rules.condition.pattern_states import texts_through_all_states

__all__ = ["Pattern", "read_pattern"]

_MAX_MEMORY_BYTES: Final = 2 * 1024 * 1024


class Pattern:
    """One that was checked. All of its states are made beforehand, so that no message has to wait for them."""

    def __init__(self, text: str, options: Any) -> None:
        import re2  # type: ignore[import-untyped]  # it has no types; 2 MB, for those who use it

        patterns = re2.Set.SearchSet(options)  # of one: it alone never looks for where the match begins
        patterns.Add(text.encode())
        patterns.Compile()
        self._find = patterns.Match
        for one in texts_through_all_states(text):
            self.is_found(one)

    def is_found(self, text: str) -> bool:
        """Whether it fits anywhere in ``text``."""
        return self._find(text.encode("utf-8", "replace")) is not None


@lru_cache(maxsize=256)
def read_pattern(text: str) -> Pattern:
    """Return the pattern.

    Raises:
        ValueError: it is too long, no regular expression of RE2, or one that could take too long.
    """
    import re2

    if len(text) > MAX_PATTERN:
        raise ValueError(f"the pattern has {len(text)} characters; allowed: {MAX_PATTERN}")
    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    options.never_capture = True  # what groups catch is asked by nobody
    try:
        re2.compile(text.encode(), options)
    except re2.error as error:
        complaint = error.args[0] if error.args else error
        said = complaint.decode(errors="replace") if isinstance(complaint, bytes) else str(complaint)
        raise ValueError(f"{text!r} is no regular expression of RE2: {said}") from None
    return Pattern(text, options)
