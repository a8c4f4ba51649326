"""``fieldgate user`` and ``fieldgate acl``: as a person at a shell uses them."""

from __future__ import annotations

import json
import os
import pty
import stat
import sys
from pathlib import Path

import pytest

from command_kit import fieldgate, typed
from fieldgate.cli import replace_file
from fieldgate.cli.replace_file import FileNotReplaced, change_file
from fieldgate.config.users_file import read_users


def password_of(path: Path, name: str, password: bytes) -> bool:
    users, problems = read_users(path.read_bytes(), str(path))
    assert problems == []
    return name in users and users[name].password.verify(password)


async def test_users_are_added_changed_listed_and_removed(tmp_path: Path) -> None:
    """The file is private from the first moment, and remarks in it stay."""
    path = tmp_path / "users"
    secret = tmp_path / "secret"
    secret.write_text("pear\n", encoding="utf-8")

    added = await typed(["user", "add", "amy", "--stdin", "--file", str(path)], b"apple\n")
    assert (added.code, stat.S_IMODE(path.stat().st_mode)) == (0, 0o600)
    path.write_text(f"# plant 7\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    assert (await fieldgate("user", "add", "bob", "--password-file", secret, "--file", path)).code == 0
    assert password_of(path, "amy", b"apple")
    assert password_of(path, "bob", b"pear")

    assert (await typed(["user", "passwd", "amy", "--stdin", "--file", str(path)], b"avocado")).code == 0
    assert password_of(path, "amy", b"avocado")
    assert (await fieldgate("user", "list", "--file", path)).out == "amy\nbob\n"
    listed = (await fieldgate("user", "list", "--json", "--file", path)).json
    assert listed == {"file": str(path), "users": [{"name": "amy", "line": 2}, {"name": "bob", "line": 3}]}

    assert (await fieldgate("user", "remove", "amy", "--file", path)).code == 0
    assert not password_of(path, "amy", b"avocado")
    assert path.read_text(encoding="utf-8").startswith("# plant 7\nbob:$scrypt$")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


async def test_the_file_is_that_of_the_configuration(tmp_path: Path) -> None:
    """Who has set up a listener does not name the file again."""
    config = tmp_path / "fieldgate.yaml"
    config.write_text("listen: [{auth: {users: users, acl: acl.yaml}}]\n", encoding="utf-8")
    (tmp_path / "acl.yaml").write_text('all_users: [{allow: all, topic: "%u/#"}]', encoding="utf-8")

    added = await typed(["user", "add", "amy", "--stdin", "-c", str(config)], b"apple")
    allowed = await fieldgate("acl", "check", "amy", "amy/x", config=config)
    config.write_text("listen: [{}]\n", encoding="utf-8")
    nowhere = await fieldgate("user", "list", config=config)
    config.write_text("listen: [{auth: {users: a}}, {mqtt: 127.0.0.1:1, auth: {users: b}}]\n", encoding="utf-8")
    either = await fieldgate("user", "list", config=config)

    assert added.code == 0
    assert password_of(tmp_path / "users", "amy", b"apple")
    assert allowed.code == 0
    assert nowhere.err == "error: no listener of the configuration has auth.users; name the file: --file FILE\n"
    assert either.err == f"error: the listeners use several files; name one: --file {tmp_path}/a | {tmp_path}/b\n"


REFUSALS = [
    (["add", "amy", "--stdin"], b"x", "there is a user 'amy' already; 'fieldgate user passwd' changes the password"),
    (["passwd", "eve", "--stdin"], b"x", "there is no user 'eve'; 'fieldgate user add' makes one"),
    (["remove", "eve"], b"", "there is no user 'eve'"),
    (["add", "a:b", "--stdin"], b"x", "'a:b' is not a user name"),
    (["add", "eve", "--stdin"], b"", "the password is empty"),
    (["add", "eve", "--stdin"], b"a\nb", "the password must be one line"),
    (["add", "eve"], b"x", "there is no terminal to ask for the password; use --stdin or --password-file FILE"),
    (["add", "eve", "--password-file", "/none"], b"", "/none: cannot be read: no such file or directory"),
]


@pytest.mark.parametrize(("words", "stdin", "message"), REFUSALS, ids=[" ".join(words) for words, _, _ in REFUSALS])
async def test_what_cannot_be_done_is_said_and_changes_nothing(
    tmp_path: Path, words: list[str], stdin: bytes, message: str
) -> None:
    path = tmp_path / "users"
    await typed(["user", "add", "amy", "--stdin", "--file", str(path)], b"apple")
    before = path.read_bytes()

    ended = await typed(["user", *words, "--file", str(path)], stdin)

    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "words", [["add", "amy", "--stdin"], ["passwd", "amy", "--stdin"], ["remove", "amy"], ["list"]], ids=" ".join
)
async def test_a_users_file_that_cannot_be_read_is_said(tmp_path: Path, words: list[str]) -> None:
    """Whoever forgets to be the gateway's user gets a sentence; a folder is unreadable to root as well."""
    ended = await typed(["user", *words, "--file", str(tmp_path)], b"x")

    assert ended.code == 1
    assert ended.err.startswith(f"error: {tmp_path}: cannot be ")
    assert "is a directory" in ended.err


async def test_a_password_on_the_command_line_is_no_option(tmp_path: Path) -> None:
    """Everybody on the machine can read command lines."""
    ended = await fieldgate("user", "add", "amy", "apple", "--file", tmp_path / "users")

    assert ended.code == 2
    assert not (tmp_path / "users").exists()


