"""``fieldgate rules``: the group; each command is a module of its own, which adds itself."""

from __future__ import annotations

from typing import Final

import typer

__all__ = ["register", "rules_app"]

rules_app: Final = typer.Typer(
    help="Rules: check, test and explain what is done about events.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(rules_app, name="rules")
