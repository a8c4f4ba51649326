"""``fieldgate devices``: the group; each command is a module of its own, which adds itself."""

from __future__ import annotations

from typing import Final

import typer

__all__ = ["devices_app", "register"]

devices_app: Final = typer.Typer(
    help="Device profiles: what devices may say, and what they said.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(devices_app, name="devices")
