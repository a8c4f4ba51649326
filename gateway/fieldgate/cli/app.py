"""Put the commands together."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Final

import typer

__all__ = ["build_app"]

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
    "log-level": ("log_level",),
    "audit": ("audit",),
    "reload": ("reload",),
    "check": ("check",),
    "doctor": ("doctor",),
    "diag": ("diag",),
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
