"""Until when a command may be carried out.

By its sender's time, where it says one and the clock here is set; else by when it was received, including all that it
waited here. Over a restart of the OS only UTC tells, and only if the clock was set then and is now; else it is over.
"""

from __future__ import annotations

from typing import Final

from fieldgate.decide.order_row import Moment, Row
from fieldgate.decide.orders import LONGEST_AGE_S, MAX_AGE_S, Order

__all__ = ["expiry", "is_over"]

_NS: Final = 1_000_000_000


def expiry(order: Order, profile_max_s: float | None, now: Moment) -> tuple[float, int]:
    """Return when ``order`` is too old: the boot time, and UTC in ns (0 where the clock is not set).

    What its sender and its profile say both hold, and a day at the most. A sender whose clock is ahead gains nothing.
    """
    limits = [one for one in (order.max_age_s, profile_max_s) if one is not None]
    max_age_s = min(*limits, LONGEST_AGE_S) if limits else MAX_AGE_S
    age_s = max(0.0, now.boot_s - order.received_boot_ns / _NS)
    if order.made_at_ns is not None and now.is_synced:
        age_s = max(age_s, (now.wall_ns - order.made_at_ns) / _NS)
    left_s = max_age_s - age_s
    return now.boot_s + left_s, now.wall_ns + round(left_s * _NS) if now.is_synced else 0


def is_over(row: Row, now: Moment) -> bool:
    """Whether the command of ``row`` must not be carried out any more."""
    if row.os_boot == now.os_boot:
        return now.boot_s >= row.expires_boot_s
    return not (row.expires_wall_ns and now.is_synced and now.wall_ns < row.expires_wall_ns)
