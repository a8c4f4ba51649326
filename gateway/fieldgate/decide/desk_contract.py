"""What the desk of commands asks of others: what an order means, and how much may be open."""

from __future__ import annotations

from typing import Protocol

import msgspec

from fieldgate.decide.orders import Executor, Order

__all__ = ["DeskLimits", "Directory", "Refusal", "Target"]


class Refusal(Exception):
    """An order cannot be carried out; the text is the reason. Stays inside this process."""


class Target(msgspec.Struct, frozen=True):
    """What an order means for its device: ``request`` is rendered, ``executor`` carries it out."""

    request: object
    topic: str
    executor: Executor
    timeout_s: float
    max_age_s: float | None


class Directory(Protocol):
    """Who knows devices, their profiles, and who reaches them."""

    def target(self, order: Order) -> Target:
        """Return what ``order`` means now.

        Raises:
            Refusal: the device, the command or its arguments are not known, or not right.
        """


class DeskLimits(msgspec.Struct, frozen=True):
    """How much may be open: for one device, and for all; and how long after the start devices may take to be back."""

    max_of_device: int = 64
    max_open: int = 1024
    grace_s: float = 10.0
