"""What commands tell a person who uses them for the first time: where to look, and what just happened."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from access_kit import users_text, write_private
from fieldgate.cli.app import build_app
from fieldgate.cli.words import age
from fieldgate.journal.files import _refusal

ACL = "users:\n  amy:\n    - {allow: all, topic: 'own/#'}\n"


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fieldgate.config.loader.SEARCH_PATHS", (Path("fieldgate.yaml"),))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("FIELDGATE_CONFIG", raising=False)


def fieldgate(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(build_app(), list(words), input=stdin)


def test_status_in_a_folder_without_a_configuration_says_so() -> None:
    """`nothing answers` sounds like a gateway that is broken."""
    ended = fieldgate("status")

    assert ended.exit_code == 1
    assert ended.stderr.endswith("; no configuration file was found here: name one with -c FILE\n")


def test_status_with_a_configuration_does_not_speak_of_files(tmp_path: Path) -> None:
    """The control."""
    (tmp_path / "fieldgate.yaml").write_text("gateway: {id: g}\n", encoding="utf-8")

    assert "configuration file" not in fieldgate("status").stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("check", "plant.yaml"), "name the file with -c: fieldgate check -c plant.yaml"),
        (("config", "check"), "there is no 'config check'; write: fieldgate check"),
    ],
)
def test_a_command_that_is_nearly_right_names_the_right_one(words: tuple[str, ...], hint: str) -> None:
    """Both are what people try first."""
    ended = fieldgate(*words)

    assert ended.exit_code == 2
    assert hint in ended.stderr


def test_users_commands_say_what_they_did_and_warn_of_a_short_password(tmp_path: Path) -> None:
    """Silence leaves a person wondering which file was changed."""
    short = fieldgate("user", "add", "amy", "--stdin", "--file", "users", stdin="x\n")
    long = fieldgate("user", "passwd", "amy", "--stdin", "--file", "users", stdin="long enough\n")
    removed = fieldgate("user", "remove", "amy", "--file", "users")

    assert short.stdout == "users: amy is added\n"
    assert short.stderr == "warning: the password has fewer than 8 characters: it can be guessed\n"
    assert (long.stdout, long.stderr) == ("users: amy has another password\n", "")
    assert removed.stdout == "users: amy is removed\n"


def test_acl_check_names_the_file_in_which_no_rule_allows_it(tmp_path: Path) -> None:
    """There may be several; and rules for somebody who cannot come in mean nothing."""
    write_private(tmp_path / "users", users_text(amy="apple"))
    (tmp_path / "acl.yaml").write_text(ACL, encoding="utf-8")
    (tmp_path / "fieldgate.yaml").write_text("listen: [{auth: {users: users, acl: acl.yaml}}]\n", encoding="utf-8")

    denied = fieldgate("acl", "check", "amy", "other", "--publish")
    stranger = fieldgate("acl", "check", "ann", "own/x", "--publish")

    assert denied.stdout == f"publish     deny    no rule of {tmp_path}/acl.yaml allows it\n"
    assert denied.stderr == ""
    assert stranger.stderr == f"warning: there is no user 'ann' in {tmp_path}/users\n"


@pytest.mark.parametrize(("content", "problem"), [("\n", "is empty"), ("a\nb\n", "has more than one line")])
def test_check_warns_of_a_password_that_is_none(tmp_path: Path, content: str, problem: str) -> None:
    """A file that was made and not filled, or one that holds a user name too."""
    write_private(tmp_path / "secret", content)
    (tmp_path / "fieldgate.yaml").write_text(
        "uplinks: {up: {mqtt: {url: mqtts://b.example, username: u, password: '${file:secret}'}}}\n", encoding="utf-8"
    )

    ended = fieldgate("check")

    assert ended.exit_code == 0
    assert f"fieldgate.yaml:1:70: warning: password: the password {problem}" in ended.stdout


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (59.9, "59 s"), (152, "2 min"), (3599, "59 min"), (172_799, "47 h")]
)
def test_an_age_is_never_more_than_it_is(seconds: float, text: str) -> None:
    """ "for 3 min" beside "up 00:02:32" makes one of them wrong."""
    assert age(seconds) == text


def test_a_journal_that_cannot_be_used_names_the_file(tmp_path: Path) -> None:
    """The folder may be right and one file in it another user's."""
    error = OSError(errno.EACCES, "Permission denied", str(tmp_path / "lock"))

    assert str(_refusal(tmp_path, error)) == (
        f"{tmp_path}: the journal folder cannot be used: Permission denied ({tmp_path}/lock); "
        "check journal.path and its owner"
    )
