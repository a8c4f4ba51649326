"""MQTT in WebSocket frames [MQTT5 6], as a client: a layer between a connection and the `Link` on top of it.

To the `Link` it looks like any transport: it paces reading, says when the network is full and closes as TCP does.
What it promises: binary frames both ways [MQTT-6.0.0-1], the subprotocol ``mqtt`` agreed on [MQTT-6.0.0-3], and a
goodbye that waits for the server's a second at most. Compression is not offered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from fieldgate.config.urls import BrokerUrl
from fieldgate.net.http_head import BUSY_STATUSES, Head, HeadReader, NoHttp
from fieldgate.net.refusals import ClosedByServer, ConnectRefused, TryLater, join_address, printable

__all__ = ["WebSocketClient"]

_GOODBYE_S: Final = 1.0
_FRAME_BYTES: Final = 64 * 1024  # of a frame that we send
_MAX_SHARED_BYTES: Final = 16 * 1024 * 1024  # of further packets in a message that holds a largest one
_SWITCHING: Final = 101
_MQTT: Final = Subprotocol("mqtt")
_DATA: Final = frozenset({Opcode.BINARY, Opcode.CONT})


class WebSocketClient(asyncio.Protocol):
    """One WebSocket; ``opened`` is done when ``upper`` has its connection, or fails with why it gets none."""

    def __init__(
        self,
        upper: asyncio.Protocol,
        place: BrokerUrl,
        *,
        server_name: str,
        headers: Mapping[str, str],
        max_packet_bytes: int,
        is_path_secret: bool = False,
    ) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._upper = upper
        self._where = join_address(place.host, place.port)
        path, _, query = place.path.partition("?")
        self._at = "the path in 'url'" if is_path_secret else path
        self._is_path_secret = is_path_secret
        self._headers = headers
        uri = WebSocketURI(place.is_tls, server_name, place.port, path, query, None, None)
        self._protocol = ClientProtocol(uri, subprotocols=[_MQTT], max_size=_MAX_SHARED_BYTES + max_packet_bytes)
        self._head: HeadReader | None = HeadReader()
        self._unread = b""
        self._transport: asyncio.Transport | None = None
        self._is_up = False
        self._is_closing = False
        self._end: Exception | None = None

    # -- what the loop calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass of it
        request = self._protocol.connect()
        request.headers["User-Agent"] = "fieldgate"
        for name, value in self._headers.items():
            request.headers.pop(name, None)
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take frames, or the answer to the handshake."""
        if self._head is not None:
            self._unread += data
            if not self._is_switched(self._head, data):
                return
            self._head, data, self._unread = None, self._unread, b""
        self._protocol.receive_data(data)
        self._flush()
        if not self._is_up and not self._open():
            return
        self._take()

    def eof_received(self) -> None:
        """The loop closes the transport then."""
        self._protocol.receive_eof()

    def pause_writing(self) -> None:
        """The network is full."""
        if self._is_up:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """The network takes more."""
        if self._is_up:
            self._upper.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._is_closing = True
        if not self.opened.done():
            self._fail(exc or ConnectionResetError())
        if self._is_up:
            self._upper.connection_lost(exc if self._end is None else self._end)

    # -- opening ----------------------------------------------------------------------------------------------

    def _is_switched(self, reader: HeadReader, chunk: bytes) -> bool:
        """Look at the status ourselves: what is no 101 may have a body without an end."""
        if self.opened.done():
            return False
        try:
            head = reader.feed(chunk)
        except NoHttp as error:
            self._fail(ConnectRefused(f"{self._where} does not speak WebSocket: it answers with {error}"))
            return False
        if head is None:
            return False
        if head.status != _SWITCHING:
            self._fail(self._refusal(head))
            return False
        return True

    def _open(self) -> bool:
        """The answer is complete; return whether it is the right one."""
        if self.opened.done():
            return False
        problem = self._protocol.handshake_exc
        if problem is None and self._protocol.subprotocol != _MQTT:
            problem = InvalidHandshake("it agrees to no subprotocol 'mqtt'")
        if problem is not None:
            words = f"does not speak MQTT over WebSocket at {self._at}: {printable(str(problem))}"
            self._fail(ConnectRefused(f"{self._where} {words}"))
            return False
        self._is_up = True
        self.opened.set_result(None)
        self._upper.connection_made(_FrameTransport(self))
        return True

    def _refusal(self, head: Head) -> ConnectRefused | TryLater:
        where = f"{self._where} refuses the WebSocket handshake"
        if head.status in BUSY_STATUSES:
            return TryLater(f"{where} for now: {head}")
        match head.status:
            case 401 | 403:
                advice = "; some services want a log-in in 'headers'"
            case 404:
                advice = f"; there is no WebSocket at {self._at}, write the right path into 'url'"
            case 301 | 302 | 303 | 307 | 308:
                target = _bare(head.headers.get("location", ""), with_path=not self._is_path_secret)
                advice = f"; it sends us to {target}, which 'url' must name then"
            case 200:
                advice = "; that is a web server, is the path right?"
            case _:
                advice = ""
        return ConnectRefused(f"{where}: {head}{advice}")

    def _fail(self, error: Exception) -> None:
        self.opened.set_exception(error)
        self.opened.exception()  # whoever waits may have given up
        if self._transport is not None:
            self._transport.abort()

    # -- frames -----------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Hand on what came in frames."""
        payloads: list[bytes] = []
        for event in self._protocol.events_received():
            if not isinstance(event, Frame):
                continue
            if event.opcode in _DATA:
                payloads.append(bytes(event.data))
            elif event.opcode is Opcode.TEXT:
                self._break_off("it sent a text frame, which carries no MQTT")
            elif event.opcode is Opcode.CLOSE and not self._is_closing and self._protocol.close_rcvd_then_sent:
                why = printable(str(self._protocol.close_rcvd))
                self._end = ClosedByServer(f"{self._where} closed the WebSocket: {why}")
        if payloads and not self._is_closing:
            self._upper.data_received(payloads[0] if len(payloads) == 1 else b"".join(payloads))
        if self._protocol.parser_exc is not None and not self._is_closing:
            self._break_off(str(self._protocol.parser_exc))
        if self._protocol.close_rcvd is not None and self._transport is not None:
            self._is_closing = True
            self._transport.close()

    def _break_off(self, problem: str) -> None:
        self._end = ClosedByServer(f"{self._where} broke the WebSocket protocol: {problem}")
        self._is_closing = True
        with contextlib.suppress(WebSocketException):  # it has said so itself
            self._protocol.fail(1003, problem)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def write(self, data: bytes) -> None:
        """Send ``data`` in as few frames as servers like."""
        if self._is_closing or self._protocol.state is not State.OPEN:
            return
        for start in range(0, len(data), _FRAME_BYTES):
            self._protocol.send_binary(data[start : start + _FRAME_BYTES])
        self._flush()

    def finish(self) -> None:
        """Say goodbye; what the server still says is read, and its goodbye is the end."""
        if not self._is_closing and self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()

    def close(self) -> None:
        """Say goodbye, read nothing more, and wait a little for the server's goodbye."""
        transport = self._transport
        if self._is_closing or transport is None:
            return
        self.finish()
        self._is_closing = True
        if not transport.is_reading():
            transport.resume_reading()
        asyncio.get_running_loop().call_later(_GOODBYE_S, transport.abort)

    def _flush(self) -> None:
        """Write what the protocol has to say; ``b""`` is its wish for an end, which the transport sees to."""
        transport = self._transport
        frames = [frame for frame in self._protocol.data_to_send() if frame]
        if frames and transport is not None and not transport.is_closing():
            transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._is_closing

    @property
    def below(self) -> asyncio.Transport:
        """The transport that carries the frames."""
        assert self._transport is not None
        return self._transport


class _FrameTransport(asyncio.Transport):
    """What the `Link` takes for its transport."""

    def __init__(self, socket: WebSocketClient) -> None:
        super().__init__()
        self._socket = socket

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._socket.write(bytes(data))

    def is_closing(self) -> bool:
        return self._socket.is_closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._socket.finish()

    def close(self) -> None:
        self._socket.close()

    def abort(self) -> None:
        self._socket.below.abort()

    def get_write_buffer_size(self) -> int:
        return self._socket.below.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.below.set_write_buffer_limits(high, low)

    def is_reading(self) -> bool:
        return self._socket.below.is_reading()

    def pause_reading(self) -> None:
        if not self._socket.is_closing:  # the server's goodbye is to be read
            self._socket.below.pause_reading()

    def resume_reading(self) -> None:
        self._socket.below.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket.below.get_extra_info(name, default)


def _bare(location: str, *, with_path: bool) -> str:
    """An address without what may be a secret in it, and without what no terminal should see."""
    try:
        parts = urlsplit(location)
        host = parts.hostname or ""
    except ValueError:
        return "another address"
    path = parts.path if with_path else ""
    shown = f"{parts.scheme}://{host}{path}" if host else path
    return repr(shown[:200]) if shown else "another address"
