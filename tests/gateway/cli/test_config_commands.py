"""``fieldgate check`` and ``fieldgate config``: what a person or a program sees on the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldgate.config.sample import sample_text
from fieldgate.config.schema import json_schema

PLANTED = "Tr0ub4dor-and-3"
FIELDGATE = [sys.executable, "-c", "from fieldgate.cli import main; main()"]


def fieldgate(*args: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does, in ``folder``, with nothing in the environment that could decide."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FIELDGATE", "XDG", "STATE"))}
    return subprocess.run(
        [*FIELDGATE, *args], cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=20, check=False
    )


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
    }


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
