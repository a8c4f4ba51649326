"""``fieldgate user``: who may log in at a listener that asks for a password."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from fieldgate.cli.options import AsJson, ConfigFile, access_file
from fieldgate.cli.replace_file import change_file
from fieldgate.config.password_hash import MAX_PASSWORD_BYTES, PasswordHash
from fieldgate.config.users_file import User, check_user_name, read_users, with_user, without_user
from fieldgate.errors import ConfigError, FieldgateError

__all__ = ["register"]

_SHORT: Final = 8
_ONE_LINE: Final = "the password must be one line"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
UsersFile = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="The users file. Default: that of the configuration's listeners."),
]
FromStdin = Annotated[bool, typer.Option("--stdin", help="Read the password from standard input, one line.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", metavar="FILE", help="Read the password from a file, one line.")
]


class UserError(FieldgateError):
    """The users file was left as it is."""


def register(app: typer.Typer) -> None:
    """Add the group."""
    user = typer.Typer(help="Who may log in: add, passwd, remove, list.", no_args_is_help=True)
    app.add_typer(user, name="user")

    @user.command("add", short_help="Add a user.")
    def add(
        name: Name,
        config: ConfigFile = None,
        file: UsersFile = None,
        stdin: FromStdin = False,
        password_file: PasswordFile = None,
    ) -> None:
        """Add a user; the password is asked for, without showing it.

        The running gateway takes notice within a second.
        """
        _set(name, _users_file(config, file), _Source(stdin, password_file), is_new=True)

    @user.command("passwd", short_help="Give a user another password.")
    def passwd(
        name: Name,
        config: ConfigFile = None,
        file: UsersFile = None,
        stdin: FromStdin = False,
        password_file: PasswordFile = None,
    ) -> None:
        """Give a user another password; the running gateway disconnects who logged in with the old one."""
        _set(name, _users_file(config, file), _Source(stdin, password_file), is_new=False)

    @user.command("remove", short_help="Remove a user.")
    def remove(name: Name, config: ConfigFile = None, file: UsersFile = None) -> None:
        """Remove a user; the running gateway disconnects its clients."""
        path = _users_file(config, file)

        def change(content: bytes) -> bytes:
            if name not in _usable(content, path):
                raise UserError(f"{path}: there is no user {name!r}")
            return without_user(content.decode(), name).encode()

        change_file(path, change)
        typer.echo(f"{path}: {name} is removed")

    @user.command("list", short_help="List the users.")
    def list_(config: ConfigFile = None, file: UsersFile = None, as_json: AsJson = False) -> None:
        """List the users by name."""
        path = _users_file(config, file)
        users = _usable(_content(path), path)
        if as_json:
            facts = [{"name": one.name, "line": one.where.line} for one in users.values()]
            typer.echo(json.dumps({"file": str(path), "users": facts}, ensure_ascii=False, indent=2))
        else:
            for name in sorted(users):
                typer.echo(name)


class _Source:
    """Where the password comes from: never from the command line, which other users of the machine can read."""

    def __init__(self, is_stdin: bool, file: Path | None) -> None:
        if is_stdin and file is not None:
            raise typer.BadParameter("--stdin and --password-file exclude each other")
        self._is_stdin = is_stdin
        self._file = file

    def read(self, name: str) -> bytes:
        """Return the password.

        Raises:
            UserError: there is none, or it cannot be one.
        """
        if self._file is not None:
            try:
                password = self._file.read_bytes()
            except OSError as error:
                raise _unreadable(self._file, error) from error
        elif self._is_stdin:
            password = sys.stdin.buffer.read(MAX_PASSWORD_BYTES + 3)
        else:
            password = _ask(name).encode()
        password = password.removesuffix(b"\n").removesuffix(b"\r")
        if not password:
            raise UserError("the password is empty")
        if b"\n" in password:
            raise UserError(_ONE_LINE)
        if len(password.decode(errors="replace")) < _SHORT:
            typer.echo(f"warning: the password has fewer than {_SHORT} characters: it can be guessed", err=True)
        if len(password) > MAX_PASSWORD_BYTES:
            raise UserError(f"the password is too long; allowed: {MAX_PASSWORD_BYTES} bytes")
        return password


def _ask(name: str) -> str:
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask for the password; use --stdin or --password-file FILE")
    password = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Once more: ") != password:
        raise UserError("the two passwords differ; nothing was changed")
    return password


def _content(path: Path) -> bytes:
    """What the users file holds; nothing while there is none."""
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}")


def _users_file(config: Path | None, file: Path | None) -> Path:
    return file if file is not None else access_file(config, "users")


def _set(name: str, path: Path, source: _Source, *, is_new: bool) -> None:
    try:
        check_user_name(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    _expect(name, path, _content(path), is_new=is_new)  # before anybody types
    password = PasswordHash.of(source.read(name))

    def change(content: bytes) -> bytes:
        _expect(name, path, content, is_new=is_new)
        return with_user(content.decode(), name, password).encode()

    change_file(path, change)
    typer.echo(f"{path}: {name} {'is added' if is_new else 'has another password'}")


def _expect(name: str, path: Path, content: bytes, *, is_new: bool) -> None:
    is_known = name in _usable(content, path)
    if is_known and is_new:
        raise UserError(f"{path}: there is a user {name!r} already; 'fieldgate user passwd' changes the password")
    if not is_known and not is_new:
        raise UserError(f"{path}: there is no user {name!r}; 'fieldgate user add' makes one")


def _usable(content: bytes, path: Path) -> dict[str, User]:
    users, problems = read_users(content, str(path))
    if problems:
        raise ConfigError([str(problem) for problem in problems])
    return users
