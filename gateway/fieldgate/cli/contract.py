"""``fieldgate contract``: what this gateway emits, for other people's programs."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Annotated, Any

import typer

from fieldgate.cli.options import ConfigFile, written_config
from fieldgate.cli.profile_sources import UnknownProfile, folder_profiles
from fieldgate.cli.rules_groups import rule_groups
from fieldgate.config import Config
from fieldgate.config.known_rules import known_to_rules
from fieldgate.contract_export import (
    Kind,
    all_commands,
    all_kinds,
    asyncapi_document,
    derived_kinds,
    everything_schema,
    profile_document,
)
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.profile import Profile
from fieldgate_rules.reading import read_rules

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="The contract of everything that this gateway emits.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("jsonschema", short_help="Print JSON Schema (2020-12) of the data of a profile, or of everything.")(
        _jsonschema
    )
    group.command("asyncapi", short_help="Print an AsyncAPI 3.0 document: servers, channels, messages.")(_asyncapi)
    app.add_typer(group, name="contract")


def _jsonschema(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="A profile, a type that a rule emits, or one of the gateway's own: generic, gap, clock, command, "
            "silent, back, alert, rules, vitals.",
        ),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Print the JSON Schema (2020-12) of the data of one kind of events; without ID one of all envelopes (CloudEvents).

    Its $id is what events say in 'dataschema'. Units stand in x-unit.
    """
    loaded = written_config(config).config
    kinds = _kinds(loaded)
    if name is None:
        _print(everything_schema(kinds, gateway=loaded.gateway.id))
        return
    kind = next((one for one in kinds if one.name == name), None)
    if kind is None:
        raise UnknownProfile(name, [one.name for one in kinds])
    _print(profile_document(kind))


def _asyncapi(
    document_version: Annotated[
        str | None, typer.Option("--version", metavar="TEXT", help="Of the document. Default: that of Fieldgate.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Print an AsyncAPI 3.0 document of what this gateway sends to its uplinks, and hears from them.

    It holds no secret.
    """
    loaded = written_config(config).config
    catalogue = _catalogue(loaded)
    profiles = _profiles(catalogue)
    _print(
        asyncapi_document(
            loaded,
            all_kinds(profiles, _derived(loaded, catalogue)),
            version=document_version or version("fieldgate"),
            commands=all_commands(profiles),
        )
    )


def _kinds(config: Config) -> list[Kind]:
    catalogue = _catalogue(config)
    return all_kinds(_profiles(catalogue), _derived(config, catalogue))


def _catalogue(config: Config) -> Catalogue:
    profiles = folder_profiles(config)
    for problem in profiles.problems:
        typer.echo(str(problem), err=True)
    return profiles.catalogue


def _profiles(catalogue: Catalogue) -> list[Profile]:
    return [contract.profile for contract in catalogue.contracts.values()]


def _derived(config: Config, catalogue: Catalogue) -> list[Kind]:
    (group,) = rule_groups([], config.rules.path)
    read = read_rules(group.contents, catalogue, known_to_rules(config))
    for problem in (*group.unreadable, *(one for one in read.problems if not one.is_warning)):
        typer.echo(str(problem), err=True)
    return derived_kinds(read.rules)


def _print(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
