"""``fieldgate devices``: what a person who writes profiles sees on the terminal."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devices_cli_kit import error_of, fieldgate, profile
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.files.document import read_yaml
from fieldgate_devices.profile_schema import SCHEMA_FILE, editor_line, profile_schema
from profile_kit import BOILER

SHIPPED = min(
    path.rpartition("/")[2].removesuffix(".yaml") for path in builtin_profiles()
)  # any built-in profile will do


# -- list, show ----------------------------------------------------------------------------------------------


def test_list_names_yours_and_the_built_in_ones(folder):
    profile(folder, BOILER)

    lines = fieldgate("devices", "list").stdout.splitlines()

    assert lines[0].split() == [
        "boiler",
        "2",
        str(folder / "devices.d/boiler.yaml"),
        "site/+/boiler/{device}/telemetry",
    ]
    assert any(line.split()[0] == SHIPPED and "built-in" in line for line in lines[1:])


def test_list_says_which_one_replaces_a_built_in_one(folder):
    """Else an integrator edits a file and wonders which of the two counts."""
    profile(folder, f"profile: {SHIPPED}\nmatch: {{mqtt: a}}\nother_fields: keep\n")

    text = fieldgate("devices", "list").stdout
    rows: list[dict[str, Any]] = json.loads(fieldgate("devices", "list", "--json").stdout)

    (line,) = (line for line in text.splitlines() if line.startswith(SHIPPED))
    assert "replaces the built-in one" in line
    mine, shipped = (row for row in rows if row["id"] == SHIPPED)
    assert (mine["replaces_built_in"], mine["replaced_by"]) == (True, None)
    assert (shipped["origin"], shipped["replaced_by"]) == ("built-in", str(folder / "devices.d/boiler.yaml"))


def test_list_shows_a_file_that_is_not_in_use(folder):
    path = profile(folder, "profile: p\n")

    assert f"{path}: not in use: 1 problem; 'fieldgate devices check'" in fieldgate("devices", "list").stdout


def test_without_a_folder_there_are_the_built_in_ones(folder):
    (folder / "devices.d").rmdir()

    result = fieldgate("devices", "list")

    assert SHIPPED in result.stdout
    assert "no profiles of yours" in result.stderr
    assert result.exit_code == 0


def test_show_prints_a_profile_as_a_person_reads_it(folder):
    profile(folder, BOILER)

    text = fieldgate("devices", "show", "boiler").stdout

    for part in ("boiler, version 2", "site/+/boiler/{device}/telemetry", "-40 to 150", "°C", "idle | heating | fault",
                 "from sensors.flow:0; optional", "silent after  5m", 'rename {"temp": "temperature"}'):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("path", sorted(builtin_profiles()))
def test_every_built_in_profile_can_be_shown(folder, path):
    name = read_yaml(builtin_profiles()[path], path).root.value()["profile"]  # type: ignore[union-attr,index,call-overload]

    assert fieldgate("devices", "show", str(name)).exit_code == 0


def test_an_unknown_id_is_answered_with_what_was_meant(folder):
    profile(folder, BOILER)

    assert error_of(fieldgate("devices", "show", "boler")) == "there is no profile 'boler'; did you mean 'boiler'?"


# -- check ---------------------------------------------------------------------------------------------------

WRONG = """\
profile: p
match: {mqtt: "p/{device}"}
feilds: {}
fields:
  t: {type: flaot}
