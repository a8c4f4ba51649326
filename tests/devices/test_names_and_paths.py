"""Field names, paths, topic patterns: the small languages of profiles."""

from __future__ import annotations

import keyword
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.names import MAX_NAME, RESERVED, FreeNames, name_problem, plain_name
from fieldgate_devices.paths import ABSENT, read_path
from fieldgate_devices.topic_pattern import read_topic_pattern


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (("AM2301-1a", "Temperature"), "am2301_1a_temperature"),
        (("switch:0", "apower"), "switch_0_apower"),
        (("sensorTemp",), "sensor_temp"),
        (("PM2.5",), "pm2_5"),
        (("2m",), "n_2m"),
        (("class",), "class_"),
        (("type",), "type_"),
        (("Température", 0), "temperature_0"),
        (("—",), "unnamed"),
    ],
)
def test_raw_names_become_identifiers(raw, name):
    assert plain_name(raw) == name


@given(st.lists(st.text(max_size=40) | st.integers(0, 99), min_size=1, max_size=4))
def test_every_raw_name_becomes_one_that_a_rule_can_write(raw):
    """Whatever a device calls its values, a rule must be able to name them."""
    name = plain_name(raw)

    assert name_problem(name) == "", name


@pytest.mark.parametrize("name", ["", "A", "a-b", "1a", "é", "a" * (MAX_NAME + 1), *sorted(RESERVED), *keyword.kwlist])
def test_names_that_a_rule_cannot_write_are_refused(name):
    assert name_problem(name) != ""


def test_names_that_are_taken_are_counted_on():
    names = FreeNames({"b", "a_2"})
    assert [names.of(name) for name in ("a", "a", "a", "b", "c", "a_3")] == ["a", "a_3", "a_4", "b_2", "c", "a_3_2"]


RECORD = {"sensors": {"flow:0": 1.5, "a.b": 2, "": 4}, "list": [{"t": 1}, {"t": 2}], "AM2301": {"Temperature": 20}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sensors.flow:0", 1.5),
        ('sensors."a.b"', 2),
        ('sensors.""', 4),
        ("list[1].t", 2),
        ("list[-1].t", 2),
        ("list[2].t", ABSENT),
        ("*.Temperature", 20),
        ("*.nothing", ABSENT),
        ("sensors.flow:0.deeper", ABSENT),
        ("$topic.device", "b1"),
        ("$topic.other", ABSENT),
    ],
)
def test_paths_lead_to_values(path, value):
    assert read_path(path).find(RECORD, {"device": "b1"}) == value


def test_the_way_to_a_value_says_what_a_star_stood_for():
    assert read_path("*.Temperature").locate(RECORD) == ("AM2301", "Temperature")
    assert read_path("list[-1].t").locate(RECORD) == ("list", 1, "t")
    assert read_path("*.nothing").locate(RECORD) is None


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "[0]", "a[x]", 'a"b', '"a', "$topic", "$topic.a.b", "a]", ".".join("a" * 17)]
)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match=re.escape(repr(path)[:10])):
        read_path(path)


@pytest.mark.parametrize(
    ("pattern", "topic", "captures"),
    [
        ("site/+/boiler/{device}/telemetry", "site/a/boiler/b1/telemetry", {"device": "b1"}),
        ("site/+/boiler/{device}/telemetry", "site/a/boiler/b1/x/telemetry", None),
        ("shellies/{model}-{id}/#", "shellies/shellyht-12-AB/sensor/t", {"model": "shellyht-12", "id": "AB"}),
        ("a/#", "a", {}),
        ("a/#", "a/b/c", {}),
        ("a/#", "ab", None),
        ("a/{rest#}", "a/b/c", {"rest": "b/c"}),
        ("a/{rest#}", "a", None),
        ("#", "$SYS/x", None),
        ("+/x", "$SYS/x", None),
        ("{device}/x", "$SYS/x", None),
        ("$SYS/+", "$SYS/x", {}),
        ("a/{device}", "a/", None),
        ("a.b/{d}", "axb/1", None),
    ],
)
def test_patterns_catch_parts_of_topics(pattern, topic, captures):
    assert read_topic_pattern(pattern).match(topic) == captures


@pytest.mark.parametrize(
    "pattern", ["", "a/#/b", "a/{b#}/c", "{a}{b}", "{a}/{a}", "a/{b", "a/b}", "x+/a", "a#", "a\nb", "{1a}", "a/x{b#}"]
)
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match=r"write a topic|captures side by side|own name"):
        read_topic_pattern(pattern)
