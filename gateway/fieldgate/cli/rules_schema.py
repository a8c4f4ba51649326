"""``fieldgate rules schema``: what editors check files of rules by."""

from __future__ import annotations

import typer

from fieldgate.cli.rules_app import rules_app
from fieldgate_rules.rules_schema import schema_text

__all__: list[str] = []  # the command adds itself


@rules_app.command("schema", short_help="Print the JSON Schema of files of rules, for editors.")
def schema() -> None:
    """Print the JSON Schema (2020-12) of files of rules; 'fieldgate rules schema > rules.d/rules.schema.json'."""
    typer.echo(schema_text(), nl=False)
