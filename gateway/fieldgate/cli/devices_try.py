"""``fieldgate devices try``: send a message through the profiles and show each step."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from fieldgate.cli.devices_app import devices_app
from fieldgate.cli.live_topic import BrokerUrl, PasswordFile, SourceName, UserName, broker_of, listen
from fieldgate.cli.message_files import read_samples
from fieldgate.cli.options import AsJson, ConfigFile, usable_config, written_config
from fieldgate.cli.profile_sources import Profiles, folder_profiles, profiles_of, read_paths, say_what_is_not_in_use
from fieldgate.cli.try_report import Trial
from fieldgate.cli.words import count
from fieldgate.errors import FieldgateError
from fieldgate_devices.catalogue import Assigned, Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.examples import topic_of
from fieldgate_devices.files.quantities import parse_duration
from fieldgate_devices.infer import Sample
from fieldgate_devices.modbus import make_registers
from fieldgate_devices.modbus.memory import read_memory, values_in

__all__: list[str] = []

_BREAKS: Final = 1
_INTERRUPTED: Final = 130


class NothingToTry(FieldgateError):
    """It is not clear what message to send through."""


@devices_app.command("try", short_help="Send a file, stdin, bytes or a live topic through the profiles, step by step.")
def try_message(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="One payload, or a recording (see infer); - is stdin.")
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Topic that it came on. Without FILE and --hex: topic filter to listen to."),
    ] = None,
    hexadecimal: Annotated[
        str | None, typer.Option("--hex", metavar="BYTES", help="The payload in hexadecimal.")
    ] = None,
    registers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE=WORDS", help="Of a Modbus device, with --profile: 'input 0=4366 199A'; may be given again."
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="ID|FILE", help="By this profile alone; a file need not be in the folder.")
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of the file is a message.")] = False,
    url: BrokerUrl = None,
    source: SourceName = None,
    username: UserName = None,
    password_file: PasswordFile = None,
    number: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="Of a live topic: end after so many.")
    ] = None,
    for_: Annotated[str | None, typer.Option("--for", metavar="TIME", help="Of a live topic: for how long.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send messages through the profiles and show each step; nothing is sent on and nothing is kept.

    Steps: which profile takes it and why others do not, what the decoder makes of it, upgrades, each field, device,
    time, and the event as it would go upstream. Ends with 1 when a message breaks its contract.
    """
    loaded = (written_config(config) if source is None else usable_config(config)).config
    profiles = folder_profiles(loaded)
    say_what_is_not_in_use(profiles)
    catalogue = _catalogue(profiles, profile, topic)
    trial = Trial(catalogue, loaded.gateway.id, unknown=loaded.devices.unknown, is_forced=profile is not None)
    if registers:
        hexadecimal = _polled(registers, catalogue, profile).hex()
    if file is None and hexadecimal is None:
        if topic is None:
            raise NothingToTry("name a file, - for stdin, --hex BYTES, or a topic to listen to: --topic FILTER")
        broker = broker_of(loaded, url=url, source=source, username=username, password_file=password_file)
        heard = _Heard(trial, number, as_json=as_json)
        for_s = None if for_ is None else seconds(for_)
        sys.stderr.write(f"listening to {topic} at {broker.url}; Ctrl-C ends it\n")
        is_interrupted = asyncio.run(listen(broker, topic, heard=heard, for_s=for_s))
        sys.stderr.write(f"{count(heard.count, 'message')}, {heard.broken:,} against the contract\n")
        raise typer.Exit(_INTERRUPTED if is_interrupted and number is not None else _BREAKS if heard.broken else 0)
    samples = _samples(file, hexadecimal, topic, by_line=lines)
    results = [trial.run(_topic_of(sample, catalogue, profile), sample.payload) for sample in samples]
    for place, result in enumerate(results):
        typer.echo(json.dumps(result.facts(), ensure_ascii=False) if as_json else result.text(is_first=place == 0))
    raise typer.Exit(0 if all(result.is_accepted for result in results) else _BREAKS)


def seconds(text: str) -> float:
    """A time as people write it, such as ``30s``.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from error


class _Heard:
    """Shows each message of a live topic as it comes."""

    def __init__(self, trial: Trial, limit: int | None, *, as_json: bool) -> None:
        self.count = 0
        self.broken = 0
        self._trial = trial
        self._limit = limit
        self._as_json = as_json

    def __call__(self, topic: str, payload: bytes, is_retained: bool) -> bool:
        result = self._trial.run(topic, payload, is_retained=is_retained)
        typer.echo(
            json.dumps(result.facts(), ensure_ascii=False) if self._as_json else result.text(is_first=not self.count)
        )
        sys.stdout.flush()
        self.count += 1
        self.broken += not result.is_accepted
        return self._limit is None or self.count < self._limit


def _catalogue(profiles: Profiles, wanted: str | None, topic: str | None) -> Catalogue:
    """All profiles, or the one that is to be tried."""
    if wanted is None:
        return profiles.catalogue
    if not (wanted.endswith((".yaml", ".yml")) or "/" in wanted):
        contracts = [profiles.get(wanted)]
    else:
        named = profiles_of(*read_paths([Path(wanted)]))
        if named.problems:
            raise FieldgateError("\n".join(map(str, named.problems)))
        contracts = [one.contract for one in named.own if one.contract is not None]
    assigned = {
        topic or topic_of(one): Assigned(one.profile.profile, "example", "example")
        for one in contracts
        if not one.matchers
    }
    return Catalogue(contracts, assigned=assigned)


def _samples(file: Path | None, hexadecimal: str | None, topic: str | None, *, by_line: bool) -> list[Sample]:
    if file is not None and hexadecimal is not None:
        raise NothingToTry("a file or --hex, not both")
    if file is not None:
        return read_samples(file, topic=topic, by_line=by_line)
    assert hexadecimal is not None
    try:
        return [Sample(topic, bytes.fromhex(re.sub(r"0[xX]|[\s:,-]", "", hexadecimal)))]
    except ValueError as error:
        problem = f"{hexadecimal[:40]!r} is not hexadecimal; write two digits a byte, such as d7 00 50"
        raise typer.BadParameter(problem, param_hint="--hex") from error


def _polled(registers: list[str], catalogue: Catalogue, wanted: str | None) -> bytes:
    """What a poll gives that finds these words in the registers of the profile."""
    contract = next(iter(catalogue.contracts.values()))
    if wanted is None or contract.profile.modbus is None:
        raise NothingToTry("registers are those of one profile with modbus: --profile ID")
    written = {place.strip(): words for place, _, words in (one.partition("=") for one in registers)}
    try:
        memory = read_memory(written)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--registers") from error
    return msgspec.json.encode(values_in(memory, make_registers(contract.profile.modbus)))


def _topic_of(sample: Sample, catalogue: Catalogue, wanted: str | None) -> str:
    """Its topic, or one that the only profile takes."""
    if sample.topic is not None:
        return sample.topic
    if wanted is None:
        raise NothingToTry("on which topic did it come? --topic TOPIC (or --profile ID for one that it takes)")
    contract: Contract = next(iter(catalogue.contracts.values()))
    return topic_of(contract)
