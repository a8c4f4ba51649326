"""The sample file and the JSON Schema are made from the models, complete, current and right."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from jsonschema import Draft202012Validator

import fieldgate
from fieldgate.config import Config, load
from fieldgate.config.acl_file import read_acl
from fieldgate.config.loader import read
from fieldgate.config.sample import sample_text
from fieldgate.config.schema import SCHEMA_FILE, json_schema, schema_text
from fieldgate.config.tree import TREE
from fieldgate.mqtt.access_rules import publishing, subscribing
from fieldgate_devices.files.document import read_yaml
from fieldgate_devices.files.model_tree import Key

CONFIG_FOLDER = Path(__file__).parents[3] / "deploy" / "config"
KEYS = list(TREE.all_keys())
REQUIRED = {
    "uplinks.NAME.mqtt.url",
    "uplinks.NAME.mqtt.proxy.url",
    "uplinks.NAME.mqtt.sas.key",
    "uplinks.NAME.webhook.url",
    "uplinks.NAME.webhook.proxy.url",
    "sources[].name",
    "sources[].mqtt.url",
    "sources[].mqtt.proxy.url",
    "sources[].mqtt.sas.key",
    "sources[].mqtt.subscribe",
    "sources[].mqtt.subscribe[].filter",
    "sources[].remap[].match",
    "sources[].remap[].to",
    "sources[].serial.port",
    "sources[].serial.poll.send",
    "sources[].modbus.units",
    "sources[].modbus.units[].unit",
    "sources[].modbus.units[].profile",
}


def filled_in(sample: str) -> str:
    """The sample with everything uncommented that is a setting, as somebody would who wants it all."""
    with_uplink = re.sub(r"^#(?=uplinks:|sources:|  )", "", sample, flags=re.MULTILINE)
    complete = re.sub(r"^(\s*)#(?=\S)", r"\1", with_uplink, flags=re.MULTILINE)
    one_login = re.sub(r"^ *sas: .*\n", "", complete, flags=re.MULTILINE)  # a token stands for a password
    one_login = re.sub(r"^ *home_assistant: .*\n", "", one_login, flags=re.MULTILINE)  # not with a batch
    one_login = re.sub(r"^ *(url: tcp:|in_flight: ).*\n", "", one_login, flags=re.MULTILINE)  # a bus is no server
    over_websocket = one_login.replace("mqtts://broker.example:8883", "wss://broker.example")  # as headers need
    with_path = over_websocket.replace("transport: tcp\n", "transport: websocket\n")  # the only one that has a path
    return with_path.replace(
        "    format: cloudevents\n", "    format: cloudevents-batch\n", 1
    )  # the only one with a batch


def as_values(text: str) -> Any:
    document = read_yaml(text.encode(), "sample")
    assert document.root is not None
    assert document.problems == []
    return document.root.value()


def test_the_sample_on_disk_is_the_generated_one() -> None:
    """``fieldgate config sample > deploy/config/fieldgate.yaml`` after every change of the models."""
    assert (CONFIG_FOLDER / "fieldgate.yaml").read_text(encoding="utf-8") == sample_text()


def test_the_schema_on_disk_is_the_generated_one() -> None:
    """``fieldgate config schema > deploy/config/fieldgate.schema.json`` after every change of the models."""
    assert (CONFIG_FOLDER / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_is_described(key: Key) -> None:
    """The description is the documentation; there is no other."""
    description = key.field.description or ""

    assert len(description) >= 10
    assert description.endswith(".")
    assert key.field.is_required() == (key.path in REQUIRED)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_is_in_the_sample_with_its_description(key: Key) -> None:
    """Somebody who reads the sample has seen everything."""
    words = " ".join(re.sub(r"^[\s#]+", "", line) for line in sample_text().splitlines())

    assert re.search(rf"\b{key.name}:", words)
    assert re.sub(r"\s+", " ", key.field.description or "") in words


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_is_used_by_the_gateway(key: Key) -> None:
    """No option is accepted and then ignored."""
    if key.name == "url":  # a URL is read as host, port, is_tls and place
        return
    attribute = re.compile(rf"\.{key.name}(_s|_bytes)?\b")
    gateway = Path(fieldgate.__file__).parent
    sources = [path for path in gateway.rglob("*.py") if path.parent.name != "config"]

    assert any(attribute.search(path.read_text(encoding="utf-8")) for path in sources)


def test_the_search_for_undescribed_keys_would_find_one() -> None:
    """The mutant: a key without a description, or one that the sample does not show."""
    assert len(KEYS) > 40
    assert "no_such_key:" not in sample_text()


def test_the_sample_loads_as_it_is(tmp_path: Path) -> None:
    """It is what an installation begins with; all that it says is that no uplink is there yet."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text(sample_text(), encoding="utf-8")

    loaded = load(file)

    assert loaded.config == Config.model_validate({}, context={"folder": tmp_path})
    assert len(loaded.warnings) == 1
    assert "no uplink is configured" in loaded.warnings[0]


