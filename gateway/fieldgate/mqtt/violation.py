"""A peer broke a rule of MQTT or went over a limit: its connection ends, nobody else's does."""

from __future__ import annotations

from fieldgate.errors import FieldgateError
from fieldgate.mqtt.packets import Reason

__all__ = ["Violation"]


class Violation(FieldgateError):
    """What one client did that ends its connection; ``reason`` is what an MQTT 5 client is told."""

    def __init__(self, reason: Reason, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason
