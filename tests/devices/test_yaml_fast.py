"""Long YAML files go through another parser: it must mean the same, and what it refuses is said as always."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate_devices.files import document, yaml_events
from fieldgate_devices.files.document import Limits, read_yaml
from fieldgate_devices.files.yaml_events import can_be_fast

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in ("devices/fieldgate_devices/profiles", "rules", "deploy/config")
    for path in (ROOT / folder).rglob("*.yaml")
)
ODD = """\
rules:
  - {on: yes, no: on, at: 12:30, "quoted\\ttab": 'it''s', anchor: &a [1, 0x1F, .5, ~], alias: *a}
  - text: >-
      folded over
      two lines

      and a third
  - |
    as it
      stands
  - plain text: with # no remark
    empty:
    twice: 1
    twice: 2
    tagged: !!int "3"
    ? complex
    : value
    url: http://example.org/#top, and more
    °C: "µ \\u00e9"
"""


def whole(content, monkeypatch, *, is_fast):
    monkeypatch.setattr(document, "can_be_fast", lambda text: is_fast)
    read = read_yaml(content, "f.yaml", limits=Limits(max_bytes=1 << 24, max_nodes=1_000_000))
    return read.root, read.problems


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_both_parsers_read_our_own_files_alike_with_every_place(path, monkeypatch):
    content = path.read_bytes()

    assert whole(content, monkeypatch, is_fast=True) == whole(content, monkeypatch, is_fast=False)


def test_both_parsers_read_odd_files_alike(monkeypatch):
    fast, slow = whole(ODD.encode(), monkeypatch, is_fast=True), whole(ODD.encode(), monkeypatch, is_fast=False)

    assert fast == slow
    assert len(slow[1]) == 2


@pytest.mark.parametrize(
    "broken", ["a: [1, 2\nb: 3\n", "a: 'x\n", "a: b: c\n", "a: @x\n", "a: *nobody\n", "- a\nb: c\n", "\ta: 1\n"]
)
def test_what_is_no_yaml_is_said_as_in_short_files(broken, monkeypatch):
    """The other parser's words speak of tokens."""
    assert whole(broken.encode(), monkeypatch, is_fast=True) == whole(broken.encode(), monkeypatch, is_fast=False)


@pytest.mark.parametrize("disputed", ["\x85", "\u2028", "\u2029", "\t", "\n%YAML 1.1\n", "\ufeff"])
def test_what_the_two_disagree_about_is_left_to_one_of_them(disputed):
    assert can_be_fast("a" * 70_000)
    assert not can_be_fast("a" * 70_000 + disputed)
    assert not can_be_fast("a" * 60_000)


def test_a_long_file_is_fast(monkeypatch):
    """The control: without it ten thousand rules take 17 s."""
    monkeypatch.setattr(document, "yaml_events", None)
    lines = "".join(f"- {{id: r{number}, when: 'x > {number}'}}\n" for number in range(5000))
    read = read_yaml(lines.encode(), "f.yaml", limits=Limits(max_nodes=100_000))

    assert read.problems == []
    assert read.root.content[4999].content["when"][1].at.line == 5000
    assert yaml_events.can_be_fast(lines)
