"""What a metric is, and metrics as Prometheus reads them: its text format 0.0.4, and OpenMetrics 1.0.

Laws of this file:

- A metric is declared once, with its help, unit and labels; a sample of another shape is a defect and raises.
- A name ends as the convention wants it: the unit, then ``_total`` for a counter.
- Both formats say the same. They differ in where a counter has its ``_total`` and in how they end.

No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from fieldgate.observe.histogram import Spread

__all__ = ["CONTENT_TYPES", "Dialect", "Metric", "Sample", "Unit", "render"]

Unit = Literal["", "seconds", "bytes"]
"""A base unit; empty for a count."""

Dialect = Literal["text", "openmetrics"]
CONTENT_TYPES: Final[dict[Dialect, str]] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """``name`` as it is queried: a counter's with ``_total``. ``labels`` are the names."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    help: str
    unit: Unit = ""
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The name without what the kind adds to it."""
        ending = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return self.name.removesuffix(ending) if ending else self.name


class Sample(NamedTuple):
    """A value of a metric; ``labels`` are the values of its labels, in the order in which it declares them."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Spread


def render(samples: Iterable[Sample], metrics: Sequence[Metric], *, dialect: Dialect) -> bytes:
    """Return the samples by metric, in the order of ``metrics``; a metric without a sample is left out.

    Raises:
        ValueError: a sample does not have the labels or the kind of value that its metric declares, or is not of
            ``metrics``, or two have the same labels.
    """
    by_metric: dict[str, dict[tuple[str, ...], Sample]] = {one.name: {} for one in metrics}
    for sample in samples:
        metric = sample.metric
        if len(sample.labels) != len(metric.labels) or isinstance(sample.value, Spread) != (metric.kind == "histogram"):
            raise ValueError(f"{metric.name}: {sample!r} is no sample of it")
        if metric.name not in by_metric:
            raise ValueError(f"{metric.name} is not declared")
        if by_metric[metric.name].setdefault(sample.labels, sample) is not sample:
            raise ValueError(f"{metric.name}: there are two samples with the labels {sample.labels!r}")
    lines: list[str] = []
    for metric in metrics:
        if own := by_metric[metric.name].values():
            lines += _head(metric, dialect)
            for sample in own:
                lines += _lines(sample)
    if dialect == "openmetrics":
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines).encode()


def _head(metric: Metric, dialect: Dialect) -> list[str]:
    if dialect == "text":
        kind = "gauge" if metric.kind == "info" else metric.kind
        help_ = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
        return [f"# HELP {metric.name} {help_}", f"# TYPE {metric.name} {kind}"]
    unit = [f"# UNIT {metric.family} {metric.unit}"] if metric.unit else []
    return [f"# TYPE {metric.family} {metric.kind}", *unit, f"# HELP {metric.family} {_escaped(metric.help)}"]


def _lines(sample: Sample) -> list[str]:
    metric, value = sample.metric, sample.value
    if not isinstance(value, Spread):
        return [f"{metric.name}{_labels(metric.labels, sample.labels)} {_number(value)}"]
    names, bounds = (*metric.labels, "le"), [*map(_bound, value.bounds), "+Inf"]
    lines = [
        f"{metric.name}_bucket{_labels(names, (*sample.labels, bound))} {count}"
        for bound, count in zip(bounds, value.counts, strict=True)
    ]
    own = _labels(metric.labels, sample.labels)
    return [*lines, f"{metric.name}_sum{own} {_number(value.total)}", f"{metric.name}_count{own} {value.counts[-1]}"]


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _bound(value: float) -> str:
    """Always with a point, as OpenMetrics has it: the same series in both formats."""
    return repr(float(value))
