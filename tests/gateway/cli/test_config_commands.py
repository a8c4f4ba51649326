"""``fieldgate check`` and ``fieldgate config``: what a person or a program sees on the terminal."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from command_server import run_command
from fieldgate.config.sample import sample_text
from fieldgate.config.schema import json_schema

PLANTED = "Tr0ub4dor-and-3"


def fieldgate(*args: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does, in ``folder``, with nothing in the environment that could decide."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("FIELDGATE", "XDG", "STATE", "CRED"))
    }
    done = run_command([*args], env=kept | environment, cwd=folder)
    return subprocess.CompletedProcess(args, done.returncode, done.stdout.decode(), done.stderr.decode())


def write(folder: Path, text: str) -> Path:
    file = folder / "fieldgate.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_check_of_a_good_file_says_ok_and_ends_with_0(tmp_path: Path) -> None:
    """For scripts the exit code, for people a word."""
    write(tmp_path, "uplinks: {a: {mqtt: {url: mqtts://b.example}}}\n")

    result = fieldgate("check", folder=tmp_path)

    assert (result.returncode, result.stdout, result.stderr) == (0, "fieldgate.yaml: ok\n", "")


def test_check_prints_every_problem_and_ends_with_1(tmp_path: Path) -> None:
    """An editor jumps to path:line:column."""
    file = write(tmp_path, "journal: {hold: 200 ms}\ngatway: {}\n")

    result = fieldgate("check", "-c", str(file), folder=tmp_path)

    assert result.returncode == 1
    assert result.stdout == (
        f"{file}:1:17: hold: '200 ms' is not a duration; write a number and its unit without a space, such as 200ms, "
        "5s, 10m, 24h, 7d\n"
        f"{file}:2:1: unknown key 'gatway'; did you mean 'gateway'?\n"
        "2 problems found\n"
    )


def test_check_prints_warnings_and_still_ends_with_0(tmp_path: Path) -> None:
    """A warning is no reason not to start."""
    write(tmp_path, "uplinks: {a: {mqtt: {url: mqtt://b.example}}}\n")

    result = fieldgate("check", folder=tmp_path)

    assert result.returncode == 0
    assert result.stdout.startswith("fieldgate.yaml:1:27: warning: url: 'mqtt://b.example' sends events unencrypted")
    assert result.stdout.endswith("\nfieldgate.yaml: ok\n")


def test_check_says_which_serial_source_no_profile_understands(tmp_path: Path) -> None:
    """Else each line of a scale would be opaque bytes, and a slip in a name would be found when it is too late."""
    file = write(
        tmp_path,
        "uplinks: {a: {mqtt: {url: 'mqtt://127.0.0.1:9'}}}\n"
        "sources:\n"
        "  - {name: scale, serial: {port: /dev/ttyS0}}\n"
        "  - {name: gnss, serial: {port: /dev/ttyS1}}\n",
    )

    warned = fieldgate("check", "-c", str(file), folder=tmp_path)
    write(tmp_path, file.read_text("utf-8").replace("/dev/ttyS1", "/dev/ttyS1, profile: nmea_gns"))
    refused = fieldgate("check", "-c", str(file), folder=tmp_path)

    assert warned.returncode == 0
    assert warned.stdout.splitlines() == [
        f"{file}:3:27: warning: serial: no profile says what 'scale' says: each frame becomes an event as it is, of "
        "type generic; write profile: ID here, or match: {serial: scale} in a profile",
        f"{file}: ok",
    ]
    assert refused.returncode == 1
    assert f"{file}:4:54: profile: there is no profile 'nmea_gns'; did you mean 'nmea_gnss'?" in refused.stdout


def test_check_gives_programs_the_same_as_json(tmp_path: Path) -> None:
    """A deployment tool shows them in its own way."""
    file = write(tmp_path, "gatway: {}\n")

    result = fieldgate("check", "--json", "-c", str(file), folder=tmp_path)

    assert result.returncode == 1
    assert json.loads(result.stdout) == {
        "path": str(file),
        "ok": False,
        "errors": [
            {"path": str(file), "line": 1, "column": 1, "message": "unknown key 'gatway'; did you mean 'gateway'?"}
        ],
        "warnings": [],
        "notes": [],
    }


CREDENTIALS = """\
uplinks:
  cloud:
    mqtt:
      url: mqtts://b.example
      username: plant-7
      password: ${credential:cloud-password}
      certificate: ${credential:plant-7.crt}
      key: ${credential:plant-7.key}
