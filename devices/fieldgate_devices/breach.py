"""How a message breaks its contract."""

from __future__ import annotations

from typing import Literal

__all__ = ["Breach", "BreachCode", "shown"]

BreachCode = Literal[
    "undecodable", "missing", "wrong_type", "out_of_range", "not_allowed", "unknown_field", "bad_time", "no_device"
]
_SHOWN: int = 60


class Breach(Exception):
    """The message is not what the profile says. Stays inside the decoding; becomes a dead letter.

    ``code`` is one of a closed set, for counting; ``detail`` is for a person and names field and value.
    """

    def __init__(self, code: BreachCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def shown(value: object) -> str:
    """``value`` as a person would recognise it, not longer than a line."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
