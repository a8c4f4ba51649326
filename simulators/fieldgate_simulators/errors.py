"""The root of what the simulators find wrong."""

from __future__ import annotations

__all__ = ["SimulatorError"]


class SimulatorError(Exception):
    """A part of the simulated world cannot be had as asked for."""
