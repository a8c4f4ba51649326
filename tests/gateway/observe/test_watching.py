"""Alert rules and dashboard in deploy/observe are about metrics that exist, and mean them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import fieldgate
from fieldgate.observe.metric import Metric
from fieldgate.observe.metric_table import METRICS
from scrape_kit import promtool

FOLDER = Path(fieldgate.__file__).parents[2] / "deploy" / "observe"
BY_NAME = {one.name: one for one in METRICS}
SCRAPED = {"instance", "job", "le"}  # labels that Prometheus or a histogram adds
_WORD = re.compile(r"\b((?:fieldgate|process)_\w+)")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return [one for one in found if one["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """Every query, and where it stands."""
    of_panels = [(one["title"], target["expr"]) for one in panels() for target in one["targets"]]
    return [*((one["alert"], one["expr"]) for one in alerts()), *of_panels]


def metrics_in(expr: str) -> list[Metric | str]:
    """The metrics that a query names; a name where there is none of it."""
    found: list[Metric | str] = []
    for name in _WORD.findall(re.sub(r'"[^"]*"', '""', expr)):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        metric = BY_NAME.get(name) or BY_NAME.get(base)
        is_whole = metric is not None and (metric.kind == "histogram") == (name != metric.name)
        found.append(metric if metric is not None and is_whole else name)
    return found


def amiss(expr: str) -> list[str]:
    """What a query says of metrics that is not so."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    metrics = metrics_in(expr)
    wrong = [one for one in metrics if isinstance(one, str)]
    known = {label for one in metrics if isinstance(one, Metric) for label in one.labels} | SCRAPED
    labels = {name for inside in re.findall(r"\{([^}]*)\}", bare) for name in re.findall(r"(\w+)\s*[=!]", inside)}
    labels |= {name.strip() for inside in re.findall(r"\bby \(([^)]*)\)", bare) for name in inside.split(",")}
    wrong += sorted(labels - known)
    for call, name in re.findall(r"\b(rate|increase|changes)\(((?:fieldgate|process)_\w+)", bare):
        counts = name.endswith(("_total", "_bucket"))
        wrong += [f"{call} of {name}"] if counts != (call != "changes") else []
    return wrong


def unit_of(expr: str) -> set[str]:
    """The unit in which a query answers, as Grafana calls it, by what it does to its metrics."""
    units = set()
    for metric in metrics_in(expr):
        assert isinstance(metric, Metric)
        is_rate = "rate(" in expr and metric.kind == "counter"
        of_rate = {"": "cps", "bytes": "Bps", "seconds": "percentunit"}
        units.add(of_rate[metric.unit] if is_rate else {"": "short", "bytes": "bytes", "seconds": "s"}[metric.unit])
    return units or {"short"}


def test_every_metric_and_label_in_a_query_exists() -> None:
    """A query for what is not there is silent for ever: the alert that never comes."""
    assert {where: amiss(expr) for where, expr in queries() if amiss(expr)} == {}
    assert len(queries()) > 50


@pytest.mark.parametrize(
    "expr",
    [
        "fieldgate_no_such_thing > 0",
        "fieldgate_settle_seconds > 0",
        'fieldgate_uplink_up{device="x"}',
        "sum by (topic) (fieldgate_uplink_up)",
        "rate(fieldgate_uplink_backlog_events[5m])",
    ],
)
def test_a_query_that_cannot_work_would_be_found(expr: str) -> None:
    """The control."""
    assert amiss(expr)


