"""``gateway/COMMANDS.md`` has every command with every argument and option; ``README.md`` has every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from command_tables import PAGE, all_commands, filled
from readme_kit import README

TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = all_commands()


def undocumented(commands: dict[str, Any], page: str = TEXT) -> Iterator[str]:
    """Commands, arguments and options of which the page says nothing."""
    chapters = dict(re.findall(r"^### (fieldgate.*?)\n(.*?)(?=^### |\Z)", page, re.MULTILINE | re.DOTALL))
    for words, command in commands.items():
        if words not in chapters:
            yield words
            continue
        cells = re.findall(r"^\| (.*?) \| \S", chapters[words].replace("\\|", "¦"), re.MULTILINE)
        told = {name.split()[0].replace("¦", "|") for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
        for one in command.params:
            names = [one.metavar] if one.param_type_name == "argument" else [*one.opts, *one.secondary_opts]
            yield from (f"{words} {name}" for name in names if name not in told and one.name not in ("help", "config"))


def test_the_page_is_what_the_command_line_says_of_itself() -> None:
    """`python tests/command_tables.py` writes it."""
    assert filled(TEXT) == TEXT


def test_every_command_argument_and_option_is_there() -> None:
    """A word in somebody's script has to be looked up."""
    assert len(COMMANDS) > 50
    assert list(undocumented(COMMANDS)) == []
    assert [words for words in COMMANDS if words != "fieldgate" and f"`{words}`" not in README] == []


def test_what_is_left_out_is_the_same_everywhere() -> None:
    """The head of the page tells of -c and -h for all commands."""
    left_out = {
        (one.name, *one.opts)
        for command in COMMANDS.values()
        for one in command.params
        if one.name in ("help", "config")
    }

    assert left_out <= {("config", "-c", "--config"), ("help", "-h", "--help")}
    assert "`-c FILE` (`--config`)" in TEXT
    assert "`-h` (`--help`)" in TEXT


def test_a_new_command_argument_or_option_is_noticed() -> None:
    """The mutant of the tests above, and a row that is gone from the page."""
    app = typer.Typer()

    def status(place: str = typer.Argument(metavar="PLACE"), *, fast: bool = False) -> None:
        del place, fast

    app.command("status")(status)
    app.command("fly")(status)
    mutant = {f"fieldgate {name}": one for name, one in typer.main.get_command(app).commands.items()}  # type: ignore[attr-defined]

    assert list(undocumented(mutant)) == [
        "fieldgate status PLACE", "fieldgate status --fast", "fieldgate status --no-fast", "fieldgate fly",
    ]  # fmt: skip
    assert filled(TEXT, {**COMMANDS, **mutant}) != TEXT
    assert "fieldgate journal tail --follow" in undocumented(COMMANDS, TEXT.replace("| `-f`, `--follow` |", "| |"))
