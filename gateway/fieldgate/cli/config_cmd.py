"""``fieldgate config``: what is in effect, what may be written, and a file to begin with."""

from __future__ import annotations

import json

import typer

from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.config.explain import effective_values
from fieldgate.config.sample import sample_text
from fieldgate.config.schema import schema_text
from fieldgate_devices.files.model_tree import dotted

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Show the configuration in effect, its schema, or a sample.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("show", short_help="Print every value in effect and where it comes from.")(_show)
    group.command("schema", short_help="Print the JSON Schema of the file, for editors.")(_schema)
    group.command("sample", short_help="Print a file with every key, its meaning and its default.")(_sample)
    group.command("check", hidden=True)(_check)
    app.add_typer(group, name="config")


def _show(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print every value in effect and where it comes from; secrets are masked."""
    loaded = written_config(config)
    rows = [(dotted(loc), value, loaded.origins[dotted(loc)]) for loc, value in effective_values(loaded.config)]
    if as_json:
        values = {key: {"value": value, "origin": origin} for key, value, origin in rows}
        path = str(loaded.path) if loaded.path is not None else None
        typer.echo(json.dumps({"path": path, "values": values}, indent=2, ensure_ascii=False))
        return
    texts = [(key, _plain(value)) for key, value, _ in rows]
    key_width = max(len(key) for key, _ in texts)
    value_width = min(48, max(len(text) for _, text in texts))
    for (key, text), (_, _, origin) in zip(texts, rows, strict=True):
        typer.echo(f"{key:<{key_width}}  {text:<{value_width}}  {origin}")


def _plain(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check() -> None:
    """Point to where people find it."""
    raise typer.BadParameter("there is no 'config check'; write: fieldgate check")


def _schema() -> None:
    """Print the JSON Schema (2020-12) of the configuration file, for editors."""
    typer.echo(schema_text(), nl=False)


def _sample() -> None:
    """Print a configuration file with every key, its meaning and its default."""
    typer.echo(sample_text(), nl=False)