def test_every_key_of_the_sample_can_be_uncommented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown must be right: the values of the sample are defaults or examples that load."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name in ("cloud-password", "cloud-header", "proxy-password", "pager-token", "otlp-token"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "metrics-token").write_text("0123456789abcdef", encoding="utf-8")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf = authority.issue_cert("plant-7.example")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "plant-7.crt")
    leaf.private_key_pem.write_to_path(tmp_path / "plant-7.key")
    (tmp_path / "plant-7.key").chmod(0o600)
    file = tmp_path / "fieldgate.yaml"
    text = filled_in(sample_text())
    file.write_text(text.replace("/etc/fieldgate/", ""), encoding="utf-8")

    reading = read(file)

    assert reading.errors == []
    assert reading.loaded is not None
    written = {re.sub(r"\[\d+\]", "[]", key) for key, origin in reading.loaded.origins.items() if origin != "default"}
    written.add("sources[].serial.framing")  # a name that stands for a mapping is no value of its own
    leaves = {key.path.replace(".NAME.", ".cloud.") for key in KEYS if not _has_keys_below(key)}
    leaves = {leaf.replace("uplinks.cloud.webhook.", "uplinks.pager.webhook.") for leaf in leaves}
    left_out = r"\.sas\.|modbus\.(url|in_flight|units)|keep\.|proxy\.(username|password)"
    left_out += r"|\.(headers|tokens)$|home_assistant|send\.hex"
    aside = {leaf for leaf in leaves if re.search(left_out, leaf)}
    assert written >= leaves - aside


def _has_keys_below(key: Key) -> bool:
    return any(other.path.startswith((f"{key.path}.", f"{key.path}[]")) for other in KEYS)


def test_the_sample_tells_editors_where_the_schema_is() -> None:
    """Completion and red lines in the editor, without a plug-in of ours."""
    assert sample_text().splitlines()[0] == f"# yaml-language-server: $schema={SCHEMA_FILE}"


def test_the_schema_is_one_of_2020_12_and_accepts_the_sample() -> None:
    """An editor that marks the sample itself as wrong would help nobody."""
    schema = json_schema()

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for text in (sample_text(), filled_in(sample_text())):
        assert [error.message for error in Draft202012Validator(schema).iter_errors(as_values(text))] == []


def test_the_schema_accepts_what_the_models_accept_though_it_looks_odd() -> None:
    """Short forms that the loader takes must not be red in the editor."""
    text = (
        "gateway:\nlisten:\nsources: []\n"
        "uplinks: {a: {mqtt: {url: mqtts://b.example, version: 5}, max_size: 1000000}}\n"
        "journal: {keep: 0, max_size: 2000000000}\n"
    )

    assert list(Draft202012Validator(json_schema()).iter_errors(as_values(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "jornal: {}",
        "journal: {hold: 200}",
        "journal: {hold: 200 ms}",
        "journal: {durability: relai}",
        "listen: [{receive_maximum: 0}]",
        "uplinks: {a: {mqtt: {}}}",
        "sources: [{name: x}]",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(text: str) -> None:
    """The editor is the first to tell."""
    assert list(Draft202012Validator(json_schema()).iter_errors(as_values(text)))


@pytest.mark.parametrize("name", ["network.yaml"])
def test_the_other_examples_load(name: str) -> None:
    """The files that they name are made by whoever uses them."""
    reading = read(CONFIG_FOLDER / name)

    assert reading.errors == []
    assert [problem.message for problem in reading.warnings if "unencrypted" in problem.message] == []


def test_the_example_of_an_acl_can_be_used() -> None:
    """And does what it says."""
    rules, problems = read_acl((CONFIG_FOLDER / "acl.yaml").read_bytes(), "acl.yaml")

    assert problems == []
    assert publishing(rules.about("pump-7", "c"), "devices/pump-7/x").is_allowed
    assert not publishing(rules.about("pump-7", "c"), "devices/pump-8/x").is_allowed
    assert not subscribing(rules.about("node-red", "c"), "devices/pump-8/secret/x").is_allowed


def test_the_schema_gives_defaults_as_they_are_written() -> None:
    """An editor inserts them."""
    journal = json_schema()["$defs"]["JournalConfig"]["properties"]

    assert journal["hold"]["default"] == "200ms"
    assert journal["max_size"]["default"] == "2GB"
    assert "default" not in journal["path"]


def test_the_schema_does_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the file on disk would be current on one machine only."""
    before = schema_text(), sample_text()
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="elsewhere"))
    monkeypatch.setenv("STATE_DIRECTORY", "/elsewhere")

    assert (schema_text(), sample_text()) == before
    assert "elsewhere" not in json.dumps(before)
