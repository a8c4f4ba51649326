"""``gateway/COMMANDS.md``: every command with its arguments and options, from the command line's own help.

``python tests/command_tables.py`` writes its list anew between the marks; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from fieldgate.cli.app import build_app

PAGE = Path(__file__).parents[1] / "gateway/COMMANDS.md"
MARK = re.compile(r"(<!-- commands -->\n).*?(<!-- end -->)", re.DOTALL)
BAR = "\\|"
_EVERYWHERE = {"help", "config"}


def filled(page: str, commands: dict[str, Any] | None = None) -> str:
    """The page with its list as it must be."""
    found = all_commands() if commands is None else commands
    return MARK.sub(lambda match: match[1] + "\n".join(part_of(*one) for one in found.items()) + match[2], page)


def all_commands() -> dict[str, Any]:
    """Every command by the words that call it; those that only point to another are left out."""

    def walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        if getattr(command, "invoke_without_command", True) and not command.hidden:
            yield words, command
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(f"{words} {name}", below)

    return dict(walk("fieldgate", typer.main.get_command(build_app())))


def part_of(words: str, command: Any) -> str:
    """What is told of one command."""
    help_text = re.sub(r"(?<!\n)\n(?!\n)", " ", (command.help or "").strip())
    rows = [
        f"| {_name(one)} | {_cell(one.help)}{_default(one)} |" for one in command.params if one.name not in _EVERYWHERE
    ]
    table = "\n".join(["", "| | |", "|---|---|", *rows, ""]) if rows else ""
    return f"### {words}\n\n{_cell(help_text)}\n{table}\n"


def _name(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{one.metavar}`".replace("|", BAR) + ("" if one.required else ", may be left out")
    value = "" if one.is_flag else f" {one.metavar}"
    names = [*one.opts, *one.secondary_opts]
    return ", ".join(f"`{name}{value}`" for name in names).replace("|", BAR)


def _cell(text: str | None) -> str:
    quoted = re.sub(r"(?<!\w)'([^']+)'(?!\w)", r"`\1`", text or "")
    return quoted.replace("|", BAR).replace("<", "\\<").replace("*", "\\*")


def _default(one: Any) -> str:
    if one.param_type_name == "argument" or one.is_flag or one.default in (None, "", ()) or one.required:
        return ""
    return f" Default: `{one.default}`." if "Default:" not in (one.help or "") else ""


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
