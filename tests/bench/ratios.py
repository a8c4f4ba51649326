"""The maths of the comparison: ratios pair by pair, their spread, and the verdict against a target. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Comparison", "Metric", "Spread", "compare", "is_complete", "pick", "spread_of", "target_of"]

Record = dict[str, object]
Verdict = Literal["ok", "short", "–"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with what lies around it."""

    median: float
    low: float
    high: float
    size: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One compared figure; ``wants_more`` tells which way is better."""

    key: str
    title: str
    unit: str
    wants_more: bool


METRICS = (
    Metric(key="rate", title="End-to-end rate", unit="events/s", wants_more=True),
    Metric(key="ack_rate", title="PUBACKs to devices", unit="events/s", wants_more=True),
    Metric(key="cpu_us_per_event", title="CPU per event", unit="µs", wants_more=False),
)

# DESIGN.md section 6: ratios to the bridge, by format.
RATE_TARGETS = {"raw": 1.0, "cloudevents": 0.85, "cloudevents-batch": 1.0}
CPU_TARGETS = {"raw": 0.9, "cloudevents": 1.2, "cloudevents-batch": 1.0}
JOURNAL_ACK_TARGET = 1.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """One configuration against the bridge in one metric."""

    config: str
    metric: Metric
    bridge: float
    ours: float
    ratio: Spread
    target: float | None

    @property
    def verdict(self) -> Verdict:
        """Whether the median ratio meets the target; a dash when there is none."""
        if self.target is None:
            return "–"
        is_met = self.ratio.median >= self.target if self.metric.wants_more else self.ratio.median <= self.target
        return "ok" if is_met else "short"


def spread_of(values: Sequence[float]) -> Spread:
    """Return median, minimum and maximum.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values to take the median of")
    return Spread(median=statistics.median(values), low=min(values), high=max(values), size=len(values))


def pick(record: Record, key: str) -> float | None:
    """Return a figure of a record, None when the run has not measured it."""
    value = record.get(key)
    return float(value) if isinstance(value, int | float) else None


def is_complete(record: Record) -> bool:
    """Say whether a run may be counted: every event acknowledged and arrived, none twice, none out of order."""
    faults = ("missing", "duplicates", "disorder", "ack_disorder")
    return not {"error", "skipped"} & record.keys() and not any(pick(record, fault) for fault in faults)


def target_of(config: str, metric: Metric, *, ceiling_ratio: float | None = None) -> float | None:
    """Return the target ratio of DESIGN.md section 6, None where it names none.

    ``ceiling_ratio`` is what the upstream itself can take of messages of this size, relative to the bridge's rate;
    nobody is asked for more than that.
    """
    format_, _, level = config.partition("/")
    match metric.key:
        case "rate":
            target = RATE_TARGETS.get(format_)
            if target is not None and format_ == "cloudevents" and ceiling_ratio is not None:
                return min(target, ceiling_ratio)
            return target
        case "cpu_us_per_event":
            return CPU_TARGETS.get(format_)
        case "ack_rate" if level == "journal":
            return JOURNAL_ACK_TARGET
        case _:
            return None


def compare(records: Iterable[Record], config: str, metric: Metric) -> Comparison | None:
    """Set a configuration's speed runs against the bridge runs made beside them; None without a complete pair."""
    sides: dict[str, dict[object, float]] = {"bridge": {}, "fieldgate": {}}
    ceilings: list[float] = []
    for record in records:
        value = pick(record, metric.key)
        if value is None or not is_complete(record):
            continue
        if record["scenario"] == "speed" and record["config"] == config:
            sides[str(record["side"])][record["pair"]] = value
        elif record["scenario"] == "ceiling" and record["config"] == "cloudevents" and metric.key == "rate":
            ceilings.append(value)
    bridge, ours = sides["bridge"], sides["fieldgate"]
    pairs = [pair for pair in ours if bridge.get(pair)]
    if not pairs:
        return None
    bridge_median = statistics.median(bridge[pair] for pair in pairs)
    ceiling_ratio = statistics.median(ceilings) / bridge_median if ceilings else None
    return Comparison(
        config=config,
        metric=metric,
        bridge=bridge_median,
        ours=statistics.median(ours[pair] for pair in pairs),
        ratio=spread_of([ours[pair] / bridge[pair] for pair in pairs]),
        target=target_of(config, metric, ceiling_ratio=ceiling_ratio),
    )