def test_a_typed_password_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    """On a real terminal."""
    path = tmp_path / "users"
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "fieldgate", "user", "add", "amy", "--file", str(path)])
    shown = b""
    for prompt in (b"Password for amy: ", b"Once more: "):
        while not shown.endswith(prompt):
            shown += os.read(terminal, 1024)
        os.write(terminal, b"apple\n")
    try:
        while chunk := os.read(terminal, 1024):
            shown += chunk
    except OSError:
        pass  # the terminal is gone with its process
    _, status = os.waitpid(child, 0)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 0
    assert b"apple" not in shown
    assert password_of(path, "amy", b"apple")


async def test_a_file_with_a_mistake_is_not_touched(tmp_path: Path) -> None:
    """A command that repairs by guessing could let somebody in."""
    path = tmp_path / "users"
    path.write_text("amy\n", encoding="utf-8")

    ended = await typed(["user", "add", "bob", "--stdin", "--file", str(path)], b"x")

    assert ended.code == 1
    assert ended.err == f"error: {path}:1:1: this line has no ':'; write NAME:HASH, or '#' for a remark\n"
    assert path.read_text(encoding="utf-8") == "amy\n"


def test_group_and_mode_stay_but_others_lose_what_they_had(tmp_path: Path) -> None:
    """Root adds a user, and the gateway's own user must still be able to read the file."""
    path = tmp_path / "users"
    path.write_text("x", encoding="utf-8")
    path.chmod(0o644)
    if os.getuid() == 0:
        os.chown(path, 1234, 5678)

    change_file(path, lambda old: old + b"y")

    status = path.stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert path.read_bytes() == b"xy"
    if os.getuid() == 0:
        assert (status.st_uid, status.st_gid) == (1234, 5678)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Configuration management likes them."""
    (tmp_path / "real").mkdir()
    (tmp_path / "users").symlink_to("real/users")

    change_file(tmp_path / "users", lambda old: old + b"x")

    assert (tmp_path / "users").is_symlink()
    assert (tmp_path / "real" / "users").read_bytes() == b"x"


def test_a_disk_error_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a users file would keep everybody out."""

    def broken(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    path = tmp_path / "users"
    path.write_bytes(b"old")
    monkeypatch.setattr(replace_file.os, "fsync", broken)

    with pytest.raises(FileNotReplaced, match="input/output error"):
        change_file(path, lambda _: b"new")

    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["users"]


ACL = """\
all_users:
  - {allow: all, topic: "devices/%u/%c"}
users:
  amy:
    - {allow: subscribe, topic: "site/#"}
    - {deny: subscribe, topic: "site/secret"}
anonymous:
  - {allow: subscribe, topic: public}
"""


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        (["amy", "site/x", "--subscribe"], 0, "subscribe   allow   {acl}:5:7   topic: site/#\n"),
        (["amy", "site/secret", "--subscribe"], 1, "subscribe   deny    {acl}:6:7   topic: site/secret\n"),
        (["amy", "site/x"], 1,
         "publish     deny    no rule of {acl} allows it\nsubscribe   allow   {acl}:5:7   topic: site/#\n"),
        (["amy", "site/#"], 0, "subscribe   allow   {acl}:5:7   topic: site/#\n"),
        (["amy", "devices/amy/c", "--publish"], 1, "publish     deny    no rule of {acl} allows it\n"),
        (["amy", "devices/amy/c", "--publish", "--client-id", "c"], 0,
         "publish     allow   {acl}:2:5   topic: devices/amy/c\n"),
        (["", "public", "--subscribe"], 0, "subscribe   allow   {acl}:8:5   topic: public\n"),
    ],
)  # fmt: skip
async def test_acl_check_says_yes_or_no_and_by_which_rule(
    tmp_path: Path, words: list[str], code: int, out: str
) -> None:
    """The exit code is for scripts, the line of the rule for whoever wonders."""
    acl = tmp_path / "acl.yaml"
    acl.write_text(ACL, encoding="utf-8")

    ended = await fieldgate("acl", "check", *words, "--file", acl)
    as_json = await fieldgate("acl", "check", *words, "--json", "--file", acl)

    assert (ended.code, ended.out) == (code, out.format(acl=acl))
    answers = json.loads(as_json.out)["answers"]
    assert as_json.code == code
    assert [one["allowed"] for one in answers] == ["allow" in line.split() for line in ended.out.splitlines()]


async def test_acl_check_refuses_what_is_no_question(tmp_path: Path) -> None:
    acl = tmp_path / "acl.yaml"
    acl.write_text("users: x\n", encoding="utf-8")

    broken = await fieldgate("acl", "check", "amy", "t", "--file", acl)
    acl.write_text("", encoding="utf-8")
    filter_ = await fieldgate("acl", "check", "amy", "a/#", "--publish", "--file", acl)
    nothing = await fieldgate("acl", "check", "amy", "a#", "--file", acl)

    assert broken.code == filter_.code == nothing.code == 1
    assert broken.err.startswith(f"error: {acl}:1:8: users: this is not a mapping")
    assert filter_.err == "error: 'a/#' is a filter, and nothing is published to one; ask with --subscribe\n"
    assert nothing.err == "error: 'a#' is neither a topic nor a topic filter\n"