"""
UNSEEN = (
    "the credential {0!r} is there for the service only (LoadCredential={0}:/path) and was not looked at; "
    "CREDENTIALS_DIRECTORY=FOLDER fieldgate check looks for it in FOLDER"
)


def test_check_in_a_shell_notes_the_credentials_of_the_service(tmp_path: Path) -> None:
    """Only the service has them: that is no fault of the file, and no silence either."""
    write(tmp_path, CREDENTIALS)

    result = fieldgate("check", folder=tmp_path)
    as_json = json.loads(fieldgate("check", "--json", folder=tmp_path).stdout)

    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        f"fieldgate.yaml:6:17: note: password: {UNSEEN.format('cloud-password')}",
        f"fieldgate.yaml:7:20: note: certificate: {UNSEEN.format('plant-7.crt')}",
        f"fieldgate.yaml:8:12: note: key: {UNSEEN.format('plant-7.key')}",
        "fieldgate.yaml: ok",
    ]
    assert [one["line"] for one in as_json["notes"]] == [6, 7, 8]
    assert (as_json["ok"], as_json["errors"], as_json["warnings"]) == (True, [], [])


def test_check_finds_what_is_wrong_beside_a_credential_that_it_cannot_see(tmp_path: Path) -> None:
    """A note must not hide an error, nor an error the note: both are what the installer has to bring."""
    write(tmp_path, CREDENTIALS + "    topic: [a]\n")

    result = fieldgate("check", folder=tmp_path)

    assert result.returncode == 1
    *notes, error, count = result.stdout.splitlines()
    assert [line.split(": ")[1] for line in notes] == ["note"] * 3
    assert (error, count) == ("fieldgate.yaml:9:12: topic: a list is not a text", "1 problem found")


def test_profiles_and_rules_are_checked_beside_a_credential_that_it_cannot_see(tmp_path: Path) -> None:
    """An installer's configuration has one: `fieldgate check` would else call any rule right."""
    write(tmp_path, CREDENTIALS)
    for folder, content in (("devices.d", "profile: a\nfield: {}\n"), ("rules.d", "rule: []\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "wrong.yaml").write_text(content, encoding="utf-8")

    result = fieldgate("check", folder=tmp_path)

    said = [line for line in result.stdout.splitlines() if ": note: " not in line]
    assert result.returncode == 1
    assert any(f"{tmp_path}/devices.d/wrong.yaml:2:1: unknown key 'field'" in line for line in said)
    assert any(f"{tmp_path}/rules.d/wrong.yaml:1:1: unknown key 'rule'" in line for line in said)


def test_check_looks_into_a_folder_of_credentials(tmp_path: Path) -> None:
    """Where the unit's LoadCredential lines point; a missing one is an error then."""
    write(tmp_path, CREDENTIALS)
    (tmp_path / "cloud-password").write_text(PLANTED, encoding="utf-8")

    result = fieldgate("check", folder=tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path))

    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        f"fieldgate.yaml:7:20: certificate: '{tmp_path}/plant-7.crt' is not a file",
        f"fieldgate.yaml:8:12: key: '{tmp_path}/plant-7.key' is not a file",
        "2 problems found",
    ]


def test_the_gateway_does_not_start_without_its_credentials(tmp_path: Path) -> None:
    """What is a note for check is an error for whoever needs them."""
    write(tmp_path, CREDENTIALS)

    result = fieldgate("run", folder=tmp_path)

    assert result.returncode == os.EX_CONFIG
    assert result.stderr.count("cannot be read: $CREDENTIALS_DIRECTORY is not set") == 3


OPERATORS = [
    ["status"],
    ["journal", "stats"],
    ["journal", "tail"],
    ["journal", "verify"],
    ["journal", "export", "events.db"],
    ["parked", "list"],
    ["user", "list"],
    ["acl", "check", "amy", "a/b"],
    ["config", "show"],
    ["devices", "list"],
    ["devices", "show", "tasmota"],
    ["devices", "check"],
    ["devices", "eject", "tasmota"],
    ["devices", "try", "--hex", "7b7d", "--topic", "a/b"],
    ["devices", "status"],
    ["devices", "forget", "x"],
    ["contract", "jsonschema"],
    ["contract", "asyncapi"],
]


