"""``fieldgate ports``: which serial ports there are, what to call them, who may use them, what they seem to speak."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import typer

from fieldgate.cli.options import AsJson, ConfigFile
from fieldgate.cli.port_hearing import SPEEDS, Heard, PortBusy, Speed, hear_port
from fieldgate.cli.words import safe, size
from fieldgate.config.loader import load_as_written
from fieldgate.control import ask, socket_path
from fieldgate.errors import FieldgateError
from fieldgate.ingest.port_list import SerialPort, find_ports, named_port
from fieldgate_devices.yaml_text import flow

__all__ = ["register"]

_LISTEN_S: Final = 3.0
_PROFILES: Final = {"nmea": "nmea_gnss", "dsmr": "dsmr_p1", "sml": "sml_meter"}
"""The built-in profile for what a decoder reads."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A port, and what listening to it came to."""

    port: SerialPort
    heard: Heard | None = None
    not_heard: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(short_help="List serial ports, and what they seem to speak.")
    def ports(
        names: Annotated[
            list[str] | None, typer.Argument(metavar="PORT", help="Only these: devices, links, ptys.")
        ] = None,
        listen: Annotated[
            float,
            typer.Option(
                min=0,
                max=600,
                metavar="SECONDS",
                help="How long to listen at each of several speeds, without sending anything, to ports that nobody "
                "uses; 0 opens none. Many Arduinos restart when their port is opened.",
            ),
        ] = _LISTEN_S,
        config: ConfigFile = None,
        as_json: AsJson = False,
    ) -> None:
        """List serial ports with names that stay, USB identity, access, and what they seem to speak.

        Ports in use, and the system's console, are not opened. For each port that says something a source is shown, to
        be written into fieldgate.yaml. Ends with 1 if a PORT that was named is none.
        """
        found = [named_port(name) for name in names] if names else find_ports()
        gateway_pid = asyncio.run(_gateway_pid(config)) if any(port.user_pid for port in found) else None
        told = asyncio.run(_listen(found, listen, is_shown=not as_json)) if listen else [_Found(port) for port in found]
        if as_json:
            typer.echo(json.dumps([_as_json(one, gateway_pid) for one in told]))
        else:
            typer.echo(_as_text(told, gateway_pid, is_listening=bool(listen)))
        raise typer.Exit(1 if names and any(not _is_port(one.port) for one in told) else 0)


async def _gateway_pid(config: Any) -> int | None:
    """The process of the running gateway, if there is one here and it may be asked."""
    try:
        folder = load_as_written(config).config.journal.path
        return int((await ask(socket_path(folder), {"do": "status"}))["pid"])
    except (FieldgateError, OSError, KeyError):
        return None


async def _listen(found: list[SerialPort], each_s: float, *, is_shown: bool) -> list[_Found]:
    """Listen to all that are free, at the same time."""
    free = [port for port in found if port.is_free]
    if free and is_shown:
        most_s = each_s * max(_speeds_of(port) for port in free)
        names = ", ".join(port.name for port in free)
        typer.echo(f"listening to {names} for up to {most_s:g} s …", err=True)
    async with asyncio.TaskGroup() as tasks:
        running = {
            port.name: tasks.create_task(_hear(port, each_s, is_shown=is_shown), name=f"listen:{port.name}")
            for port in free
        }
    return [running[port.name].result() if port.name in running else _Found(port) for port in found]


def _speeds_of(port: SerialPort) -> int:
    return len(SPEEDS) if _has_speed(port) else 1


def _has_speed(port: SerialPort) -> bool:
    """A pty has no line, and an ACM device (an Arduino Uno, a modem) usually none behind its USB."""
    return port.driver not in {"pty", "cdc_acm"}


async def _hear(port: SerialPort, each_s: float, *, is_shown: bool) -> _Found:
    def tells(speed: Speed) -> None:
        if is_shown and _has_speed(port) and sys.stderr.isatty():
            typer.echo(f"  {port.name}: {speed.baud} baud, {speed.bits}", err=True)

    try:
        heard = await hear_port(port.device, each_s=each_s, has_speed=_has_speed(port), tells=tells)
    except PortBusy as busy:
        return _Found(port, not_heard=str(busy))
    return _Found(port, heard)


