"""What only several keys of a serial source, or the machine, can say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldgate.config.finding import Finding
from fieldgate.config.model import Config
from fieldgate.config.serial import SerialSourceConfig
from fieldgate_devices.files.document import Document, Loc, Problem
from fieldgate_devices.framing.spec import read_framing

__all__ = ["framing_problems", "serial_errors", "serial_warnings"]

_BY_ID: Final = Path("/dev/serial/by-id")
_UNSTABLE: Final = re.compile(r"/dev/(ttyUSB|ttyACM|cu\.usb|tty\.usb).*")


def serial_errors(config: Config) -> Iterator[Finding]:
    """Everything about serial ports that cannot work; a port that a Modbus bus reads has its reader, too."""
    seen: dict[str, Loc] = {}
    for here, port in _ports(config):
        place = _device(port)
        if place in seen:
            message = f"port: {port!r} is read by sources[{seen[place][1]}] already; a port has one reader"
            yield Finding(here, message, (here, seen[place]))
        seen.setdefault(place, here)
    for number, source in enumerate(config.sources):
        if source.serial is not None:
            yield from _without_meaning(("sources", number, "serial"), source.serial)
        elif source.modbus is not None and source.modbus.port is not None:
            yield from _without_meaning(("sources", number, "modbus"), source.modbus.serial)


def framing_problems(config: Config, document: Document, broken: frozenset[Loc]) -> Iterator[Problem]:
    """What is wrong with the options of framings, which each framing declares for itself."""
    for number, source in enumerate(config.sources):
        loc: Loc = ("sources", number, "serial", "framing")
        if source.serial is not None and not Finding(loc, "").rests_on(broken):
            yield from read_framing(source.serial.framing, loc, document)[1]


def serial_warnings(config: Config) -> Iterator[Finding]:
    """Everything that works and may surprise."""
    for loc, port in _ports(config):
        if _UNSTABLE.fullmatch(port):
            stable = _stable_name(port)
            what = f"write {stable!r}" if stable else "write its link of /dev/serial/by-id, or usb:VID:PID:SERIAL"
            yield Finding(loc, f"port: {port!r} may be another device after it was plugged in again; {what}")
        if port.startswith("/") and Path(port).is_file():
            yield Finding(loc, f"port: {port!r} is a plain file, no serial port")


def _ports(config: Config) -> Iterator[tuple[Loc, str]]:
    """The ports of this machine that sources read, whatever they speak, and where each is written."""
    for number, source in enumerate(config.sources):
        if source.serial is not None:
            yield ("sources", number, "serial", "port"), source.serial.port
        elif source.modbus is not None and source.modbus.port is not None:
            yield ("sources", number, "modbus", "port"), source.modbus.port


def _without_meaning(loc: Loc, serial: SerialSourceConfig) -> Iterator[Finding]:
    if serial.device is not None and serial.profile is None:
        message = "device: has a meaning with 'profile' only; a profile with match: {serial: NAME} names its devices"
        yield Finding((*loc, "device"), message, ((*loc, "device"), (*loc, "profile")))
    if serial.rs485 is not None and "://" in serial.port:
        message = f"rs485: has no meaning for {serial.port!r}; the far end switches its own driver"
        yield Finding((*loc, "rs485"), message, ((*loc, "rs485"), (*loc, "port")))
    if serial.port.startswith("socket://"):
        for key in ("baud", "bytesize", "parity", "stopbits", "flow_control", "dtr", "rts"):
            if key in serial.model_fields_set:
                message = f"{key}: has no meaning for socket://, where the far end sets the port; rfc2217:// tells it"
                yield Finding((*loc, key), message, ((*loc, key), (*loc, "port")))
    for key in ("dtr", "rts"):
        if getattr(serial, key) == "leave" and "://" in serial.port and not serial.port.startswith("hwgrep://"):
            message = f"{key}: 'leave' has a meaning for devices of this machine only; allowed: on, off"
            yield Finding((*loc, key), message, ((*loc, key), (*loc, "port")))


def _device(port: str) -> str:
    """What two ways to write the same port have in common, as far as it can be seen now."""
    if not port.startswith("/"):
        return port.lower()
    try:
        return str(Path(port).resolve())
    except (OSError, RuntimeError):
        return port


def _stable_name(port: str) -> str:
    """The link that leads to this device whatever the kernel calls it, if there is one."""
    try:
        return next((str(link) for link in sorted(_BY_ID.iterdir()) if link.resolve() == Path(port).resolve()), "")
    except OSError:
        return ""
