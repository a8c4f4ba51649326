"""``fieldgate devices try`` and ``infer``."""

from __future__ import annotations

import json

from devices_cli_kit import error_of, fieldgate, profile
from fieldgate_devices.builtin import builtin_profiles
from profile_kit import BOILER, TOPIC


def test_try_shows_each_step(folder):
    profile(folder, BOILER)

    result = fieldgate("devices", "try", "-", "--topic", TOPIC, stdin='{"temp": 21, "state": "idle"}')

    assert result.exit_code == 0
    for part in (
        "profile  boiler, version 2 (device: b1)", 'decoder  {"temp":21,"state":"idle"}', "upgrade  from version 1",
        "temperature  21 -> 21.0 °C", "flow         absent", "device   b1", '"dataschema":"urn:fieldgate:boiler:2"',
        '"data":{"temperature":21.0,"state":"idle"}',
    ):  # fmt: skip
        assert part in result.stdout


def test_try_says_exactly_how_a_message_breaks_its_contract(folder):
    """All of it at once: the gateway's dead letter has the first reason only."""
    profile(folder, BOILER)

    result = fieldgate("devices", "try", "-", "--topic", TOPIC, stdin='{"temperature": 221, "state": "idel"}')

    assert result.exit_code == 1
    assert "breaks the contract: temperature is 221, above its max of 150" in result.stdout
    assert "breaks the contract: state is 'idel'; allowed: idle, heating, fault" in result.stdout
    assert "result   a dead letter: out_of_range" in result.stdout


def test_try_says_why_a_profile_does_not_take_a_message(folder):
    profile(folder, 'profile: p\nmatch: {mqtt: t, json: {model: "A*"}}\nother_fields: keep\n')

    result = fieldgate("devices", "try", "-", "--topic", "t", stdin='{"model": "B1"}')

    assert "not p: model is 'B1', not 'A*'" in result.stdout
    assert '"type":"fieldgate.generic"' in result.stdout


def test_try_says_that_a_topic_is_a_command(folder):
    """Else who tries it wonders why nothing arrives."""
    profile(folder, BOILER + 'commands: {set: {publish: "site/a/boiler/{device}/set"}}\n')

    command = fieldgate("devices", "try", "-", "--topic", "site/a/boiler/b1/set", stdin="{}")
    none = fieldgate("devices", "try", "-", "--topic", TOPIC, "--json", stdin='{"temperature": 1, "state": "idle"}')

    assert "note     the topic is a command of boiler: from a client of a listener this is no event" in command.stdout
    assert json.loads(none.stdout)["command_of"] is None


def test_try_counts_the_profiles_of_other_topics_where_one_takes_the_message(folder):
    """With twenty profiles in the folder the steps would stand below the screen; where none takes it each is told."""
    profile(folder, "profile: p\nmatch: {mqtt: t}\nother_fields: keep\n")
    profile(folder, "profile: q\nmatch: {mqtt: u}\nother_fields: keep\n", "q.yaml")

    taken = fieldgate("devices", "try", "-", "--topic", "t", stdin="{}").stdout
    unknown = fieldgate("devices", "try", "-", "--topic", "x", stdin="{}").stdout

    others = len(builtin_profiles())
    assert f"not 1 of your profiles and {others} built-in profiles, of other topics" in taken
    assert "not q" not in taken
    assert "not q: the topic is not u" in unknown


def test_try_takes_bytes_and_a_profile_that_is_not_in_the_folder(folder):
    path = folder / "draft.yaml"
    path.write_text(
        'profile: p\nmatch: {mqtt: "t/{device}"}\n'
        "decode: {binary: {layout: [{name: t, type: i16}]}}\nfields: {t: {type: float, scale: 0.1}}\n"
    )

    result = fieldgate("devices", "try", "--hex", "00d7", "--profile", str(path), "--json")
    found = json.loads(result.stdout)

    assert result.exit_code == 0
    assert found["records"][0]["fields"] == [{"name": "t", "unit": None, "breach": None, "raw": 215, "value": 21.5}]
    assert found["events"][0]["data"] == {"t": 21.5}


