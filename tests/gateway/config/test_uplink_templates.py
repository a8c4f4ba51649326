"""The templates of ``deploy/config/uplinks`` are right as they are, but for what only the machine can have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trustme
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from fieldgate.cli.app import build_app
from fieldgate.config.loader import read
from fieldgate.config.schema import json_schema
from fieldgate.config.tree import TREE
from fieldgate_devices.files.document import read_yaml

FOLDER = Path(__file__).parents[3] / "deploy" / "config" / "uplinks"
TEMPLATES = sorted(FOLDER.glob("*.yaml"))
MACHINE = re.compile(r"is not a file$|the credential '[a-z-]+' cannot be read: \$CREDENTIALS_DIRECTORY is not set")


def values(text: str) -> Any:
    document = read_yaml(text.encode(), "template")
    assert document.root is not None
    assert document.problems == []
    return document.root.value()


def filled_in(template: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an installer makes of it: the files and credentials are there."""
    leaf = trustme.CA().issue_cert("plant-7.example")
    text = template.read_text(encoding="utf-8").replace("/etc/fieldgate/", f"{folder}/").replace("CHANGE-ME", "mine")
    for path in map(Path, re.findall(rf"^ +(?:ca|certificate): ({folder}/\S+)", text, re.MULTILINE)):
        leaf.cert_chain_pems[0].write_to_path(path)
    for path in map(Path, re.findall(rf"^ +key: ({folder}/\S+)", text, re.MULTILINE)):
        leaf.private_key_pem.write_to_path(path)
        path.chmod(0o600)
    for name in re.findall(r"\$\{credential:([a-z-]+)\}", text):
        (folder / name).write_text("c2VjcmV0", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    file = folder / "fieldgate.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_there_is_a_template_for_each_service() -> None:
    """As the README says."""
    names = ["aws-iot-core", "azure-iot-hub", "emqx", "hivemq-cloud", "mosquitto", "thingsboard"]

    assert [path.stem for path in TEMPLATES] == names


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_lacks_nothing_but_what_the_machine_has(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The untouched file lacks the files and secrets to bring, and nothing else."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    messages = [error.message for error in read(template).errors]

    assert messages
    assert [message for message in messages if not MACHINE.search(message)] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_that_is_filled_in_is_ready(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With files and secrets in place the check is content, but for the size of this machine's disk."""
    file = filled_in(template, tmp_path, monkeypatch)

    result = CliRunner().invoke(build_app(), ["check", "-c", str(file)])

    assert result.exit_code == 0, result.output
    warnings = [line for line in result.output.splitlines() if "warning:" in line]
    assert [line for line in warnings if "is more than what is free at" not in line] == []


@pytest.mark.parametrize("name", ["aws-iot-core", "azure-iot-hub", "emqx", "hivemq-cloud"])
def test_what_is_left_to_fill_in_is_warned_of_where_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ok` for a host called CHANGE-ME sends the installer to look for the fault in the network."""
    file = filled_in(FOLDER / f"{name}.yaml", tmp_path, monkeypatch)
    file.write_text(file.read_text(encoding="utf-8").replace("//mine", "//CHANGE-ME"), encoding="utf-8")
    line = next(no for no, text in enumerate(file.read_text("utf-8").splitlines(), 1) if "url: mqtts://CHANGE" in text)

    result = CliRunner().invoke(build_app(), ["check", "-c", str(file)])

    assert f"{file}:{line}:12: warning: url: CHANGE-ME of the template still stands here; replace it\n" in result.output
    assert result.exit_code == 0


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_right_for_editors_and_short_enough_to_read(template: Path) -> None:
    """The first line names the schema; the lines fit a terminal."""
    text = template.read_text(encoding="utf-8")

    assert text.splitlines()[0] == "# yaml-language-server: $schema=../fieldgate.schema.json"
    assert [error.message for error in Draft202012Validator(json_schema()).iter_errors(values(text))] == []
    assert max(map(len, text.splitlines())) <= 122


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_holds_no_secret_and_no_plain_way(template: Path) -> None:
    """Somebody copies it into a repository; TLS is not left to the reader."""
    mqtt = next(iter(values(template.read_text(encoding="utf-8"))["uplinks"].values()))["mqtt"]

    assert str(mqtt["url"]).startswith(("mqtts://", "wss://"))
    private = [mqtt[key] for key in mqtt.keys() & TREE.private_keys if key != "key"]  # a key of TLS is a file
    private += [mqtt["sas"]["key"]] if "sas" in mqtt else []
    assert all(str(value).startswith("${credential:") for value in private)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_what_a_template_shows_in_comments_can_be_uncommented(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alternative by itself; where it needs another key gone, the check says which."""
    file = filled_in(template, tmp_path, monkeypatch)
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        match = re.match(r"( +)# ([a-z_]+): (.*)", line)
        if match is None:
            continue
        key = match[2]
        kept = [other for other in lines if not re.match(rf"{match[1]}{key}:", other)]
        at = kept.index(line) if line in kept else number
        kept[at] = f"{match[1]}{key}: {match[3]}"
        file.write_text("\n".join(kept), encoding="utf-8")

        problems = [str(error) for error in read(file).errors]

        assert [one for one in problems if "unknown key" in one or "not YAML" in one or "is not known" in one] == []


def test_a_mistake_in_a_template_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: the port of AWS without TLS."""
    file = filled_in(FOLDER / "aws-iot-core.yaml", tmp_path, monkeypatch)
    file.write_text(file.read_text(encoding="utf-8").replace("mqtts://", "mqtt://"), encoding="utf-8")

    assert len(read(file).errors) == 3
