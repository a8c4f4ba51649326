"""Where in a message a value is: ``sensors.0.t``, keys and positions in lists, joined by dots.

A key that holds a dot itself is written with ``\\.`` (``a\\.b.c`` is ``c`` within ``a.b``). A step of digits is a
position in a list, and a key in a mapping.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fieldgate_devices.decoders.decoder import Value

__all__ = ["MISSING", "Path"]

_STEP: Final = re.compile(r"((?:[^.\\]|\\[.\\])+)(?:\.(?=.)|$)", re.DOTALL)
_MAX_CHARACTERS: Final = 256


class _Missing:
    """There is nothing at a path; None would be a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Path:
    """Steps from the message inwards; none is the message itself."""

    steps: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read a path as people write it; ``.`` alone is the whole message.

        Raises:
            ValueError: it is none.
        """
        if text == ".":
            return cls(())
        steps: list[str] = []
        at = 0
        while at < len(text) <= _MAX_CHARACTERS and (match := _STEP.match(text, at)) is not None:
            steps.append(re.sub(r"\\(.)", r"\1", match[1]))
            at = match.end()
        if at != len(text) or not steps:
            raise ValueError(
                f"{text[:80]!r} is not a path; write keys and positions joined by dots, such as sensors.0.temperature "
                r"(a dot within a key is written \.)"
            )
        return cls(tuple(steps))

    def find(self, value: Value) -> Value | _Missing:
        """Return what is there, or `MISSING`."""
        for step in self.steps:
            if isinstance(value, dict):
                if step not in value:
                    return MISSING
                value = value[step]
            elif isinstance(value, list):
                if not step.isascii() or not step.isdigit() or len(step) > 9 or int(step) >= len(value):
                    return MISSING
                value = value[int(step)]
            else:
                return MISSING
        return value

    def without(self, value: Value) -> Value:
        """Return ``value`` without what is at the path; what is on the way is copied, nothing is altered."""
        if not self.steps:
            return {}
        if isinstance(value, dict) and self.steps[0] in value:
            rest = {key: one for key, one in value.items() if key != self.steps[0]}
            if len(self.steps) > 1:
                rest[self.steps[0]] = Path(self.steps[1:]).without(value[self.steps[0]])
            return rest
        return value

    def __str__(self) -> str:
        return ".".join(step.replace("\\", "\\\\").replace(".", "\\.") for step in self.steps) or "."
