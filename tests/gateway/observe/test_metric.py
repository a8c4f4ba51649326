"""Metrics are declared once and written in two formats, which other people's programs read alike."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import fieldgate
from fieldgate.observe.histogram import Histogram
from fieldgate.observe.metric import Metric, Sample, render
from fieldgate.observe.metric_table import METRICS, metrics_table
from scrape_kit import promtool, series

PAGE = Path(fieldgate.__file__).parents[1] / "METRICS.md"
SOURCES = Path(fieldgate.__file__).parent

SEEN = Metric("t_seen_total", "counter", 'What is "seen",\nback\\slash too.', labels=("who", "how"))
SIZE = Metric("t_size_bytes", "gauge", "A size.", "bytes")
TOOK = Metric("t_took_seconds", "histogram", "A time.", "seconds", ("who",))
INFO = Metric("t_build_info", "info", "What it is.", labels=("version",))


def example() -> list[Sample]:
    took = Histogram((0.1, 1.0, 5.0))
    for value, count in ((0.1, 2), (0.5, 1), (9.0, 4)):
        took.observe(value, count)
    return [
        Sample(SEEN, ("a", 'q"\\\n'), 3),
        Sample(SEEN, ("b", "x"), 0),
        Sample(SIZE, (), 1.5),
        Sample(TOOK, ("a",), took.spread()),
        Sample(INFO, ("1.0",), 1),
    ]


def test_both_formats_say_the_same_to_the_library_of_prometheus() -> None:
    """Which one is sent depends on the version of Prometheus; a dashboard must not."""
    declared = (SEEN, SIZE, TOOK, INFO)
    text = series(render(example(), declared, dialect="text").decode())
    openmetrics = series(render(example(), declared, dialect="openmetrics").decode(), "openmetrics")

    assert text == openmetrics
    assert text["t_seen_total", frozenset({("who", "a"), ("how", 'q"\\\n')})] == 3
    assert text["t_took_seconds_bucket", frozenset({("who", "a"), ("le", "0.1")})] == 2
    assert text["t_took_seconds_bucket", frozenset({("who", "a"), ("le", "5.0")})] == 3
    assert text["t_took_seconds_bucket", frozenset({("who", "a"), ("le", "+Inf")})] == 7
    assert text["t_took_seconds_count", frozenset({("who", "a")})] == 7
    assert text["t_took_seconds_sum", frozenset({("who", "a")})] == pytest.approx(36.7)


def test_promtool_has_nothing_against_it() -> None:
    """It looks at names and units as well as at the format."""
    if (tool := promtool()) is None:
        pytest.skip("there is no promtool: 'make setup' as root fetches it")
    text = render(example(), (SEEN, SIZE, TOOK, INFO), dialect="text")

    good = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, timeout=30)
    bad = subprocess.run(
        [tool, "check", "metrics"], input=text.replace(b"_total", b""), capture_output=True, timeout=30
    )

    assert (good.returncode, good.stdout + good.stderr) == (0, b"")
    assert bad.returncode != 0  # the control


@pytest.mark.parametrize(
    "sample",
    [
        Sample(SEEN, ("a",), 1),
        Sample(TOOK, ("a",), 1.0),
        Sample(SIZE, (), Histogram().spread()),
        Sample(SEEN, ("b", "x"), 7),
        Sample(Metric("t_other", "gauge", "Not declared."), (), 1),
    ],
    ids=["labels", "no histogram", "a histogram", "twice", "undeclared"],
)
def test_a_sample_that_is_none_of_its_metric_is_a_defect(sample: Sample) -> None:
    """Else a scrape would be refused as a whole, far away."""
    with pytest.raises(ValueError, match=r"t_\w+"):
        render([*example(), sample], (SEEN, SIZE, TOOK, INFO), dialect="text")


def amiss(metric: Metric) -> list[str]:
    """What is against the convention in how a metric is declared."""
    endless = {"device", "topic", "client", "user", "rule", "profile", "address"} & {*metric.labels}
    checks = {
        "prefix": metric.name.startswith(("fieldgate_", "process_")),
        "_total": metric.name.endswith("_total") == (metric.kind == "counter"),
        "unit": not metric.unit or metric.family.endswith(f"_{metric.unit}"),
        "no unit": metric.unit or not metric.family.endswith(("_seconds", "_bytes", "_ms", "_ratio")),
        "help": metric.help.endswith("."),
        "labels": not endless,
    }
    return [name for name, is_kept in checks.items() if not is_kept]


def test_every_metric_is_named_by_convention() -> None:
    """Name, unit and type belong together, so that nobody has to look up whether it was milliseconds."""
    broken = Metric("fieldgate_wait_ms", "counter", "A wait", "seconds", ("device",))

    assert {one.name: amiss(one) for one in METRICS if amiss(one)} == {}
    assert amiss(broken) == ["_total", "unit", "help", "labels"]  # the control


def test_every_metric_is_documented() -> None:
    """The page has the table as it is; `metrics_table` makes it."""
    assert metrics_table() in PAGE.read_text(encoding="utf-8")
    assert len({one.name for one in METRICS}) == len(METRICS) > 60


def test_a_missing_line_would_be_found() -> None:
    """The mutant: one metric more than the page knows."""
    page = PAGE.read_text(encoding="utf-8")

    assert all(f"| `{one.name}` |" in page for one in METRICS)
    assert metrics_table().replace("fieldgate_parts_failing", "fieldgate_new") not in page


def test_no_metric_is_declared_and_then_never_told() -> None:
    """Each constant of the table is used by what gathers samples."""
    table = (SOURCES / "observe" / "metric_table.py").read_text(encoding="utf-8")
    names = [line.partition(" = ")[0] for line in table.splitlines() if line[:1].isupper() and " = _" in line]
    gathered = "".join(
        path.read_text(encoding="utf-8") for folder in ("answers", "scrape") for path in (SOURCES / folder).glob("*.py")
    )

    assert len(names) == len(METRICS)
    assert [name for name in names if f"table.{name}," not in gathered and f"Sample({name}," not in gathered] == []
