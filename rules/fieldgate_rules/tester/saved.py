"""What a gateway has on its disk at any moment, so that a test can kill it: urgent rows soon, the others now and then.

Times are those of `fieldgate.journal.rule_keeper` at their longest: a test sees the worst that may be lost.
"""

from __future__ import annotations

from typing import Final

from fieldgate_rules.engine import Engine

__all__ = ["Saved"]

_URGENT_NS: Final = 500_000_000
_ALL_NS: Final = 30 * 10**9


class Saved:
    """``rows`` are what a process that starts now would find. Each engine is watched from its start."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], bytes] = {}
        self._urgent_ns: int | None = None
        self._all_ns = _ALL_NS

    @property
    def due_ns(self) -> int:
        """When something is saved next."""
        return self._all_ns if self._urgent_ns is None else min(self._urgent_ns, self._all_ns)

    def begin(self, at_ns: int) -> None:
        """Another process starts: what the one before had not written is lost."""
        self._urgent_ns = None
        self._all_ns = at_ns + _ALL_NS

    def look(self, engine: Engine, at_ns: int) -> None:
        """Something was decided."""
        if self._urgent_ns is None and engine.urgent:
            self._urgent_ns = at_ns + _URGENT_NS

    def save(self, engine: Engine, at_ns: int, *, is_all: bool = False) -> None:
        """Write what is due at that moment, or everything, as a stop does."""
        is_all = is_all or at_ns >= self._all_ns
        for key, row in engine.changes(is_all=is_all).items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self._urgent_ns = None
        if is_all:
            self._all_ns = at_ns + _ALL_NS
