"""Put the commands together and keep the shell's manners: exit codes, broken pipes, Ctrl-C.

Exit codes: 0 well, 1 a problem was found (also: the reader of our output went away), 2 the command was not
understood, 78 (EX_CONFIG) ``run`` cannot use the configuration, 130 Ctrl-C. None of them comes with a traceback.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Final

import typer

from fieldgate.errors import FieldgateError

__all__ = ["build_app", "main"]

_EX_INTERRUPTED: Final = 130
_EX_BROKEN_PIPE: Final = 1

_DEVICES: Final = ("list", "show", "status", "check", "eject", "try", "infer")
_RULES: Final = (
    "check",
    "list",
    "schema",
    "eject",
    "test",
    "explain",
    "replay",
    "status",
)
COMMANDS: Final = {
    "demo": ("demo",),
    "run": ("run",),
    "status": ("status",),
    "check": ("check",),
    "config": ("config_cmd",),
    "devices": ("devices_app", *(f"devices_{one}" for one in _DEVICES)),
    "rules": ("rules_app", *(f"rules_{one}" for one in _RULES)),
    "command": ("command",),
    "commands": ("commands",),
    "modbus": ("modbus",),
    "contract": ("contract",),
    "user": ("user",),
    "acl": ("acl",),
    "journal": ("journal",),
    "backup": ("backup",),
    "restore": ("restore",),
    "parked": ("parked",),
    "dead-letters": ("dead_letters",),
    "ports": ("ports",),
    "simulate": ("simulate",),
}
"""The modules of each command or group, in the order of the help; the first adds it, the others themselves to it."""


def build_app(word: str | None = None) -> typer.Typer:
    """The whole command line, or that of the command ``word``, if it is one.

    A gateway runs for months, and needs none of what the other commands bring; all of them start sooner, too.
    """
    app = typer.Typer(
        name="fieldgate",
        help="IoT edge gateway: acknowledges a device's event once it is safe, and never before.\n\n"
        "Begin with 'fieldgate demo'. 'fieldgate config sample' prints a configuration to begin with.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for modules in [COMMANDS[word]] if word in COMMANDS else COMMANDS.values():
        loaded = [import_module(f"fieldgate.cli.{name}") for name in modules]
        loaded[0].register(app)
    return app


def main() -> None:
    """Run the command line and leave the process."""
    _open_standard_streams()
    try:
        try:
            build_app(next(iter(sys.argv[1:]), None))(prog_name="fieldgate")
        except FieldgateError as error:
            sys.stderr.write(f"error: {error}\n")
            sys.exit(1)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        sys.exit(_EX_BROKEN_PIPE)
    except KeyboardInterrupt:
        sys.exit(_EX_INTERRUPTED)


def _open_standard_streams() -> None:
    """Whoever started us may have closed 0, 1 or 2: a journal opened in their place would get what is printed."""
    for fd, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
            os.set_inheritable(fd, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if fd == 0 else "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - kept


def _silence_stdout() -> None:
    """The interpreter flushes once more at its end, which must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"fieldgate {version('fieldgate')}")
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Options that stand before any command."""
