"""The topics on which uplinks hear commands, in view of what else happens at the same broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate.config import load
from fieldgate.config.command_topic import answer_filter, command_filter
from fieldgate.mqtt.topics import matches


@pytest.mark.parametrize(
    ("written", "topic"),
    [
        ("true", "fieldgate/{gateway}/{device}/command/{name}"),
        ("false", "off"),
        ("off", "off"),
        ("site/{device}/do/{name}", "site/{device}/do/{name}"),
    ],
)
def test_commands_are_a_word_or_a_topic(tmp_path: Path, written: str, topic: str) -> None:
    """``true`` is what people write first, and what is in effect is shown as a topic."""
    file = tmp_path / "fieldgate.yaml"
    commands = written if written in ("true", "false") else repr(written)
    file.write_text(f"uplinks: {{cloud: {{mqtt: {{url: 'mqtts://b.example', commands: {commands}}}}}}}")

    config = load(file).config

    assert config.brokers_up["cloud"].commands == topic


def test_commands_are_off_by_default(tmp_path: Path) -> None:
    """Who may publish at the broker commands the devices: that must be asked for."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text("uplinks: {cloud: {mqtt: {url: 'mqtts://b.example'}}}")

    assert load(file).config.brokers_up["cloud"].commands == "off"


@pytest.mark.parametrize(
    "template", ["fieldgate/{gateway}/{device}/command/{name}", "{name}/x/{device}", "{device}/{name}"]
)
def test_an_answer_is_never_heard_as_a_command(template: str) -> None:
    """Else each answer would be answered."""
    heard = command_filter(template, "g")
    command = heard.replace("+", "a")
    answer = f"{command}/answer"

    assert matches(heard, command)
    assert matches(answer_filter(template, "g"), answer)
    assert not matches(heard, answer)


def test_what_works_and_may_surprise_is_told_with_its_place(tmp_path: Path) -> None:
    """Two gateways on one topic answer each other's commands with refusals; a source drops what it reads of them."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text(
        """\
gateway: {id: g}
uplinks:
  cloud: {mqtt: {url: mqtts://b.example, commands: "do/{device}/{name}"}}
sources:
  - {name: all, mqtt: {url: mqtts://b.example, subscribe: ["do/#"]}}
""",
        encoding="utf-8",
    )

    warnings = [line.removeprefix(f"{file}:") for line in load(file).warnings if "max_size" not in line]

    assert warnings == [
        "3:52: warning: commands: 'do/{device}/{name}' does not name the gateway: each gateway that listens there "
        "takes every command, and refuses those for devices that it does not know; write {gateway} into it",
        "5:60: warning: subscribe: 'do/#' also reads the commands that uplinks.cloud takes from the same broker "
        "('do/+/+'); they are no events and are dropped; subscribe to less",
    ]
