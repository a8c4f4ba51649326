"""What may lie between a socket and its MQTT session: TLS, a WebSocket, or one on the other.

Sans-io: bytes from below go in, bytes for above come out, and what a layer itself has to say waits for whoever writes.
A layer that is over still hands up what came before its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Layer", "LayerEnd", "LayerStack"]


@dataclass(frozen=True, slots=True)
class LayerEnd:
    """Why a layer carries nothing more: the code for the counters, and the words for the log."""

    code: str
    problem: str


class Layer(Protocol):
    """One of them."""

    ended: LayerEnd | None

    def receive(self, chunk: bytes) -> bytes:
        """Take bytes from below; returns those for above."""

    def send(self, chunk: bytes) -> None:
        """Take bytes from above, for `take_output`."""

    def take_output(self) -> bytes:
        """Return what is to go down, once."""

    def admitted(self) -> None:
        """The client is in: limits for strangers do not hold any more."""

    def end(self) -> None:
        """Say goodbye, if there is somebody to say it to."""


class LayerStack:
    """Layers of one connection, lowest first."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._up = tuple(layers)
        self._down = tuple(reversed(self._up))

    @property
    def ended(self) -> LayerEnd | None:
        """Why nothing more can come, if so."""
        return next((layer.ended for layer in self._up if layer.ended is not None), None)

    def receive(self, chunk: bytes) -> bytes:
        """Take what was read from the socket; returns what it says to the session."""
        for layer in self._up:
            if not chunk:
                break
            chunk = layer.receive(chunk)
        return chunk

    def send(self, chunk: bytes) -> bytes:
        """Take what the session writes; returns what goes to the socket."""
        for layer in self._down:
            if chunk:
                layer.send(chunk)
            chunk = layer.take_output()
        return chunk

    def take_output(self) -> bytes:
        """Return what the layers have to say by themselves."""
        return self.send(b"")

    def admitted(self) -> None:
        """The client is in."""
        for layer in self._up:
            layer.admitted()

    def end(self) -> bytes:
        """Return the goodbyes of all layers, each through those below it."""
        chunk = b""
        for layer in self._down:
            if chunk:
                layer.send(chunk)
            layer.end()
            chunk = layer.take_output()
        return chunk
