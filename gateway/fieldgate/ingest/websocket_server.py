"""The server's side of a WebSocket that carries MQTT (RFC 6455, MQTT 6), fed bytes.

Laws of this file:

- The upgrade must ask for our path and the subprotocol ``mqtt`` [MQTT-6.0.0-3]; else it is answered: 400 what is no
  upgrade to this, 403 an origin that may not, 404 another path, 426 plain HTTP.
- MQTT is a stream: packets and frames have nothing to do with each other [MQTT-6.0.0-2]. A frame that is not binary
  ends the connection with 1003 [MQTT-6.0.0-1].
- Nothing is compressed, and a message is bounded, more tightly before the client is in. Pings are answered; they say
  nothing about MQTT's keep-alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from fieldgate.config.texts import is_own_name
from fieldgate.ingest.layers import LayerEnd

__all__ = ["WebSocketLayer"]

_SUBPROTOCOL: Final = Subprotocol("mqtt")
_STRANGER_BYTES: Final = 128 * 1024
_MESSAGE_BYTES: Final = 2**20  # a client may put many packets into one message
_GOODBYE: Final = "the client closed the WebSocket"


class WebSocketLayer:
    """`Layer`. ``origins``: those of web pages that may connect; None: any; empty: pages of this host only."""

    def __init__(self, *, path: str, origins: Sequence[str] | None, max_packet_bytes: int) -> None:
        self.ended: LayerEnd | None = None
        self._path = path
        self._origins = origins
        self._message_bytes = max(_MESSAGE_BYTES, 2 * max_packet_bytes)
        self._protocol = ServerProtocol(subprotocols=[_SUBPROTOCOL], max_size=_STRANGER_BYTES)

    def receive(self, chunk: bytes) -> bytes:
        """See `Layer`."""
        if self.ended is not None:
            return b""
        protocol = self._protocol
        protocol.receive_data(chunk)
        pieces: list[bytes] = []
        for event in protocol.events_received():
            if not self._take(event, pieces):
                break
        if self.ended is None:
            self._look_for_errors()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take(self, event: Event, pieces: list[bytes]) -> bool:
        """Take a request or a frame; answers whether what came behind it in the same read may be heard."""
        if isinstance(event, Request):
            self._answer(event)
        elif isinstance(event, Frame):
            self._take_frame(event, pieces)
        return self.ended is None

    def _take_frame(self, frame: Frame, pieces: list[bytes]) -> None:
        match frame.opcode:
            case Opcode.BINARY | Opcode.CONT:
                pieces.append(bytes(frame.data))
            case Opcode.TEXT:
                problem = "MQTT comes in binary frames"
                self._protocol.fail(CloseCode.UNSUPPORTED_DATA, problem)
                self.ended = LayerEnd("websocket_error", f"the client sent a text frame; {problem}")
            case Opcode.CLOSE:
                self.ended = LayerEnd("connection_lost", _GOODBYE)

    def _answer(self, request: Request) -> None:
        response = self._refusal(request) or self._protocol.accept(request)
        self._protocol.send_response(response)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            problem = f"the upgrade to a WebSocket was answered with {response.status_code} {response.reason_phrase}"
            self.ended = LayerEnd("websocket_refused", problem)

    def _refusal(self, request: Request) -> Response | None:
        if request.path.partition("?")[0] != self._path:
            return self._protocol.reject(HTTPStatus.NOT_FOUND, f"MQTT is at {self._path}.\n")
        if not _is_origin_allowed(request, self._origins):
            return self._protocol.reject(HTTPStatus.FORBIDDEN, "Pages of this origin may not connect here.\n")
        return None

    def _look_for_errors(self) -> None:
        protocol = self._protocol
        if protocol.handshake_exc is not None:  # what came is no HTTP request: the library says nothing to that
            answer = protocol.reject(HTTPStatus.BAD_REQUEST, "This is not the beginning of a WebSocket.\n")
            protocol.writes.insert(0, answer.serialize())
            self.ended = LayerEnd("websocket_refused", "what the client sent is no upgrade to a WebSocket")
        elif protocol.parser_exc is not None:
            self.ended = LayerEnd("websocket_error", f"WebSocket: {protocol.parser_exc}")

    def send(self, chunk: bytes) -> None:
        """See `Layer`."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(chunk)

    def take_output(self) -> bytes:
        """See `Layer`. The end of the stream is for whoever closes the socket."""
        return b"".join(self._protocol.data_to_send())

    def admitted(self) -> None:
        """See `Layer`."""
        self._protocol.max_size = self._message_bytes

    def end(self) -> None:
        """See `Layer`."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)


def _is_origin_allowed(request: Request, origins: Sequence[str] | None) -> bool:
    """Whether the page from which a browser connects may; other clients send no Origin [RFC 6455 10.2]."""
    sent = request.headers.get_all("Origin")
    if origins is None or not sent:
        return True
    origin = sent[0].lower()
    host = next(iter(request.headers.get_all("Host")), "").lower()
    if len(sent) != 1:
        return False
    return origin in origins or "*" in origins or (origin.partition("://")[2] == host and is_own_name(host))
