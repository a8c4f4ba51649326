"""The benchmark's arithmetic, tables and drawing: a wrong ratio would be believed for years."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench import plot, ratios, report

RATE, ACKS, CPU = ratios.METRICS


def a_run(pair: int, side: str, **figures: float) -> ratios.Record:
    """Return the record of a complete run."""
    return {"scenario": "speed", "config": "raw/journal", "side": side, "pair": pair, "missing": 0, **figures}


PAIRS = [
    a_run(0, "bridge", rate=40_000, ack_rate=40_000, cpu_us_per_event=16.0),
    a_run(0, "fieldgate", rate=44_000, ack_rate=80_000, cpu_us_per_event=12.0),
    a_run(1, "bridge", rate=20_000, ack_rate=20_000, cpu_us_per_event=20.0),
    a_run(1, "fieldgate", rate=24_000, ack_rate=28_000, cpu_us_per_event=19.0),
    a_run(2, "bridge", rate=40_000, ack_rate=40_000, cpu_us_per_event=16.0),
    a_run(2, "fieldgate", rate=36_000, ack_rate=72_000, cpu_us_per_event=15.2),
]


def test_a_ratio_is_taken_pair_by_pair() -> None:
    """On a noisy machine only runs made side by side compare; the ratio of the medians would say 0.90."""
    comparison = ratios.compare(PAIRS, "raw/journal", RATE)

    assert comparison is not None
    assert comparison.ratio.size == 3
    assert (comparison.ratio.low, comparison.ratio.median, comparison.ratio.high) == pytest.approx((0.9, 1.1, 1.2))
    assert (comparison.bridge, comparison.ours) == (40_000, 36_000)


@pytest.mark.parametrize(
    ("metric", "ratio", "verdict"),
    [(RATE, 1.0, "ok"), (RATE, 0.99, "short"), (CPU, 0.9, "ok"), (CPU, 0.91, "short"), (ACKS, 1.49, "short")],
)
def test_the_verdict_follows_the_direction_of_the_metric(metric: ratios.Metric, ratio: float, verdict: str) -> None:
    """More events are better, more CPU is not; a target just met is met."""
    target = ratios.target_of("raw/journal", metric)

    comparison = ratios.Comparison("raw/journal", metric, 1.0, ratio, ratios.spread_of([ratio]), target)

    assert comparison.verdict == verdict


def test_only_a_complete_run_counts() -> None:
    """A gateway that loses or repeats events could be as fast as it likes."""
    for fault in ("missing", "duplicates", "disorder", "ack_disorder"):
        broken = [record | {fault: 1} if record["side"] == "fieldgate" else record for record in PAIRS]

        assert ratios.compare(broken, "raw/journal", RATE) is None
        assert fault.replace("_", " ") in report.render(broken)


def test_a_pair_with_a_failed_half_does_not_count() -> None:
    """The other half has nothing to be compared with."""
    failed = {"scenario": "speed", "config": "raw/journal", "side": "bridge", "pair": 1, "error": "no port\nmore"}

    comparison = ratios.compare([record for record in PAIRS if record is not PAIRS[2]] + [failed], "raw/journal", RATE)

    assert comparison is not None
    assert comparison.ratio.size == 2


def test_cloudevents_is_not_asked_for_more_than_the_upstream_takes() -> None:
    """Its messages are three times as long; DESIGN names the lower of 0.85 and the upstream's own ceiling."""
    assert ratios.target_of("cloudevents/relay", RATE, ceiling_ratio=0.7) == 0.7
    assert ratios.target_of("cloudevents/relay", RATE, ceiling_ratio=1.9) == 0.85
    assert ratios.target_of("cloudevents-batch/relay", RATE, ceiling_ratio=0.7) == 1.0


def test_no_target_is_made_up_where_the_design_names_none() -> None:
    """PUBACKs at `relay` wait for the upstream: DESIGN asks for nothing there."""
    assert ratios.target_of("raw/relay", ACKS) is None


def test_a_median_of_nothing_is_refused() -> None:
    """A silent 0 would end up in the published table."""
    with pytest.raises(ValueError, match="no values"):
        ratios.spread_of([])


def test_the_report_shows_ratio_range_target_and_verdict() -> None:
    """These four are what a reader looks for."""
    text = report.render(PAIRS)

    assert "| End-to-end rate, events/s | raw/journal | 40,000 | 36,000 | **1.10** [0.90–1.20] | ≥ 1.00 | ok |" in text
    assert "| CPU per event, µs | raw/journal | 16.0 | 15.2 | **0.95** [0.75–0.95] | ≤ 0.90 | short |" in text


def test_every_table_row_has_as_many_cells_as_its_header() -> None:
    """A shifted column is worse than none."""
    check: ratios.Record = {"scenario": "check", "title": "a | b", "config": "raw/relay", "unit": "MB", "value": 61.0}
    latency: ratios.Record = {"scenario": "latency", "config": "raw/relay", "latency_p99_ms": 9.0}
    ceiling: ratios.Record = {"scenario": "ceiling", "config": "raw", "rate": 70_000, "sent_payload_bytes": 120}

    text = report.render([*PAIRS, check | {"target": 60}, latency, ceiling])

    for block in text.split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1, block
    assert "| 61 | ≤ 60 | MB | short |" in text


def test_the_drawing_is_well_formed_and_shows_every_bar() -> None:
    """It is embedded in the README, where a broken one is an empty frame."""
    comparisons = report.comparisons_of([*PAIRS, {"scenario": "ceiling", "config": "raw", "rate": 1}])

    root = ElementTree.fromstring(plot.draw_ratios(comparisons, subtitle="a < b & c"))

    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("raw/journal") == len(ratios.METRICS)
    assert "a < b & c" in texts
    assert {"1.10 ×", "≥ 1.00", "≤ 0.90"} <= set(texts)


def test_nothing_is_drawn_outside_the_frame() -> None:
    """A very good or a very bad ratio must not leave the picture."""
    huge = ratios.Comparison("raw/relay", RATE, 1.0, 40.0, ratios.spread_of([0.01, 40.0, 41.3]), 1.0)

    root = ElementTree.fromstring(plot.draw_ratios([huge], subtitle=""))

    width = float(root.attrib["width"])
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(box.get("x", "0")) + float(box.attrib["width"]) <= width
