"""``fieldgate diag``: everything that whoever is to help wants to know, in one file without secrets."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fieldgate import clock
from fieldgate.cli.doctor import examine_as_facts
from fieldgate.cli.journal_source import answers
from fieldgate.cli.options import AsJson, ConfigFile
from fieldgate.cli.progress import Progress
from fieldgate.cli.words import count, size
from fieldgate.config import Config
from fieldgate.config.loader import Reading, read
from fieldgate.doctor.bundle import Bundle
from fieldgate.doctor.bundle_parts import add_config, add_files, add_log, add_yaml_folder, versions
from fieldgate.doctor.gateway_facts import read_gateway
from fieldgate.doctor.known_secrets import scrubber_for
from fieldgate.errors import FieldgateError

__all__ = ["register"]

_MAX_EVENTS: Final = 10_000
_STATS_DEADLINE_S: Final = 30.0
_ABOUT: Final = """\
A bundle of 'fieldgate diag'. Made to be given to whoever is to help; look into it before you do.

Passwords, keys, tokens, headers, the paths of webhooks and what looks like one of them were taken out and replaced by
'•••'. Comments of configuration, profiles and rules are left out. Nothing that a device has said is in it{events}.

manifest.json         what is in it, and what is not, and why
versions.json         Fieldgate, Python, SQLite, the system, packages
config.yaml           the configuration as it is written
config-effective.json the same with all defaults
doctor.json           'fieldgate doctor --json'
status.json           'fieldgate status --json', where a gateway runs
journal.json          'fieldgate journal stats --json'
files.json            names, sizes and times in the gateway's folders
log.txt, crashes.json the end of the log, and what in it tells of crashes
devices.d, rules.d    profiles and rules
"""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(short_help="Write a bundle for whoever is to help, with secrets removed.")
    def diag(
        file: Annotated[Path, typer.Argument(metavar="FILE.tar.gz", help="Where to write it; must not exist yet.")],
        config: ConfigFile = None,
        with_events: Annotated[
            int, typer.Option(metavar="N", min=0, max=_MAX_EVENTS, help="Put in the N newest stored events, too.")
        ] = 0,
        log: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="The log. Default: that of the service (journald)."),
        ] = None,
        offline: Annotated[bool, typer.Option("--offline", help="Connect to nothing outside of this machine.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace FILE.tar.gz.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Write a bundle for whoever is to help: versions, configuration, doctor, status, log, journal, rules.

        Passwords, keys and tokens are taken out wherever they stand, and what devices said is not in it unless
        --with-events asks for it. The file is for you alone (mode 0600); look into it before you send it.
        """
        if not file.name.endswith((".tar.gz", ".tgz")):
            raise typer.BadParameter(f"{file.name!r} does not end with .tar.gz", param_hint="FILE.tar.gz")
        if file.exists() and not force:
            raise FieldgateError(f"{file} is there already; name another file, or replace it with --force")
        progress = Progress(is_quiet=as_json or not sys.stderr.isatty())
        reading = read(config, references="examined")
        bundle = Bundle(scrubber_for(reading))
        asyncio.run(_fill(bundle, reading, log=log, events=with_events, is_offline=offline, tell=progress.tell))
        made = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
        _finish(bundle, made, events=with_events)
        top = f"fieldgate-diag-{made:%Y%m%d-%H%M%S}"
        written = bundle.write(file, made_s=made.timestamp(), is_replaced=force, top=top)
        typer.echo(_as_json(file, bundle, written) if as_json else _as_text(file, bundle, written))


async def _fill(
    bundle: Bundle, reading: Reading, *, log: Path | None, events: int, is_offline: bool, tell: Callable[[str], None]
) -> None:
    config = reading.config or Config()
    bundle.add_json("versions.json", versions())
    add_config(bundle, reading)
    tell("asking the gateway")
    gateway = await read_gateway(config.journal.path)
    if gateway.status is not None:
        bundle.add_json("status.json", gateway.status)
    else:
        bundle.left_out["status.json"] = gateway.problem or "no gateway runs here"
    tell("examining this machine")
    bundle.add_json("doctor.json", await examine_as_facts(reading, is_offline=is_offline))
    tell("reading the log")
    add_log(bundle, gateway, log)
    folders = {"state": config.journal.path, "devices": config.devices.path, "rules": config.rules.path}
    if reading.path is not None:
        folders["config"] = reading.path.absolute().parent
    add_files(bundle, folders)
    add_yaml_folder(bundle, config.devices.path, "devices.d")
    add_yaml_folder(bundle, config.rules.path, "rules.d")
    await _add_journal(bundle, config, events)


async def _add_journal(bundle: Bundle, config: Config, events: int) -> None:
    try:
        async with asyncio.timeout(_STATS_DEADLINE_S):
            (stats,) = [one async for one in answers(config, {"do": "journal.stats"})]
        bundle.add_json("journal.json", {key: one for key, one in stats.items() if key != "done"})
    except FieldgateError as error:
        bundle.left_out["journal.json"] = str(error)
        return
    except TimeoutError:
        bundle.left_out["journal.json"] = f"the journal was not read within {_STATS_DEADLINE_S:g} s"
        return
    if events:
        request = {"do": "journal.tail", "count": events, "follow": False, "device": None}
        clean = [bundle.scrubber.tree(event) async for event in answers(config, request)]
        lines = [json.dumps(event, ensure_ascii=False) for event in clean]
        bundle.add_text("events.jsonl", "\n".join(lines) + "\n", keeps_end=True)


def _finish(bundle: Bundle, made: datetime, *, events: int) -> None:
    bundle.add_text("README.txt", _ABOUT.format(events=" but the events in events.jsonl" if events else ""))
    manifest: dict[str, Any] = {
        "made": made.isoformat(),
        "members": {name: len(content) for name, content in sorted(bundle.members.items())},
        "left_out": bundle.left_out,
        "removed": bundle.scrubber.removed,
    }
    bundle.add_json("manifest.json", manifest)


def _as_text(file: Path, bundle: Bundle, written: int) -> str:
    lines = [f"{file}: {size(written)}, {count(len(bundle.members), 'file')}, for you alone (mode 0600)"]
    lines += [f"  not in it: {name}: {why}" for name, why in bundle.left_out.items()]
    removed = count(bundle.scrubber.removed, "secret")
    lines.append(f"{removed} or what looks like one taken out; look before you send it: tar -xzOf {file} | less")
    return "\n".join(lines)


def _as_json(file: Path, bundle: Bundle, written: int) -> str:
    facts = {
        "file": str(file),
        "bytes": written,
        "members": sorted(bundle.members),
        "left_out": bundle.left_out,
        "removed": bundle.scrubber.removed,
    }
    return json.dumps(facts, indent=2, ensure_ascii=False)
