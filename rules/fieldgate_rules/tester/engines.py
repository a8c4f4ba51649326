"""The engine that runs in tests: the gateway's own."""

from __future__ import annotations

from fieldgate_devices.event import Stamp
from fieldgate_rules.engine import Engine
from fieldgate_rules.rule import RuleSet
from fieldgate_rules.tester.deciding import Deciding

__all__ = ["make_engine"]


def make_engine(rules: RuleSet, gateway: str, stamp: Stamp, os_boot: str) -> Deciding:
    """Return an engine, as the gateway makes it."""
    return Engine(rules, gateway=gateway, stamp=stamp, os_boot=os_boot)
