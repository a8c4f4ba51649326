"""A bad network on loopback: a TCP relay that can be cut, slowed, stalled, reset and made to lose packets.

``up`` is from the client to the upstream, ``down`` the way back. Every control acts at once, is plain (not awaited)
and stays until `Link.restore`, which makes the link perfect again. Chance comes from the seed alone.

A cut is a black hole: both sides stay connected and hear nothing, bytes are read and swallowed, a FIN or RST is
swallowed too, and a new connection is accepted and never answered. A connection that lost a byte in it cannot go on
(TCP would have resent it, the relay has not kept it): `restore` resets it, like a NAT box that forgot it. One that was
silent all the while goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Final, Literal, Self

from fieldgate_simulators.frames import PacketKind
from fieldgate_simulators.relay import Conditions, Pair, Swallow

__all__ = ["Direction", "Link", "PacketKind"]

Direction = Literal["up", "down", "both"]
_BACKLOG: Final = 128
_FILLERS: Final = 4  # connections that fill the accept queue of a deaf listener; one is enough for a backlog of 0


class Link:
    """Relays ``127.0.0.1:port`` to the upstream for as long as its context lasts.

    ``up`` and ``down`` hold the counts of each direction: ``forwarded_bytes``, ``swallowed_bytes``, and ``packets`` and
    ``swallowed_packets`` by `PacketKind`.
    """

    def __init__(self, upstream_host: str, upstream_port: int, *, seed: int = 0) -> None:
        self.host: Final = "127.0.0.1"
        self.upstream_host = upstream_host
        self.upstream_port = upstream_port
        self.accepted = 0
        self.up = Conditions()
        self.down = Conditions()
        self._rng = Random(seed)
        self._holder = _bound_socket(self.host, 0)  # keeps the port ours while nobody listens
        self._listener: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._pairs: set[Pair] = set()
        self._admitting: set[asyncio.Task[None]] = set()
        self._flap: asyncio.TimerHandle | None = None
        self._all_gone = asyncio.Event()

    @property
    def port(self) -> int:
        """Where clients connect to."""
        port: int = self._holder.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many are open on either side."""
        return len(self._pairs)

    async def __aenter__(self) -> Self:
        self._listen()
        return self

    async def __aexit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Reset everything and free the port."""
        self._stop_flapping()
        self._hang_up_listener()
        self._holder.close()
        await asyncio.sleep(0)  # a task cancelled before its first step would leave its socket open
        for task in self._admitting:
            task.cancel()
        if self._admitting:
            await asyncio.wait(self._admitting)
        self.reset()
        if self._pairs:
            self._all_gone.clear()
            await self._all_gone.wait()

    # Controls

    def cut(self, direction: Direction = "both") -> None:
        """Swallow every byte of ``direction``, silently: a black hole."""
        for conditions in self._of(direction):
            conditions.is_cut = True
        self._refresh()

    def stall(self, direction: Direction = "both") -> None:
        """Hold every byte back and read no more, like a peer that stopped reading; nothing is lost at `restore`."""
        for conditions in self._of(direction):
            conditions.is_stalled = True
        self._refresh()

    def delay(self, delay_s: float, *, jitter_s: float = 0.0, direction: Direction = "both") -> None:
        """Deliver later by ``delay_s`` plus up to ``jitter_s``, each way; order is kept."""
        for conditions in self._of(direction):
            conditions.delay_s, conditions.jitter_s = delay_s, jitter_s

    def limit_rate(self, bytes_per_s: float, *, direction: Direction = "both") -> None:
        """Let no more than this through, all connections of a direction together."""
        if bytes_per_s <= 0:
            raise ValueError(f"bytes_per_s must be above 0, not {bytes_per_s!r}")
        for conditions in self._of(direction):
            conditions.bytes_per_s = bytes_per_s

    def swallow_after(self, size_bytes: int, *, direction: Literal["up", "down"] = "up") -> None:
        """Forward ``size_bytes`` more of ``direction``, all connections together, then cut both directions."""
        self._spend(size_bytes, direction, lambda _pair: self.cut())

    def cut_mid_packet(self, after_bytes: int, *, direction: Literal["up", "down"] = "up") -> None:
        """Forward ``after_bytes`` more of ``direction``, then drop the connection that sent the last of them, once.

        Its sender gets RST; its receiver gets what was forwarded, then FIN.
        """
        is_up = direction == "up"
        self._spend(after_bytes, direction, lambda pair: (pair.client if is_up else pair.upstream).reset())

    def swallow_packets(
        self, kind: PacketKind, *, direction: Direction = "both", every: int = 1, count: int | None = None
    ) -> None:
        """Lose whole MQTT packets of ``kind``: every ``every``-th, at most ``count``; the streams stay well-formed."""
        for conditions in self._of(direction):
            conditions.swallows.append(Swallow(kind, every=every, left=count))

    def reset(self) -> None:
        """End every present connection with RST, both sides; new ones are welcome."""
        for pair in list(self._pairs):
            pair.reset()

    def refuse(self) -> None:
        """Refuse new connections, as a host does where nothing listens; present ones go on."""
        self._hang_up_listener()

    def deafen(self) -> None:
        """Never answer a new connection's SYN, so that connecting hangs; present connections go on."""
        self._hang_up_listener()
        self._listener = _bound_socket(self.host, self.port)
        self._listener.listen(0)
        for _ in range(_FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))
            self._fillers.append(filler)

    def flap(self, every_s: float) -> None:
        """Reset every connection each ``every_s`` seconds."""
        self._stop_flapping()
        self._flap = asyncio.get_running_loop().call_later(every_s, self._flap_once, every_s)

    def restore(self) -> None:
        """Be a perfect link again; connections that lost bytes, or were accepted in the dark, are reset."""
        self._stop_flapping()
        for conditions in (self.up, self.down):
            conditions.clear()
        for pair in list(self._pairs):
            if pair.has_lost_bytes or pair.is_orphan:
                pair.reset()
        self._refresh()
        if self._listener is None or self._fillers:
            self._hang_up_listener()
            self._listen()

    # How

    def _of(self, direction: Direction) -> tuple[Conditions, ...]:
        if direction == "both":
            return (self.up, self.down)
        return (self.up,) if direction == "up" else (self.down,)

    def _spend(self, size_bytes: int, direction: Direction, then: Callable[[Pair], None]) -> None:
        if size_bytes < 1:
            raise ValueError(f"at least one byte must pass, not {size_bytes!r}")
        for conditions in self._of(direction):
            conditions.budget_bytes, conditions.on_spent = size_bytes, then

    def _refresh(self) -> None:
        for pair in self._pairs:
            pair.refresh()

    def _flap_once(self, every_s: float) -> None:
        self.reset()
        self.flap(every_s)

    def _stop_flapping(self) -> None:
        if self._flap is not None:
            self._flap.cancel()
            self._flap = None

    def _listen(self) -> None:
        self._listener = _bound_socket(self.host, self.port)
        self._listener.listen(_BACKLOG)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _hang_up_listener(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def _accept(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):  # the client has thought better of it
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            task = asyncio.get_running_loop().create_task(self._admit(sock), name=f"link:{self.port}:{self.accepted}")
            self._admitting.add(task)
            task.add_done_callback(self._admitting.discard)

    async def _admit(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        pair = Pair(self.up, self.down, self._rng, self._forget)
        pair.is_orphan = self.up.is_cut or self.down.is_cut
        self._pairs.add(pair)
        try:
            await loop.connect_accepted_socket(lambda: pair.client, sock)
            if not pair.is_orphan:
                await loop.create_connection(lambda: pair.upstream, self.upstream_host, self.upstream_port)
        except OSError:  # nothing listens upstream: the nearest a relay can come to a refusal is a reset
            pair.reset()
        finally:
            if pair.client.transport is None:
                self._forget(pair)

    def _forget(self, pair: Pair) -> None:
        self._pairs.discard(pair)
        if not self._pairs:
            self._all_gone.set()


def _bound_socket(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    return sock
