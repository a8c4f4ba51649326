"""How every command behaves in a shell: help, exit codes, a closed pipe, Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from command_server import run_command
from fieldgate.cli import app as cli_app
from fieldgate.cli import main
from fieldgate.errors import FieldgateError

FIELDGATE = [sys.executable, "-c", "from fieldgate.cli import main; main()"]


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and group with the words that call it."""
    pending = [("fieldgate", typer.main.get_command(cli_app.build_app()))]
    while pending:
        words, command = pending.pop()
        yield words, command
        pending += [(f"{words} {name}", below) for name, below in getattr(command, "commands", {}).items()]


ALL = dict(commands())


@pytest.mark.parametrize("words", ALL)
def test_every_command_is_documented(words: str) -> None:
    """There is no other place where it could be."""
    help_text = ALL[words].help or ""

    assert len(help_text.split()) >= 3, f"{words} says nothing of itself"
    assert help_text.splitlines()[0].endswith("."), f"{words}: the first line is not a sentence"


@pytest.mark.parametrize("words", ALL)
def test_every_option_and_argument_is_documented(words: str) -> None:
    """An option that nobody can find out about might as well not be there."""
    for parameter in ALL[words].params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{words}: {parameter.opts} has no help"


@pytest.mark.parametrize("words", [words for words, command in ALL.items() if hasattr(command, "commands")])
def test_no_line_in_a_list_of_commands_is_cut(words: str) -> None:
    """A newcomer reads this list first; half a sentence tells nothing."""
    result = CliRunner().invoke(cli_app.build_app(), [*words.split()[1:], "-h"], env={"COLUMNS": "80"})

    listed = result.output.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


@pytest.mark.parametrize("words", ALL)
def test_what_takes_a_value_says_which(words: str) -> None:
    """'--uplink NAME' says more than '--uplink <str>'."""
    values = [one for one in ALL[words].params if not getattr(one, "is_flag", False)]

    assert [one.opts for one in values if not (one.metavar or "")[:1].isupper()] == []


def test_the_search_for_undocumented_commands_would_find_one() -> None:
    """The mutant: a command without a word of help."""
    app = typer.Typer()
    app.command("mute")(lambda: None)

    assert not typer.main.get_command(app).help
    assert len(ALL) >= 5


@pytest.mark.parametrize("words", ALL)
def test_help_ends_with_0(words: str) -> None:
    """-h as well as --help."""
    for flag in ("-h", "--help"):
        result = CliRunner().invoke(cli_app.build_app(), [*words.split()[1:], flag])

        assert result.exit_code == 0, result.output
        assert "Usage:" in result.output


def test_version_is_the_package_s() -> None:
    """A bug report begins with it."""
    result = subprocess.run([*FIELDGATE, "--version"], capture_output=True, text=True, timeout=40, check=True)

    assert result.stdout == f"fieldgate {version('fieldgate')}\n"


@pytest.mark.parametrize("args", [["chek"], ["check", "--jason"], ["config"], [], ["check", "-c"]])
def test_what_is_not_understood_ends_with_2(args: list[str]) -> None:
    """Scripts tell a wrong call from a wrong configuration."""
    result = subprocess.run([*FIELDGATE, *args], capture_output=True, text=True, timeout=40, check=False)

    assert result.returncode == 2
    assert result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("args", [["config", "show"], ["user", "list", "--file", "/none"], ["chek"], ["status", "-h"]])
def test_a_command_as_most_tests_run_it_is_that_of_a_shell(args: list[str], tmp_path: Path) -> None:
    """The control: they fork it from a process that has loaded everything already."""
    env = os.environ | {"HOME": str(tmp_path)}

    started = subprocess.run([*FIELDGATE, *args], capture_output=True, timeout=40, check=False, cwd=tmp_path, env=env)
    forked = run_command(args, env=env, cwd=tmp_path)

    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


@pytest.mark.parametrize("args", [["config", "sample"], ["config", "show"], ["check"], ["--version"], ["--help"]])
def test_a_reader_that_goes_away_gets_no_traceback(args: list[str], tmp_path: Path) -> None:
    """``fieldgate config sample | head -1``, and worse: a reader that is gone before the first byte."""
    reader, writer = os.pipe()
    os.close(reader)

    result = subprocess.run(
        [*FIELDGATE, *args], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=40, check=False, cwd=tmp_path
    )
    os.close(writer)

    assert result.stderr == ""
    assert result.returncode == 1


@pytest.mark.parametrize("args", [["config", "sample"], ["rules", "schema"], ["check"], ["--version"]])
def test_a_disk_that_is_full_is_said_in_one_line(args: list[str], tmp_path: Path) -> None:
    """``fieldgate rules schema > rules.schema.json`` on a card that has no room left: little and much of it."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*FIELDGATE, *args], stdout=full, stderr=subprocess.PIPE, text=True, timeout=40, check=False, cwd=tmp_path
        )

    assert result.stderr == "error: the output cannot be written: no space left on device\n"
    assert result.returncode == 1


def test_ctrl_c_gets_no_traceback_and_130(tmp_path: Path) -> None:
    """Somebody who gives up waiting needs no lesson in Python."""
    script = (
        "import sys, fieldgate.cli as cli, fieldgate.cli.check as check\n"
        "def stuck(*_, **__):\n"
        "    print('stuck', flush=True)\n"
        "    sys.stdin.read()\n"
        "check.read = stuck\n"
        "cli.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "check"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "stuck\n"

    process.send_signal(signal.SIGINT)

    _, errors = process.communicate(timeout=40)
    assert (process.returncode, errors.strip()) == (130, "")


def test_an_error_of_ours_is_one_line_and_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a command did not foresee is still a sentence, not a stack."""

    def fail(*_: object, **__: object) -> None:
        raise FieldgateError("the journal is on the moon")

    monkeypatch.setattr("fieldgate.cli.check.read", fail)
    monkeypatch.setattr("sys.argv", ["fieldgate", "check"])

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: the journal is on the moon\n"


def test_output_is_the_same_on_a_terminal(tmp_path: Path) -> None:
    """No colours, no boxes: what is seen can be copied and searched."""
    ours, theirs = pty.openpty()
    result = subprocess.run([*FIELDGATE, "check", "--help"], stdout=theirs, timeout=40, check=True, cwd=tmp_path)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)

    assert result.returncode == 0
    assert "\x1b" not in shown
    assert "every problem with file:line:column" in shown
