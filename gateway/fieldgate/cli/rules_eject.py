"""``fieldgate rules eject``: a template to change, or a rule that is made of one as a rule of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fieldgate.cli.devices_eject import write_new
from fieldgate.cli.options import ConfigFile, written_config
from fieldgate.cli.rules_app import rules_app
from fieldgate.cli.rules_groups import profiles_for, rule_groups
from fieldgate.errors import FieldgateError
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_rules.reading import library_file, library_names, read_rules, write_out
from fieldgate_rules.rules_schema import editor_line

__all__ = ["NothingToEject"]


class NothingToEject(FieldgateError):
    """There is neither a template nor a rule of that name."""


@rules_app.command("eject", short_help="Print a template of the library, or a rule made of one, to be edited.")
def eject(
    name: Annotated[
        str,
        typer.Argument(metavar="TEMPLATE|RULE", help="Of the library ('fieldgate rules list --library'), or an id."),
    ],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write it there; never over a file.")] = None,
    config: ConfigFile = None,
) -> None:
    """Print a template of the library: one of yours with its name takes its place in all your rules.

    Or a rule by its id: as it is with everything that its template says, and without it.
    """
    text = editor_line() + _text_of(name, config)
    if to is None:
        typer.echo(text, nl=False)
    else:
        write_new(to, text)
        typer.echo(f"{to}: written")


def _text_of(name: str, config: Path | None) -> str:
    found = library_file(name)
    if found is not None:
        return _template_alone(found[1].decode())
    loaded = written_config(config)
    folder = loaded.config.rules.path
    (group,) = rule_groups([], folder)
    catalogue = profiles_for(loaded, [folder]).catalogue
    entry = write_out(group.contents, catalogue, name)
    if entry is None:
        ids = [one.id for one in read_rules(group.contents, catalogue).rules.rules]
        hint = did_you_mean(name, [*library_names(), *ids]) or "; 'fieldgate rules list' prints those that are there"
        raise NothingToEject(f"there is neither a template nor a usable rule {name!r}{hint}")
    return f"rules:\n{entry}"


def _template_alone(content: str) -> str:
    """The template without the rules and tests that show it, and without the line for the editor."""
    lines = content.splitlines(keepends=True)
    begin = next(number for number, line in enumerate(lines) if line.startswith("templates:"))
    end = next((number for number, line in enumerate(lines) if number > begin and line[:1].isalpha()), len(lines))
    return "".join(lines[begin:end]).rstrip() + "\n"