"""


def test_check_tells_every_problem_with_its_place(folder):
    path = profile(folder, WRONG)

    result = fieldgate("devices", "check")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{path}:3:1: unknown key 'feilds'; did you mean 'fields'?",
        f"{path}:5:13: type: 'flaot' is not known; allowed: float, int, bool, string, enum, object; "
        "did you mean 'float'?",
        "2 problems found",
    ]


def test_an_example_that_does_not_hold_fails_the_check(folder):
    path = profile(folder, BOILER.replace("out: {temperature: 21.5", "out: {temperature: 22.5"))

    result = fieldgate("devices", "check", str(path))

    assert result.exit_code == 1
    assert "example 1: temperature is 21.5, not 22.5" in result.stdout


def test_check_warns_of_profiles_in_each_others_way(folder):
    profile(folder, 'profile: a\nmatch: {mqtt: "t/{device}"}\nother_fields: keep\n', "a.yaml")
    path = profile(folder, 'profile: b\nmatch: {mqtt: "t/{name}"}\nother_fields: keep\n', "b.yaml")

    result = fieldgate("devices", "check")

    assert result.exit_code == 0
    assert f"{path}:2:8: warning: this never takes a message: 'a'" in result.stdout


def test_check_warns_of_a_command_that_keeps_another_profiles_messages_from_being_events(folder):
    """One that only lies between topics of another profile is what commands are, and no warning."""
    other = profile(folder, 'profile: a\nmatch: {mqtt: "t/{device}/set"}\nother_fields: keep\n', "a.yaml")
    path = profile(
        folder,
        'profile: b\nmatch: {mqtt: "t/{device}/#"}\nother_fields: keep\n'
        'commands:\n  x: {publish: "t/{device}/set"}\n  y: {publish: "t/{device}/get"}\n',
        "b.yaml",
    )

    result = fieldgate("devices", "check")

    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if "warning" in line] == [
        f"{path}:5:16: warning: messages of 'a' ({other}) come on topics of this command, and are no events where "
        "clients of a listener send them"
    ]


def test_check_prints_json_for_programs(folder):
    profile(folder, WRONG)

    found = json.loads(fieldgate("devices", "check", "--json").stdout)

    assert (found["ok"], found["profiles"]) == (False, [])
    assert [(one["line"], one["column"]) for one in found["errors"]] == [(3, 1), (5, 13)]


def test_check_says_what_is_fine(folder):
    profile(folder, BOILER)

    assert fieldgate("devices", "check").stdout == f"{folder / 'devices.d'}: 1 profile with 1 example: ok\n"


def test_the_check_of_the_configuration_looks_into_the_profiles(folder):
    """One command before a restart must be enough."""
    path = profile(folder, WRONG)
    broken = fieldgate("check")
    profile(folder, BOILER)
    mended = fieldgate("check")

    assert (broken.exit_code, f"{path}:3:1: unknown key" in broken.stdout) == (1, True)
    assert (mended.exit_code, mended.stdout.splitlines()[-1]) == (0, "fieldgate.yaml: ok")


def test_what_cannot_be_read_is_a_problem_and_no_traceback(folder):
    path = folder / "devices.d/a.yaml"
    path.mkdir()
    absent = fieldgate("devices", "check", "nowhere.yaml")
    (folder / "file").write_text("")
    (folder / "fieldgate.yaml").write_text("devices: {path: file}\n")
    no_folder = fieldgate("devices", "list")

    assert absent.exit_code == 1
    assert absent.stdout.startswith("nowhere.yaml:1:1: the file cannot be read: no such file or directory")
    assert error_of(no_folder) == f"devices.path: '{folder / 'file'}' is not a folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_of_another_user_is_said_to_be_that(folder):
    (folder / "devices.d").chmod(0)

    result = fieldgate("devices", "check")
    (folder / "devices.d").chmod(0o755)

    assert result.exit_code == 1
    assert "the folder cannot be read: permission denied" in result.stdout


# -- eject, schema -------------------------------------------------------------------------------------------


def test_eject_makes_a_file_that_can_be_edited_at_once(folder):
    (folder / "devices.d").rmdir()

    result = fieldgate("devices", "eject", SHIPPED)
    path = folder / "devices.d" / f"{SHIPPED}.yaml"

    assert result.exit_code == 0, result.output
    assert path.read_text(encoding="utf-8").startswith(editor_line() + "profile: ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "the gateway's user must be able to read it"
    assert json.loads((folder / "devices.d" / SCHEMA_FILE).read_text(encoding="utf-8")) == profile_schema()
    assert fieldgate("devices", "check").exit_code == 0


def test_eject_never_overwrites(folder):
    path = folder / "devices.d" / f"{SHIPPED}.yaml"
    path.write_text("mine")

    assert error_of(fieldgate("devices", "eject", SHIPPED)) == f"{path}: is there already; it stays as it is"
    assert path.read_text() == "mine"


def test_eject_knows_the_built_in_ones_only(folder):
    profile(folder, BOILER)

    assert "there is no profile 'boiler'" in error_of(fieldgate("devices", "eject", "boiler"))


def test_schema_prints_the_schema(folder):
    schema = json.loads(fieldgate("devices", "schema").stdout)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == profile_schema()


# -- try -----------------------------------------------------------------------------------------------------


# -- infer ---------------------------------------------------------------------------------------------------


# -- contract ------------------------------------------------------------------------------------------------


def test_contract_jsonschema_prints_one_kind_or_everything(folder):
    profile(folder, BOILER)

    one = json.loads(fieldgate("contract", "jsonschema", "boiler").stdout)
    everything = json.loads(fieldgate("contract", "jsonschema").stdout)

    assert one["$id"] == "urn:fieldgate:boiler:2"
    assert {"boiler", "generic", "gap", "clock", "silent", "back"} <= set(everything["$defs"])
    assert "did you mean 'boiler'" in error_of(fieldgate("contract", "jsonschema", "boilr"))


def test_contract_asyncapi_prints_the_document(folder):
    (folder / "fieldgate.yaml").write_text("uplinks: {cloud: {mqtt: {url: 'mqtts://b.example'}}}\n")

    document = json.loads(fieldgate("contract", "asyncapi", "--version", "2.1.0").stdout)

    assert (document["asyncapi"], document["info"]["version"]) == ("3.0.0", "2.1.0")
    assert document["servers"]["cloud"]["host"] == "b.example:8883"


# -- another user ----------------------------------------------------------------------------------------------------

AS_NOBODY = """
import os, sys
from typer.testing import CliRunner
import fieldgate.cli.app as app
import fieldgate.cli.entry as entry
from fieldgate_devices.builtin import BuiltinProfiles
shipped = BuiltinProfiles()  # what is loaded on the way: the checkout may be closed to others, too
index, contents = shipped.index(), dict(shipped)
BuiltinProfiles.__init__ = lambda self: None
BuiltinProfiles.index = lambda self: index
BuiltinProfiles.__getitem__ = lambda self, name: contents[name]
for words in (["devices", "list"], ["devices", "try", "--hex=00", "--topic=a"], ["devices", "schema"]):
    CliRunner().invoke(app.build_app(), words)
