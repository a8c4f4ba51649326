"""Who is at the door and who is in, by address, and who has to make room.

Strangers (connections whose client is not in yet) are bounded together. When one comes too many, the oldest one of the
address that has the most has to go: whoever fills the place fills it with its own, and others still get in. Who is
being judged has done its part and stays: else those who come back together would push each other out for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

__all__ = ["Crowd", "plain_address"]

T = TypeVar("T", bound=Hashable)


def plain_address(host: str) -> str:
    """The address as it is counted: an IPv4 client of a socket for both families is one of IPv4."""
    host = host.partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


class Crowd(Generic[T]):
    """Counts connections; ``max_clients`` and ``max_per_address`` are asked for those that are about to come in.

    ``may_go`` says whether a stranger may be asked to make room.
    """

    def __init__(
        self, *, max_strangers: int, max_clients: int, max_per_address: int, may_go: Callable[[T], bool]
    ) -> None:
        self._may_go = may_go
        self.limit(max_strangers=max_strangers, max_clients=max_clients, max_per_address=max_per_address)
        self._strangers: dict[str, dict[T, None]] = {}  # oldest first
        self._clients: dict[T, str] = {}
        self._per_address: Counter[str] = Counter()  # clients
        self.strangers = 0

    def limit(self, *, max_strangers: int, max_clients: int, max_per_address: int) -> None:
        """From now on within these limits; who is there already may stay."""
        self._max_strangers = max_strangers
        self._max_clients = max_clients
        self._max_per_address = max_per_address

    @property
    def clients(self) -> int:
        """How many are in."""
        return len(self._clients)

    def arrived(self, one: T, address: str) -> T | None:
        """A connection was made; returns the stranger that has to go for it, if one has to: itself at worst."""
        self._strangers.setdefault(address, {})[one] = None
        self.strangers += 1
        if self.strangers <= self._max_strangers:
            return None
        by_crowd = sorted(self._strangers.values(), key=len, reverse=True)
        return next((old for crowd in by_crowd for old in crowd if old != one and self._may_go(old)), one)

    def admitted(self, one: T, address: str) -> None:
        """Its client is in."""
        self._remove_stranger(one, address)
        self._clients[one] = address
        self._per_address[address] += 1

    def left(self, one: T, address: str) -> None:
        """The connection is over."""
        if self._clients.pop(one, None) is None:
            self._remove_stranger(one, address)
            return
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]

    def exceeded(self, address: str) -> str:
        """Return the limit that one more client from ``address`` would exceed, or an empty text."""
        if len(self._clients) >= self._max_clients:
            return "max_clients"
        if self._per_address[address] >= self._max_per_address:
            return "max_clients_per_address"
        return ""

    def _remove_stranger(self, one: T, address: str) -> None:
        here = self._strangers.get(address, {})
        if one in here:
            del here[one]
            self.strangers -= 1
            if not here:
                del self._strangers[address]
