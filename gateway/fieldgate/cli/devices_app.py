"""The group ``fieldgate devices``, which several files add their commands to."""

from __future__ import annotations

import typer

__all__ = ["devices_app"]

devices_app = typer.Typer(help="What devices may say, and what they have said.", no_args_is_help=True)