def test_try_asks_for_what_it_needs(folder):
    assert "--topic FILTER" in error_of(fieldgate("devices", "try"))
    assert "on which topic" in error_of(fieldgate("devices", "try", "--hex", "00"))
    wrong = fieldgate("devices", "try", "--hex", "0g", "--topic", "a")
    assert wrong.exit_code == 2
    assert "'0g' is not hexadecimal" in wrong.stderr


def test_try_reads_a_recording(folder):
    profile(folder, BOILER)
    (folder / "seen.jsonl").write_text(
        json.dumps({"topic": TOPIC, "payload": {"temperature": 1, "state": "idle"}}) + "\n"
        + json.dumps({"topic": "x", "payload_hex": "ff"}) + "\n"
    )  # fmt: skip

    lines = fieldgate("devices", "try", "seen.jsonl", "--json").stdout.splitlines()

    assert [json.loads(line)["profile"] for line in lines] == ["boiler", None]


def test_what_a_message_holds_cannot_upset_the_terminal(folder):
    result = fieldgate("devices", "try", "-", "--topic", "a\x1b[2J", stdin=b'{"a": "\\u001b[2J"}')

    assert "\x1b" not in result.stdout


def test_a_topic_that_nobody_can_be_asked_for_is_a_clear_error(folder):
    (folder / "fieldgate.yaml").write_text("listen: [{mqtt: '127.0.0.1:1'}]\n")

    assert "nothing listens there" in error_of(fieldgate("devices", "try", "--topic", "#"))
    assert "no source 'x' reads a broker; there are: none" in error_of(
        fieldgate("devices", "try", "--topic", "#", "--source", "x")
    )
    assert error_of(fieldgate("devices", "try", "--topic", "#", "--url", "http://x")).startswith("url: 'http://x'")
    assert "is not a topic filter" in error_of(fieldgate("devices", "try", "--topic", "a/#/b"))


def test_infer_drafts_from_a_file_of_lines(folder):
    (folder / "seen.txt").write_text('{"t": 21.5}\n{"t": 22}\n')

    text = fieldgate("devices", "infer", "seen.txt", "--topic", "plant/p1").stdout

    assert 'match: {mqtt: "plant/{device}"}' in text
    assert "  t: {type: float, min: 0, max: 50}" in text


def test_infer_drafts_from_a_folder_of_payloads(folder):
    (folder / "seen").mkdir()
    (folder / "seen/a.bin").write_bytes(bytes.fromhex("a161741815"))
    (folder / "seen/b.bin").write_bytes(bytes.fromhex("a161741816"))

    assert "decode: cbor" in fieldgate("devices", "infer", "seen").stdout


def test_a_written_draft_passes_the_check_and_takes_the_messages(folder):
    (folder / "seen.jsonl").write_text(
        "".join(json.dumps({"topic": f"plant/pump/p{one}/state", "payload": {"bar": one}}) + "\n" for one in range(5))
    )

    written = fieldgate("devices", "infer", "seen.jsonl", "--write")

    assert (folder / "devices.d/pump.yaml").exists(), written.output
    assert fieldgate("devices", "check").exit_code == 0
    assert fieldgate("devices", "try", "seen.jsonl").exit_code == 0
    assert "is there already" in error_of(fieldgate("devices", "infer", "seen.jsonl", "--write", "--name", "pump"))


def test_what_cannot_be_drafted_is_said(folder):
    (folder / "seen").mkdir()
    (folder / "seen/a").write_bytes(b"\xff\x00\x01")

    assert "decode: {binary:" in error_of(fieldgate("devices", "infer", "seen"))
    assert "there is no such file" in error_of(fieldgate("devices", "infer", "gone.jsonl"))
