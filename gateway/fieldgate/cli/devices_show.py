"""``fieldgate devices show``: one profile as a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import typer

from fieldgate.cli.devices_app import devices_app
from fieldgate.cli.devices_list import matches_text
from fieldgate.cli.options import AsJson, ConfigFile, written_config
from fieldgate.cli.profile_sources import folder_profiles
from fieldgate.cli.words import count
from fieldgate_devices.command_model import CommandSpec
from fieldgate_devices.contract import Contract
from fieldgate_devices.examples import example_payload
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.quantities import format_duration
from fieldgate_devices.modbus import Limits, Register, make_registers, merge
from fieldgate_devices.profile import Example, Profile

__all__: list[str] = []


@devices_app.command("show", short_help="Print one profile: match, fields with units and ranges, commands, examples.")
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="As 'fieldgate devices list' prints it.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print one profile that is in use."""
    profiles = folder_profiles(written_config(config).config)
    contract = profiles.get(name)
    if as_json:
        typer.echo(contract.profile.model_dump_json(by_alias=True, exclude_unset=True, indent=2))
        return
    typer.echo("\n".join(_lines(contract, path=profiles.path_of(name))))


def _lines(contract: Contract, *, path: str) -> Iterator[str]:
    profile = contract.profile
    yield f"{profile.profile}, version {profile.version} ({path})"
    if profile.description:
        yield f"  {profile.description}"
    yield from _table("match", [(one,) for one in matches_text(profile.match)])
    (decoder,) = profile.decode
    options = profile.decode[decoder]
    yield f"decode  {decoder}{f' {json.dumps(options, ensure_ascii=False)}' if options else ''}"
    yield f"device  {'the topic' if contract.device_name.is_of_topic and '{' not in profile.device else profile.device}"
    yield f"lane  {profile.lane or 'of the listener or source'}"
    if profile.time is not None:
        yield f"time  {profile.time.from_}, {profile.time.format}, {profile.time.zone} where it names no zone"
    if profile.silent_after is not None:
        yield f"silent after  {format_duration(profile.silent_after)}"
    yield f"other members  {_OTHERS[profile.other_fields]}"
    if profile.modbus is not None:
        section, made = profile.modbus, make_registers(profile.modbus)
        yield from _table(
            f"registers, read every {format_duration(section.every)} where they do not say otherwise",
            [_register(one) for one in made.values()],
        )
        requests = merge([one for one in made.values() if one.is_read and one.every_s is None], Limits.of(section))
        yield f"  by {count(len(requests), 'request')}: {', '.join(map(str, requests))}"
    yield from _table("fields", [_field(one, spec) for one, spec in profile.fields.items()])
    yield from _table("repeated", [_field(one, spec) for one, spec in profile.repeated.items()])
    yield from _table("older versions", [(str(number), _steps(profile, number)) for number in sorted(profile.upgrade)])
    yield from _table(
        "commands (what clients publish there is no event)",
        [_command(one, spec) for one, spec in profile.commands.items()],
    )
    yield from _table("examples", [_example(one, profile) for one in profile.examples])


_OTHERS = {"drop": "left out", "keep": "kept, under flattened names", "refuse": "break the contract"}


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    yield title
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def _field(name: str, spec: FieldSpec) -> tuple[str, str, str, str, str]:
    low, high = ("…" if bound is None else f"{bound:g}" for bound in (spec.min, spec.max))
    limits = f"{low} to {high}" if spec.min is not None or spec.max is not None else ""
    if spec.values:
        limits = " | ".join(map(str, spec.values))
    notes = []
    if spec.from_:
        notes.append(f"from {', or '.join(spec.from_)}")
    if spec.scale is not None or spec.offset is not None:
        notes.append(f"times {spec.scale if spec.scale is not None else 1:g} plus {spec.offset or 0:g}")
    if spec.raw_unit is not None or spec.unit_from is not None:
        notes.append(f"converted from {json.dumps(spec.raw_unit or f'what {spec.unit_from} says', ensure_ascii=False)}")
    if spec.first_of:
        notes.append(f"first of {', '.join(spec.first_of)}")
    if spec.unfit != "refuse":
        notes.append(f"unfit: {spec.unfit}")
    if spec.map:
        notes.append("map " + ", ".join(f"{raw}: {json.dumps(value)}" for raw, value in spec.map.items()))
    if spec.no_reading:
        notes.append(f"no reading: {', '.join(map(str, spec.no_reading))}")
    if spec.default is not None:
        notes.append(f"default {json.dumps(spec.default, ensure_ascii=False)}")
    elif spec.optional:
        notes.append("optional")
    return name, spec.type, spec.unit, limits, "; ".join([*notes, *([spec.description] if spec.description else [])])


def _steps(profile: Profile, number: int) -> str:
    steps = profile.upgrade[number].model_dump(by_alias=True, exclude_unset=True)
    return (
        ", ".join(f"{step} {json.dumps(what, ensure_ascii=False)}" for step, what in steps.items()) or "nothing to do"
    )


def _register(one: Register) -> tuple[str, str, str, str]:
    last = f"-{one.end - 1}" if one.count > 1 else ""
    orders = [f"{key} little" for key in ("word_order", "byte_order") if getattr(one, key) == "little"]
    numbers = [f"{key} {getattr(one, key):g}" for key in ("scale", "offset") if getattr(one, key) is not None]
    others = [f"{key} {getattr(one, key)}" for key in ("bit", "mask", "exponent") if getattr(one, key) is not None]
    every = [] if one.every_s is None else [f"every {format_duration(one.every_s)}"]
    notes = [*orders, *others, *numbers, *every, *([] if one.is_read else ["only written"])]
    return one.name, f"{one.table} {one.address}{last}", one.type, "; ".join(notes)


def _command(name: str, spec: CommandSpec) -> tuple[str, str, str, str]:
    members = ", ".join(" ".join(filter(None, _field(one, below)[:4])) for one, below in spec.payload.items())
    way = "" if spec.publish is None else spec.publish.topic
    if spec.serial is not None:
        way = f"serial: {spec.serial.text if spec.serial.text is not None else spec.serial.hex}"
    if spec.modbus is not None:
        way = f"modbus: {', '.join(spec.modbus.register_)}"
    return name, way, members or "no arguments", spec.description


def _example(example: Example, profile: Profile) -> tuple[str, str]:
    payload = example_payload(example, profile)
    text = payload.decode("utf-8", "replace") if payload.isascii() else payload.hex(" ")
    text = " ".join(text.split())
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    out = msgspec.json.encode(example.out).decode()
    return shown, f"refused: {example.error}" if example.error is not None else f"gives {out}"
