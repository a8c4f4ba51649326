"""``fieldgate devices infer``: draft a profile from messages that were seen."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from fieldgate import clock
from fieldgate.cli.devices_app import devices_app
from fieldgate.cli.devices_eject import make_folder, write_new, write_schema_beside
from fieldgate.cli.devices_try import seconds
from fieldgate.cli.live_topic import BrokerUrl, PasswordFile, SourceName, UserName, broker_of, listen
from fieldgate.cli.message_files import read_samples
from fieldgate.cli.options import ConfigFile, usable_config, written_config
from fieldgate.cli.profile_sources import folder_profiles
from fieldgate.cli.words import count, safe
from fieldgate.config import Config
from fieldgate.config.places import kind_of
from fieldgate.errors import FieldgateError
from fieldgate_devices.infer import CannotInfer, Sample, check_draft_name, infer_profile

__all__: list[str] = []

_MAX_SAMPLES: Final = 10_000
_SAY_EVERY_S: Final = 0.5


class NoDraft(FieldgateError):
    """No profile can be drafted."""


@devices_app.command("infer", short_help="Draft a profile from messages: a live topic, a file, a folder.")
def infer(
    what: Annotated[
        str,
        typer.Argument(
            metavar="TOPIC|FILE",
            help="A topic filter to listen to; or a file with a payload, or {'topic', 'payload'}, per line, a folder "
            "with a payload per file, or - for stdin.",
        ),
    ],
    name: Annotated[str | None, typer.Option(metavar="ID", help="Id of the profile. Default: after the topic.")] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Topic on which the messages of a file came that name none.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write it into the folder of profiles as ID.yaml.")] = False,
    url: BrokerUrl = None,
    source: SourceName = None,
    username: UserName = None,
    password_file: PasswordFile = None,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="Of a topic: for how long to listen.")] = "30s",
    number: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="Of a topic: end after so many.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Draft a profile from messages: decoder, types, ranges with room, enums, optional fields, time, device, examples.

    The draft has no problems and takes every message that it was made from. It knows nothing of units, limits and
    states that were not seen: look at it before it is used. Ctrl-C ends listening, and what came until then counts.
    """
    loaded = (written_config(config) if source is None else usable_config(config)).config
    if name is not None:
        _check_name(name)
    path = Path(what)
    listened = None
    if what == "-" or kind_of(path) in {"file", "folder"}:
        samples = read_samples(path, topic=topic, by_line=True)
    elif what.endswith((".json", ".jsonl", ".txt", ".csv", ".log")) and "+" not in what and "#" not in what:
        raise NoDraft(f"{what}: there is no such file")
    else:
        listened = what
        broker = broker_of(loaded, url=url, source=source, username=username, password_file=password_file)
        sys.stderr.write(f"listening to {what} at {broker.url} for {for_}; Ctrl-C ends it\n")
        heard = _Heard(min(number or _MAX_SAMPLES, _MAX_SAMPLES))
        asyncio.run(listen(broker, what, heard=heard, for_s=seconds(for_)))
        heard.say(is_last=True)
        if not heard.samples:
            raise NoDraft(f"nothing came on {what!r}; does the device publish to this broker?")
        samples = heard.samples
    profiles = folder_profiles(loaded)
    try:
        draft = infer_profile(
            samples[:_MAX_SAMPLES], name=name, listened=listened, taken=set(profiles.catalogue.contracts)
        )
    except CannotInfer as error:
        raise NoDraft(str(error)) from error
    for note in draft.notes:
        sys.stderr.write(f"note: {safe(note)}\n")
    if write:
        _write(loaded, draft.name, draft.text)
    else:
        typer.echo(draft.text, nl=False)


def _check_name(name: str) -> None:
    """Before anybody listens for half a minute."""
    try:
        check_draft_name(name)
    except CannotInfer as error:
        raise NoDraft(f"--name: {error}") from error


def _write(config: Config, name: str, text: str) -> None:
    folder = config.devices.path
    make_folder(folder)
    target = folder / f"{name}.yaml"
    write_new(target, text)
    typer.echo(f"{target}: written")
    write_schema_beside(target)


class _Heard:
    """Keeps what comes, and says how much that is."""

    def __init__(self, limit: int) -> None:
        self.samples: list[Sample] = []
        self._limit = limit
        self._topics: set[str] = set()
        self._said_s = clock.boot_s()
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, topic: str, payload: bytes, is_retained: bool) -> bool:
        del is_retained
        self.samples.append(Sample(topic, payload))
        self._topics.add(topic)
        self.say(is_last=False)
        return len(self.samples) < self._limit

    def say(self, *, is_last: bool) -> None:
        """On a terminal twice a second, else at the end."""
        now_s = clock.boot_s()
        if is_last or (self._is_terminal and now_s - self._said_s >= _SAY_EVERY_S):
            self._said_s = now_s
            text = f"{count(len(self.samples), 'message')} of {count(len(self._topics), 'topic')}"
            sys.stderr.write(f"\r{text}" if self._is_terminal else text)
            sys.stderr.write("\n" if is_last else "")
            sys.stderr.flush()
