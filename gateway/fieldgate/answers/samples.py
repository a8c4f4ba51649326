"""Gathers samples of metrics, and holds them to their bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fieldgate.observe.histogram import Spread
from fieldgate.observe.metric import Metric, Sample

__all__ = ["MAX_REASONS", "Samples"]

MAX_REASONS: Final = 40
"""Values that a label of reasons may have; what is more is ``other``. There are fewer: this is for the day there are
not."""


class Samples:
    """Takes values; ``all`` are the samples so far."""

    def __init__(self) -> None:
        self.all: list[Sample] = []

    def put(self, metric: Metric, value: float | Spread | None, *labels: str) -> None:
        """Take a value; None is not known and has no sample."""
        if value is not None:
            self.all.append(Sample(metric, labels, value))

    def put_by(self, metric: Metric, counts: Mapping[str, float], *labels: str) -> None:
        """Take a value for each value of the last label."""
        ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        for reason, count in ordered[:MAX_REASONS]:
            self.put(metric, count, *labels, reason)
        if rest := ordered[MAX_REASONS:]:
            self.put(metric, sum(count for _, count in rest), *labels, "other")

    def put_one_of(self, metric: Metric, states: Iterable[str], state: str, *labels: str) -> None:
        """Take 1 for the state that holds (empty: none does), and 0 for the others."""
        for one in states:
            self.put(metric, one == state, *labels, one)
