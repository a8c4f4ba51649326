"""How often somebody may try to log in: a few times at once, then after waits that double.

Laws of this file:

- Failures count for the pair of address and user (a device with an old password), for the address (many users tried
  from one place) and for the user (one user tried from many places). They fade with time.
- A pair or an address that failed too often is refused for a while, without a look at the password.
- A user that is tried from many places is never refused for it, or anybody could lock it out: its log-ins are made to
  wait a moment, and not even that from an address where it logged in before.
- An address that is refused still lets in the users that logged in from it before: neighbours behind one router do not
  pay for each other.
- Memory is bounded: what was not touched for longest is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

__all__ = ["LoginThrottle", "Pace"]

_MAX_KNOWN: Final = 4096


@dataclass(frozen=True, slots=True)
class Pace:
    """``free`` failures cost nothing; then the wait doubles from ``base_s`` to ``cap_s``. One fades in ``fade_s``."""

    free: int
    base_s: float
    cap_s: float
    fade_s: float


_PAIR: Final = Pace(free=5, base_s=1.0, cap_s=60.0, fade_s=60.0)
_ADDRESS: Final = Pace(free=30, base_s=1.0, cap_s=60.0, fade_s=5.0)
_USER: Final = Pace(free=10, base_s=0.1, cap_s=2.0, fade_s=5.0)


class _Failures:
    """Of many keys, the recent failures and until when the next try has to wait."""

    __slots__ = ("_pace", "_records")

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._records: OrderedDict[Hashable, tuple[float, float, float]] = OrderedDict()  # count, as of, wait until

    def __len__(self) -> int:
        return len(self._records)

    def add(self, key: Hashable, now_s: float) -> None:
        count, as_of_s, _ = self._records.get(key, (0.0, now_s, 0.0))
        count = max(0.0, count - (now_s - as_of_s) / self._pace.fade_s) + 1
        over = count - self._pace.free
        wait_s = 0.0 if over <= 0 else min(self._pace.cap_s, self._pace.base_s * 2 ** min(over - 1, 30))
        self._records[key] = count, now_s, now_s + wait_s
        self._records.move_to_end(key)
        if len(self._records) > _MAX_KNOWN:
            self._records.popitem(last=False)

    def wait_s(self, key: Hashable, now_s: float) -> float:
        record = self._records.get(key)
        return 0.0 if record is None else max(0.0, record[2] - now_s)

    def forget(self, key: Hashable) -> None:
        self._records.pop(key, None)


class LoginThrottle:
    """Asked before a password is looked at, told afterwards how that went."""

    def __init__(self) -> None:
        self._pairs = _Failures(_PAIR)
        self._addresses = _Failures(_ADDRESS)
        self._users = _Failures(_USER)
        self._familiar: OrderedDict[tuple[str, str], None] = OrderedDict()

    def refused_for_s(self, address: str, user: str, now_s: float) -> float:
        """Return for how long nothing is to be tried; 0: it may be tried now."""
        wait_s = self._pairs.wait_s((address, user), now_s)
        if (address, user) not in self._familiar:
            wait_s = max(wait_s, self._addresses.wait_s(address, now_s))
        return wait_s

    def pause_s(self, address: str, user: str, now_s: float) -> float:
        """Return how long the answer is to be put off."""
        return 0.0 if (address, user) in self._familiar else self._users.wait_s(user, now_s)

    def failed(self, address: str, user: str, now_s: float) -> None:
        """It was a wrong password, or there is no such user."""
        self._pairs.add((address, user), now_s)
        self._addresses.add(address, now_s)
        self._users.add(user, now_s)

    def succeeded(self, address: str, user: str) -> None:
        """It was the right password."""
        self._pairs.forget((address, user))
        self._familiar[address, user] = None
        self._familiar.move_to_end((address, user))
        if len(self._familiar) > _MAX_KNOWN:
            self._familiar.popitem(last=False)