os.setuid(65534)
sys.argv = ["fieldgate", *sys.argv[1:]]
entry.main()
"""


def as_nobody(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *args],
        cwd=folder, capture_output=True, text=True, timeout=30, check=False, env={**os.environ, "HOME": "/root"},
    )  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize("command", [["list"], ["check"], ["eject", SHIPPED], ["try", "--hex=00", "--topic=a"]])
def test_another_user_gets_an_answer_and_no_traceback(folder, command):
    """/etc/fieldgate belongs to the service; who looks at it without sudo must be told what is missing."""
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)
    profile(folder, BOILER)
    (folder / "devices.d").chmod(0o700)

    result = as_nobody(folder, "devices", *command)

    assert "Traceback" not in result.stderr, result.stderr
    assert "permission denied" in result.stdout + result.stderr or "in your profiles" in result.stderr


@pytest.mark.root
def test_a_configuration_of_another_user_is_said_to_be_that(folder):
    for above in folder.parents[:2]:
        above.chmod(0o755)
    (folder / "etc").mkdir(mode=0o700)
    (folder / "etc/fieldgate.yaml").write_text("gateway: {id: x}\n")

    result = as_nobody(folder.parent, "devices", "list", "-c", str(folder / "etc/fieldgate.yaml"))

    told = f"{folder / 'etc/fieldgate.yaml'}:1:1: the file cannot be read: permission denied; use sudo\n"
    assert result.stderr == told
