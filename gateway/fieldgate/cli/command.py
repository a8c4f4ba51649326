"""``fieldgate command``: tell a device something, and say what became of it."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final

import typer

from fieldgate.cli.options import AsJson, ConfigFile, without_file, written_config
from fieldgate.cli.words import safe
from fieldgate.control import GatewayNotRunning, socket_path, stream
from fieldgate.errors import FieldgateError
from fieldgate_devices.files.quantities import parse_duration

__all__ = ["register"]

_WRONG_USE: Final = 2
_EXIT: Final = {"done": 0, "accepted": 0, "received": 0, "refused": 3, "timeout": 4, "unknown": 5}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("command", short_help="Tell a device something, or list what it can be told.")
    def command(
        device: Annotated[str, typer.Argument(metavar="DEVICE", help="As 'fieldgate devices status' prints it.")],
        name: Annotated[
            str | None, typer.Argument(metavar="NAME", help="Which command; without one those it has are listed.")
        ] = None,
        arguments: Annotated[
            list[str] | None,
            typer.Argument(metavar="KEY=VALUE", help="Its arguments; each value is read by the argument's type."),
        ] = None,
        order_id: Annotated[
            str | None,
            typer.Option("--id", metavar="ID", help="The same id again is the same command: it is carried out once."),
        ] = None,
        max_age: Annotated[
            str | None,
            typer.Option(metavar="TIME", help="How old it may be when the device gets it, such as 30s. Default: 60s."),
        ] = None,
        wait: Annotated[
            bool, typer.Option("--wait", help="For a device that is away, wait for its final answer too.")
        ] = False,
        no_wait: Annotated[bool, typer.Option("--no-wait", help="Hand it over and leave.")] = False,
        config: ConfigFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Tell a device something: checked against its profile, carried out once, recorded.

        Ends with 0 when it is done, or waits safely for a device that is away; 3 when it was refused, 4 when the
        device did not confirm it in time, 5 when nobody knows what became of it, 1 when it could not be asked for.
        """
        loaded = written_config(config)
        folder = loaded.config.journal.path
        if name is None:
            _list_commands(
                _ask(folder, {"do": "command.known", "device": device}, without_file(loaded)), device, as_json
            )
            return
        request: dict[str, Any] = {"do": "command.give", "device": device, "name": name}
        request |= {"texts": _texts(arguments or []), "id": order_id, "wait": _waiting(wait=wait, no_wait=no_wait)}
        if max_age is not None:
            try:
                request["max_age_s"] = parse_duration(max_age)
            except ValueError as error:
                typer.echo(f"error: --max-age: {error}", err=True)
                raise typer.Exit(_WRONG_USE) from error
        answers = _ask(folder, request, without_file(loaded), as_json=as_json, is_shown=True)
        raise typer.Exit(_EXIT.get(answers[-1]["status"], 1))


def _waiting(*, wait: bool, no_wait: bool) -> str:
    if wait and no_wait:
        typer.echo("error: --wait and --no-wait exclude each other", err=True)
        raise typer.Exit(_WRONG_USE)
    return "final" if wait else "none" if no_wait else "first"


def _texts(arguments: list[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for one in arguments:
        key, equals, text = one.partition("=")
        if not equals or not key:
            typer.echo(f"error: {one!r} is not KEY=VALUE", err=True)
            raise typer.Exit(_WRONG_USE)
        if key in texts:
            typer.echo(f"error: {key!r} is there twice", err=True)
            raise typer.Exit(_WRONG_USE)
        texts[key] = text
    return texts


def _ask(
    folder: Any, request: dict[str, Any], hint: str, *, as_json: bool = False, is_shown: bool = False
) -> list[dict[str, Any]]:
    async def gather() -> list[dict[str, Any]]:
        found = []
        async for item in stream(socket_path(folder), request):
            found.append(item)
            if is_shown:
                typer.echo(json.dumps(item) if as_json else _line(item))
        return found

    try:
        return asyncio.run(gather())
    except GatewayNotRunning as error:
        raise FieldgateError(f"{error}{hint}") from error


def _line(answer: dict[str, Any]) -> str:
    reason = f": {answer['reason']}" if answer["reason"] else ""
    return safe(f"{answer['device']} {answer['name']} {answer['status']}{reason}   (id {answer['id']})")


def _list_commands(found: list[dict[str, Any]], device: str, as_json: bool) -> None:
    if as_json:
        for one in found:
            typer.echo(json.dumps(one))
        return
    if not found:
        typer.echo(safe(f"{device} has no commands: its profile names none"), err=True)
    for one in found:
        words = [f"{name}={_meaning(spec)}" for name, spec in one["arguments"].items()]
        about = f"   {one['description']}" if one["description"] else ""
        typer.echo(safe(" ".join([one["name"], *words]) + about))


def _meaning(spec: dict[str, Any]) -> str:
    """``20 to 90 °C``, ``ON|OFF|TOGGLE``, ``true|false``; in brackets where it may be left out."""
    if values := spec.get("values"):
        text = "|".join(map(str, values))
    elif spec["type"] == "bool":
        text = "true|false"
    elif "min" in spec or "max" in spec:
        low, high = (f"{spec[key]:g}" if key in spec else "…" for key in ("min", "max"))
        text = f"{low} to {high}"
    else:
        text = spec["type"].upper()
    unit = f" {spec['unit']}" if spec.get("unit") else ""
    text = f"<{text}{unit}>"
    return f"[{text}]" if spec.get("optional") or "default" in spec else text