def test_labels_in_the_words_of_an_alert_are_those_of_its_query() -> None:
    """Else a message says 'the uplink <no value>'."""
    for rule in alerts():
        known = {label for one in metrics_in(rule["expr"]) if isinstance(one, Metric) for label in one.labels}
        grouped = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        if grouped:
            known = {name.strip() for inside in grouped for name in inside.split(",")}
        named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))

        assert named <= known | SCRAPED, rule["alert"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert {"summary", "description"} == rule["annotations"].keys()


def test_panels_have_the_units_of_their_metrics() -> None:
    """Seconds drawn as milliseconds have sent people the wrong way before."""
    shown = {one["title"]: one["fieldConfig"]["defaults"]["unit"] for one in panels()}
    meant = {one["title"]: set().union(*(unit_of(t["expr"]) for t in one["targets"])) for one in panels()}

    assert {title: (shown[title], units) for title, units in meant.items() if units != {shown[title]}} == {}
    assert unit_of("rate(fieldgate_flash_written_bytes_total[5m])") == {"Bps"}  # the control: it is none of bytes
    assert len({one["id"] for one in panels()}) == len(panels())


Numbers = dict[str, str]

FIRING: dict[str, tuple[Numbers, Numbers]] = {  # what an alert is for, and what it is not for: series and values
    "FieldgateDown": ({'up{job="fieldgate"}': "0x120"}, {'up{job="fieldgate"}': "1x120"}),
    "FieldgateRestarts": (
        {'process_start_time_seconds{job="fieldgate"}': "0+60x120"},
        {'process_start_time_seconds{job="fieldgate"}': "5x120"},
    ),
    "FieldgatePartFails": ({"fieldgate_parts_failing": "1x120"}, {"fieldgate_parts_failing": "0x120"}),
    "FieldgateUplinkDown": ({'fieldgate_uplink_up{uplink="a"}': "0x120"}, {'fieldgate_uplink_up{uplink="a"}': "1x120"}),
    "FieldgateUplinkRefused": (
        {'fieldgate_uplink_state{uplink="a",state="refused"}': "1x120"},
        {'fieldgate_uplink_state{uplink="a",state="backoff"}': "1x120"},
    ),
    "FieldgateBacklogOld": (
        {'fieldgate_uplink_backlog_age_seconds{uplink="a"}': "0+60x120"},
        {'fieldgate_uplink_backlog_age_seconds{uplink="a"}': "30x120"},
    ),
    "FieldgateEventsLost": (
        {'fieldgate_uplink_lost_events_total{uplink="a",reason="evicted"}': "0+1x120"},
        {'fieldgate_uplink_lost_events_total{uplink="a",reason="evicted"}': "9x120"},
    ),
    "FieldgateUnaccounted": (
        {'fieldgate_uplink_unaccounted_events{uplink="a"}': "-1x120"},
        {'fieldgate_uplink_unaccounted_events{uplink="a"}': "0x120"},
    ),
    "FieldgateEventsParked": (
        {'fieldgate_uplink_parked_events{uplink="a"}': "2x120"},
        {'fieldgate_uplink_parked_events{uplink="a"}': "0x120"},
    ),
    "FieldgateJournalFull": (
        {'fieldgate_journal_full{cause="disk"}': "1x120"},
        {'fieldgate_journal_full{cause="disk"}': "0x120"},
    ),
    "FieldgateJournalFillsUp": (
        {"fieldgate_journal_bytes": "90x120", "fieldgate_journal_limit_bytes": "100x120"},
        {"fieldgate_journal_bytes": "70x120", "fieldgate_journal_limit_bytes": "100x120"},
    ),
    "FieldgateDiskDoesNotAnswer": ({"fieldgate_journal_responds": "0x120"}, {"fieldgate_journal_responds": "1x120"}),
    "FieldgateStoreFails": (
        {'fieldgate_store_up{store="rules"}': "0x120"},
        {'fieldgate_store_up{store="rules"}': "1x120"},
    ),
    "FieldgateFsyncSlow": (
        {
            'fieldgate_journal_fsync_seconds_bucket{le="1.0"}': "0x120",
            'fieldgate_journal_fsync_seconds_bucket{le="2.5"}': "0+9x120",
            'fieldgate_journal_fsync_seconds_bucket{le="+Inf"}': "0+9x120",
        },
        {
            'fieldgate_journal_fsync_seconds_bucket{le="1.0"}': "0+9x120",
            'fieldgate_journal_fsync_seconds_bucket{le="2.5"}': "0+9x120",
            'fieldgate_journal_fsync_seconds_bucket{le="+Inf"}': "0+9x120",
        },
    ),
    "FieldgateSettleSlow": (
        {
            'fieldgate_settle_seconds_bucket{le="5.0"}': "0x120",
            'fieldgate_settle_seconds_bucket{le="10.0"}': "0+9x120",
            'fieldgate_settle_seconds_bucket{le="+Inf"}': "0+9x120",
        },
        {
            'fieldgate_settle_seconds_bucket{le="5.0"}': "0+9x120",
            'fieldgate_settle_seconds_bucket{le="10.0"}': "0+9x120",
            'fieldgate_settle_seconds_bucket{le="+Inf"}': "0+9x120",
        },
    ),
    "FieldgateFlashWear": (
        {"fieldgate_flash_written_bytes_total": "0+200000000x120"},
        {"fieldgate_flash_written_bytes_total": "0+200000x120"},
    ),
    "FieldgateClockUnset": (
        {'fieldgate_clock_quality{quality="unsynced"}': "1x120"},
        {'fieldgate_clock_quality{quality="synced"}': "1x120"},
    ),
    "FieldgateSourceDown": (
        {'fieldgate_source_up{source="a",kind="serial"}': "0x120"},
        {'fieldgate_source_up{source="a",kind="serial"}': "1x120"},
    ),
    "FieldgateDevicesSilent": (
        {'fieldgate_devices{state="silent"}': "1x120"},
        {'fieldgate_devices{state="heard"}': "1x120"},
    ),
    "FieldgateDeadLetters": (
        {'fieldgate_dead_letters_received_total{reason="json"}': "0+1x120"},
        {'fieldgate_dead_letters_received_total{reason="json"}': "9x120"},
    ),
    "FieldgateRuleFails": ({"fieldgate_rule_errors_total": "0+1x120"}, {"fieldgate_rule_errors_total": "3x120"}),
    "FieldgateFilesWrong": (
        {"fieldgate_rule_problems": "1x120", "fieldgate_profile_problems": "0x120"},
        {"fieldgate_rule_problems": "0x120", "fieldgate_profile_problems": "0x120"},
    ),
    "FieldgateCertificateExpires": (
        {'fieldgate_certificate_expiry_timestamp_seconds{kind="listener",name="a"}': "1000000x120"},
        {'fieldgate_certificate_expiry_timestamp_seconds{kind="listener",name="a"}': "9000000x120"},
    ),
    "FieldgateManyRefused": (
        {'fieldgate_listener_publishes_refused_total{listener="a",reason="bad_token"}': "0+60x120"},
        {'fieldgate_listener_ended_total{listener="a",reason="client_disconnect"}': "0+60x120"},
    ),
    "FieldgateMemory": (
        {'process_resident_memory_bytes{job="fieldgate"}': "130000000x120"},
        {'process_resident_memory_bytes{job="fieldgate"}': "60000000x120"},
    ),
}


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else(tmp_path: Path) -> None:
    """By promtool, on two hours of numbers of a minute each."""
    assert FIRING.keys() == {one["alert"] for one in alerts()}
    if (tool := promtool()) is None:
        pytest.skip("there is no promtool: 'make setup' as root fetches it")
    assert _firing(tool, tmp_path, {name: numbers for name, (numbers, _) in FIRING.items()}) == FIRING.keys()
    assert _firing(tool, tmp_path, {name: numbers for name, (_, numbers) in FIRING.items()}) == set()


def _firing(tool: str, folder: Path, cases: dict[str, Numbers]) -> set[str]:
    """The alerts that are there after 100 minutes; promtool names those that it got and that nobody expected."""
    series = [{"series": name, "values": values} for numbers in cases.values() for name, values in numbers.items()]
    asked = [{"eval_time": "100m", "alertname": alert, "exp_alerts": []} for alert in cases]
    tests = [{"interval": "1m", "input_series": series, "alert_rule_test": asked}]
    file = folder / "test.yaml"
    whole = {"rule_files": [str(FOLDER / "alerts.yaml")], "evaluation_interval": "1m", "tests": tests}
    file.write_text(json.dumps(whole), encoding="utf-8")
    ran = subprocess.run([tool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    got = set(re.findall(r"alertname: (\w+)", ran.stdout + ran.stderr))
    assert (ran.returncode != 0) == bool(got), ran.stdout + ran.stderr
    return got