@pytest.mark.parametrize("command", OPERATORS, ids=" ".join)
def test_no_command_of_an_operator_needs_a_secret_or_a_key(tmp_path: Path, command: list[str]) -> None:
    """The service's secrets are the service's: a person in a shell still asks how it is."""
    write(
        tmp_path,
        CREDENTIALS
        + "  hub: {mqtt: {url: mqtts://b.example, client_id: x, username: a, password: '${file:nowhere}'}}\n"
        "listen: [{mqtt: 127.0.0.1:1883, auth: {users: users, acl: acl.yaml}}]\njournal: {path: state}\n",
    )
    (tmp_path / "users").write_text("", encoding="utf-8")
    (tmp_path / "acl.yaml").write_text("all_users: [{allow: all, topic: '#'}]\n", encoding="utf-8")

    result = fieldgate(*command, folder=tmp_path)

    assert "fieldgate.yaml:" not in result.stderr
    assert "credential" not in result.stderr
    asks_the_gateway = command[0] not in {"user", "acl", "config", "devices", "contract"} or command[1] in {
        "status",
        "forget",
    }
    assert result.returncode == (1 if asks_the_gateway else 0), result.stderr  # no gateway, no journal


def test_check_without_a_file_says_that_the_defaults_are_in_effect(tmp_path: Path) -> None:
    """``ok`` alone would make somebody believe that their file was read."""
    result = fieldgate("check", folder=tmp_path)

    assert result.returncode == 0
    assert "no uplink is configured" in result.stdout
    assert result.stdout.endswith("no configuration file, the defaults: ok\n")


def test_show_tells_each_value_and_its_origin(tmp_path: Path) -> None:
    """The answer to "why does it do that?"."""
    file = write(tmp_path, "journal: {hold: 1s}\n")

    result = fieldgate("config", "show", folder=tmp_path, STATE_DIRECTORY="/somewhere")

    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert result.returncode == 0
    assert rows["journal.hold"] == ["1s", f"{file.name}:1:17"]
    assert rows["journal.path"] == ["/somewhere", "environment"]
    assert rows["listen[0].max_packet"] == ["256KiB", "default"]
    assert rows["journal.keep"] == ["none", "default"]


def test_show_gives_programs_the_same_as_json(tmp_path: Path) -> None:
    """Values as the file would have them, so that they can be put back."""
    file = write(tmp_path, "journal: {hold: 1000ms}\n")

    shown = json.loads(fieldgate("config", "show", "--json", "-c", str(file), folder=tmp_path).stdout)

    assert shown["path"] == str(file)
    assert shown["values"]["journal.hold"] == {"value": "1s", "origin": f"{file}:1:17"}
    assert shown["values"]["listen[0].max_clients"] == {"value": 1000, "origin": "default"}


def test_show_of_a_broken_file_prints_the_problems_and_no_values(tmp_path: Path) -> None:
    """Half a configuration is none."""
    write(tmp_path, "gatway: {}\n")

    result = fieldgate("config", "show", folder=tmp_path)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "fieldgate.yaml:1:1: unknown key 'gatway'; did you mean 'gateway'?\n"


@pytest.mark.parametrize("command", [["check"], ["check", "--json"], ["config", "show"], ["config", "show", "--json"]])
@pytest.mark.parametrize("more", ["", "gatway: {}\n"])
def test_no_command_prints_a_secret(tmp_path: Path, command: list[str], more: str) -> None:
    """Output ends up in logs and tickets."""
    key = tmp_path / "key"
    key.write_text(PLANTED, encoding="utf-8")
    key.chmod(0o600)
    write(
        tmp_path,
        "uplinks:\n"
        f"  a: {{mqtt: {{url: mqtt://b.example, username: '${{env:PLANTED}}', password: '${{file:{key}}}'}}}}\n"
        f"  b: {{mqtt: {{url: mqtt://b.example, username: u, password: {PLANTED}}}}}\n" + more,
    )

    result = fieldgate(*command, folder=tmp_path, PLANTED=PLANTED)

    assert result.returncode == (1 if more else 0)
    assert PLANTED not in result.stdout + result.stderr
    assert result.stdout + result.stderr


def test_sample_and_schema_are_printed_ready_to_be_saved(tmp_path: Path) -> None:
    """``fieldgate config sample > fieldgate.yaml`` is how a configuration begins."""
    assert fieldgate("config", "sample", folder=tmp_path).stdout == sample_text()
    assert json.loads(fieldgate("config", "schema", folder=tmp_path).stdout) == json_schema()