def _is_port(port: SerialPort) -> bool:
    return not port.problem.endswith(("is no serial port", "is not there"))


def _as_text(told: list[_Found], gateway_pid: int | None, *, is_listening: bool) -> str:
    if not told:
        return "no serial port is there; a USB adapter that was plugged in is shown by 'dmesg'"
    lines = []
    for one in told:
        port = one.port
        lines.append(safe(port.name))
        about = [port.device if port.device != port.name else "", port.product, port.usb, port.driver]
        rows = [
            ("device", " · ".join(safe(text) for text in about if text)),
            ("also", safe(port.by_path if port.by_id and port.by_path != port.name else "")),
            ("access", port.problem or "you may use it"),
            ("in use", _use(port, gateway_pid)),
            ("heard", _hearing(one, is_listening=is_listening)),
        ]
        lines += [f"  {name:<7} {text}" for name, text in rows if text]
    sources = [f"  - {flow(source)}" for one in told if (source := _source(one)) is not None]
    if sources:
        lines += ["", "into fieldgate.yaml, with names of your choice:", "", "sources:", *sources]
    return "\n".join(lines)


def _use(port: SerialPort, gateway_pid: int | None) -> str:
    if port.is_console:
        return "the system's console: not opened"
    if port.user_pid is None:
        return ""
    who = "the running gateway" if port.user_pid == gateway_pid else f"process {port.user_pid} ({safe(port.user_name)})"
    return f"{who} has it open: not opened"


def _hearing(one: _Found, *, is_listening: bool) -> str:
    if one.not_heard:
        return f"not listened to: {one.not_heard}"
    if not is_listening or not one.port.is_free:
        return ""
    if one.heard is None:
        return "nothing: it may answer only, or say something more rarely"
    speed = f" at {one.heard.speed.baud} baud, {one.heard.speed.bits}" if _has_speed(one.port) else ""
    what = f"{size(one.heard.size_bytes)}{speed}"
    if not one.heard.guesses:
        return f"{what}: nothing that is known"
    return f"{what}: {safe(one.heard.guesses[0].says)}"


def _source(one: _Found) -> dict[str, Any] | None:
    """What to write for a port that said something that is known."""
    if one.heard is None or not one.heard.guesses:
        return None
    best, speed = one.heard.guesses[0], one.heard.speed
    serial: dict[str, Any] = {"port": one.port.name}
    if _has_speed(one.port):
        serial["baud"] = speed.baud
        if speed.parity != "none":
            serial |= {"bytesize": 7, "parity": speed.parity}
    serial["framing"] = {best.framing: dict(best.options)} if best.options else best.framing
    if best.decoder in _PROFILES:
        serial["profile"] = _PROFILES[best.decoder]
    name = re.sub(r"[^a-z0-9]+", "-", one.port.name.rpartition("/")[2].lower()).strip("-")
    return {"name": name[:40].strip("-") or "port", "serial": serial}


def _as_json(one: _Found, gateway_pid: int | None) -> dict[str, Any]:
    port = asdict(one.port)
    port["is_gateways"] = one.port.user_pid is not None and one.port.user_pid == gateway_pid
    heard = None
    if one.heard is not None:
        heard = {
            "baud": one.heard.speed.baud,
            "bits": one.heard.speed.bits,
            "bytes": one.heard.size_bytes,
            "guesses": [
                {
                    "framing": best.framing,
                    "options": dict(best.options),
                    "frames": best.frames,
                    "share": best.share,
                    "says": best.says,
                    "decoder": best.decoder,
                    "is_sure": best.is_sure,
                }
                for best in one.heard.guesses
            ],
        }
    return {**port, "heard": heard, "not_heard": one.not_heard, "source": _source(one)}
