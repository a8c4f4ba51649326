"""``fieldgate rules list``: which rules there are, what each is on, where it stands; the templates to make one of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.rules_app import rules_app
from fieldgate.cli.rules_groups import nothing_there, profiles_for, rule_groups
from fieldgate.cli.words import count, safe
from fieldgate.config.known_rules import known_to_rules
from fieldgate_devices.files.quantities import format_duration
from fieldgate_rules.model import ParameterSpec, RuleSpec, TriggerSpec
from fieldgate_rules.reading import TemplateFacts, library_templates, read_rules
from fieldgate_rules.rule import Rule

__all__ = ["trigger_text"]

_MAX_WHEN = 60


@rules_app.command("list", short_help="Print all rules: id, what they are on, when, state, where they stand.")
def list_rules(
    library: Annotated[
        bool, typer.Option("--library", help="The templates that come with Fieldgate, and your own, instead.")
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print all rules in their order: id, what it is on, when it fires, whether it is active, file and line.

    Rules with problems are not in use; 'fieldgate rules check' tells these. With --library the templates, each with its
    parameters and, in brackets, what these are where nothing is given.
    """
    loaded = written_config(config)
    folder = loaded.config.rules.path
    (group,) = rule_groups([], folder)
    read = read_rules(group.contents, profiles_for(loaded, [folder]).catalogue, known_to_rules(loaded.config))
    if library:
        _print_templates({**library_templates(), **read.templates}, as_json=as_json)
        return
    rows = [_row(one, read.used.get(one.id)) for one in read.rules.rules]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        lines = [(one["id"], one["on"], _short(one["when"]), one["state"], one["where"]) for one in rows]
        widths = [max((len(line[place]) for line in lines), default=0) for place in range(4)]
        for *columns, last in lines:
            shown = "  ".join([*(f"{text:<{width}}" for text, width in zip(columns, widths, strict=True)), last])
            typer.echo(safe(shown))
    errors = [*group.unreadable, *(one for one in read.problems if not one.is_warning)]
    if errors:
        found = count(len(errors), "problem")
        typer.echo(f"{found}: rules that have them are not listed; 'fieldgate rules check' tells all", err=True)
    elif not rows:
        typer.echo(f"{folder}: {nothing_there(folder)}", err=True)


def _row(rule: Rule, template: str | None) -> dict[str, Any]:
    return {
        "id": rule.id,
        "on": " or ".join(map(trigger_text, rule.spec.on)),
        "when": _when(rule.spec),
        "state": rule.spec.mode if rule.spec.enabled else "disabled",
        "where": f"{rule.where.path}:{rule.where.line}",
        "template": template,
        "description": rule.spec.description,
        "does": [one.kind for one in rule.actions],
    }


def trigger_text(spec: TriggerSpec) -> str:
    """What an entry of ``on`` says, in a line."""
    named = [(key, getattr(spec, key)) for key in ("device", "profile", "tag", "lane", "rule", "gateway")]
    said = [f"{key} {', '.join(names)}" for key, names in named if names]
    if spec.every is not None:
        said.append(f"every {format_duration(spec.every)}")
    if spec.cron is not None:
        said.append(f"cron {spec.cron}")
    return " ".join(said)


def _when(spec: RuleSpec) -> str:
    """What a rule asks, with what it does about the answer."""
    said = [] if spec.when is None else [" ".join(spec.when.split())]
    said += [key for key in ("rate", "count", "sequence", "window") if getattr(spec, key) is not None]
    if spec.changed:
        said.append(f"changed {', '.join(spec.changed)}")
    said += [f"{key} {format_duration(value)}" for key, value in (("absent", spec.absent), ("for", spec.for_)) if value]
    return "; ".join(said) or "always"


def _short(text: str) -> str:
    return text if len(text) <= _MAX_WHEN else f"{text[: _MAX_WHEN - 1]}…"


def _print_templates(templates: dict[str, TemplateFacts], *, as_json: bool) -> None:
    if as_json:
        facts = [
            {
                "template": one.name,
                "where": f"{one.where.path}:{one.where.line}",
                "description": one.description,
                "parameters": {
                    name: spec.model_dump(mode="json", exclude_unset=True) for name, spec in one.parameters.items()
                },
            }
            for one in templates.values()
        ]
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for one in sorted(templates.values(), key=lambda one: one.name):
        typer.echo(safe(f"{one.name}  ({Path(one.where.path).name})"))
        typer.echo(safe(f"    {' '.join(one.description.split())}"))
        for name, spec in one.parameters.items():
            typer.echo(safe(f"    {name}: {_parameter(spec)}"))


def _parameter(spec: ParameterSpec) -> str:
    default = ""
    if "default" in spec.model_fields_set:
        shown = json.dumps(spec.default, ensure_ascii=False) if not isinstance(spec.default, str) else spec.default
        default = f" ({'none' if spec.default == [] else shown})"
    values = f", one of {', '.join(map(str, spec.values))}" if spec.values else ""
    return f"{spec.type}{values}{default}  {spec.description}".rstrip()
