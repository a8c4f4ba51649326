"""What a decoder is: bytes in, records out, or the reason why not.

A record is one reading: raw names and their values, as the device wrote them. A decoder knows nothing of fields,
units and limits; those are the contract's. It is called once for each message, never twice at once, and keeps
nothing from one message to the next. It promises that no payload whatever makes it raise anything but
`Undecodable`, hold the caller for long, or return more than ``limits.py`` allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias

__all__ = ["Decoder", "Record", "Undecodable", "Value", "excerpt", "one_line"]

Value: TypeAlias = "bool | int | float | str | bytes | list[Value] | dict[str, Value] | None"
Record: TypeAlias = dict[str, Value]

_SHOWN: Final = 40  # characters of a payload that a reason may quote


class Undecodable(Exception):
    """The payload is not what the decoder reads; ``reason`` is a short text that a person can act on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Decoder(Protocol):
    """Reads one kind of payload."""

    @property
    def is_text(self) -> bool:
        """Whether values come as texts that the contract may read as numbers (``"21.5"``)."""

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return what the payload says: at least one record.

        ``captures`` are the parts of the topic that the profile named.

        Raises:
            Undecodable: whatever else the bytes may be.
        """


def one_line(error: Exception) -> str:
    """What an error of a library says, on one line and short: it may quote the payload."""
    return " ".join(str(error).split())[:80]


def excerpt(payload: str | bytes) -> str:
    """The beginning of a text or of bytes, quoted, for a reason."""
    text = payload[:_SHOWN].decode("utf-8", "backslashreplace") if isinstance(payload, bytes) else payload
    quoted = repr(text[:_SHOWN])
    if len(quoted) > _SHOWN + 20:  # escapes have made it long
        quoted = quoted[: _SHOWN + 20] + quoted[0]
    return quoted if len(payload) <= _SHOWN else f"{quoted}…"
