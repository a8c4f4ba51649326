"""The engine that runs in tests: the gateway's own."""

from __future__ import annotations

from collections.abc import Callable

from fieldgate_devices.event import Stamp
from fieldgate_rules.engine import Engine
from fieldgate_rules.rule import RuleSet

__all__ = ["Make", "make_engine"]

Make = Callable[[RuleSet, str, Stamp, str], Engine]
"""Makes one, of rules, the gateway's id, the present moment and the OS boot's id."""


def make_engine(rules: RuleSet, gateway: str, stamp: Stamp, os_boot: str) -> Engine:
    """Return an engine, as the gateway makes it."""
    return Engine(rules, gateway=gateway, stamp=stamp, os_boot=os_boot)
