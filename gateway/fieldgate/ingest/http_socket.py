"""What the connections share that speak HTTP, to devices or to whoever reads metrics."""

from __future__ import annotations

from typing import Final, Protocol

from fieldgate.clock import boot_s
from fieldgate.ingest.layered_socket import LayeredSocket
from fieldgate.ingest.layers import LayerEnd

__all__ = ["HttpSocket"]

_UNREAD_S: Final = 10.0  # so long answers may lie unread


class _Hears(Protocol):
    def receive(self, data: bytes, now_s: float) -> None:
        """Take what the client says."""


class HttpSocket(LayeredSocket):
    """Reading that is paused and goes on, and answers that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self._is_reading = True
        self._congested_since_s: float | None = None

    def set_reading(self, is_wanted: bool) -> None:
        """Read on, or read nothing more for now."""
        transport = self._transport
        if is_wanted == self._is_reading or transport is None or transport.is_closing() or self.abort_at_s is not None:
            return
        self._is_reading = is_wanted
        if is_wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _pass_on(self, data: bytes, session: _Hears) -> LayerEnd | None:
        """Give ``session`` what came, through the layers; return how these have ended, if they have."""
        stack = self._stack
        if stack is None:
            session.receive(data, boot_s())
            return None
        said = stack.receive(data)
        self._write_raw(stack.take_output())
        if said:
            session.receive(said, boot_s())
        return stack.ended

    def _is_unread(self, now_s: float) -> bool:
        """Whether answers lie unread for too long."""
        return self._congested_since_s is not None and now_s >= self._congested_since_s + _UNREAD_S
