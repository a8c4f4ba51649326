"""Whether each configured serial port is there, may be opened by the gateway, and is used by nobody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldgate.config.model import Config
from fieldgate.doctor.finding import Finding
from fieldgate.doctor.users import GatewayUser, group_name
from fieldgate.ingest.serial_problems import PortProblem

__all__ = ["serial_findings"]

_URL: Final = "://"


def serial_findings(config: Config, *, user: GatewayUser, gateway_pid: int | None) -> Iterator[Finding]:
    """Look at each port; opens none. ``gateway_pid``: the running gateway, which may of course have it open."""
    for source in config.sources:
        port = source.serial.port if source.serial is not None else source.modbus.port if source.modbus else None
        if port is None:
            continue
        if _URL in port and not port.lower().startswith("hwgrep://"):
            yield Finding("serial.not_local", f"{port} is no port of this machine", about=source.name)
        else:
            yield _port(source.name, port, user, gateway_pid)


def _port(source: str, port: str, user: GatewayUser, gateway_pid: int | None) -> Finding:
    from fieldgate.ingest.port_list import named_port  # pyserial is a megabyte that few need
    from fieldgate.ingest.serial_place import find_port

    try:
        device = find_port(port)
    except PortProblem as problem:
        known = _known_ports()
        return Finding("serial.missing", str(problem), f"plug it in; {known}", about=source, figures={"port": port})
    named = port if device == port else f"{port} ({device})"
    figures = {"port": port, "device": os.path.realpath(device)}
    known_port = named_port(device)
    path = Path(device)
    if not path.exists():
        return Finding("serial.missing", f"{named} is not there", f"plug it in; {_known_ports()}", source, figures)
    if not path.is_char_device():
        return Finding("serial.not_a_port", f"{named} is no serial port", _known_ports(), source, figures)
    if not user.may_use(path):
        return _denied(source, named, path, user, figures)
    if known_port.is_console:
        return Finding(
            "serial.console",
            f"{named} is the console of this machine: the system talks there, and takes what it hears for a log-in",
            "take console=… out of /boot/firmware/cmdline.txt (raspi-config: no log-in shell), and restart",
            source,
            figures,
        )
    if known_port.user_pid is not None and known_port.user_pid != gateway_pid:
        who = f"process {known_port.user_pid}" + (f" ({known_port.user_name})" if known_port.user_name else "")
        return Finding(
            "serial.in_use",
            f"{named} is open in {who}: two that read one port get half of it each",
            f"end it: kill {known_port.user_pid}; ModemManager and brltty take adapters unasked and can be removed",
            source,
            {**figures, "pid": known_port.user_pid, "program": known_port.user_name or None},
        )
    held = " by the gateway" if known_port.user_pid is not None else ""
    state = f"open{held}" if held else "free"
    return Finding("serial.usable", f"{named} is there, {user.name} may use it, and it is {state}", "", source, figures)


def _denied(source: str, named: str, path: Path, user: GatewayUser, figures: dict[str, str]) -> Finding:
    status = path.stat()
    group = group_name(status.st_gid)
    for_group = status.st_mode & 0o060 == 0o060 and status.st_gid != 0
    advice = (
        f"sudo usermod -aG {group} {user.name}, then restart the gateway"
        if for_group
        else f'a udev rule must hand it to a group: GROUP="dialout", MODE="0660"; now it is for {group} alone'
    )
    return Finding(
        "serial.denied",
        f"{named} is not for {user.name}" + (f", who is not in group {group}" if for_group else ""),
        advice,
        source,
        {**figures, "group": group, "user": user.name},
    )


def _known_ports() -> str:
    from fieldgate.ingest.port_list import find_ports

    names = [port.name for port in find_ports() if port.usb] or [port.name for port in find_ports()]
    if not names:
        return "this machine has no serial port at all"
    return f"there are: {', '.join(names[:5])} ('fieldgate ports' shows all)"
