"""Which device a configured port means now: adapters come back under another name.

Looked up at each opening. A path is taken as it is (a link such as /dev/serial/by-id/… leads to the device of the
moment); ``usb:VID:PID[:SERIAL]`` and ``hwgrep://`` are searched for among the ports that the machine has.
"""

from __future__ import annotations

import re
from typing import Final

import serial.tools.list_ports
from serial.urlhandler import protocol_hwgrep

from fieldgate.ingest.serial_problems import PortProblem

__all__ = ["find_port"]

_USB: Final = re.compile(r"usb:([0-9a-f]{4}):([0-9a-f]{4})(?::(.+))?", re.IGNORECASE)


def find_port(port: str) -> str:
    """Return the path of the device, or ``port`` itself if it is a path or a URL of pyserial.

    Raises:
        PortProblem: no such adapter is there, or several are.
    """
    if (usb := _USB.fullmatch(port)) is not None:
        return _find_usb(port, int(usb[1], 16), int(usb[2], 16), usb[3])
    if port.lower().startswith("hwgrep://"):
        return _find_by_pattern(port)
    return port


def _find_usb(port: str, vid: int, pid: int, serial_number: str | None) -> str:
    found = [
        one
        for one in serial.tools.list_ports.comports()
        if (one.vid, one.pid) == (vid, pid) and serial_number in (None, one.serial_number)
    ]
    if not found:
        raise PortProblem(f"{port} is not there: no such adapter is plugged in", kind="absent")
    if len(found) > 1:
        known = ", ".join(f"{one.device} (serial number {one.serial_number or 'none'})" for one in found)
        raise PortProblem(
            f"{port} is not one adapter but {len(found)}: {known}; write usb:VID:PID:SERIAL, or a link of "
            "/dev/serial/by-path, which names the socket",
            kind="refused",
        )
    return str(found[0].device)


def _find_by_pattern(port: str) -> str:
    try:
        return str(protocol_hwgrep.Serial().from_url(port))
    except serial.SerialException:
        raise PortProblem(f"{port} is not there: no port matches", kind="absent") from None
    except (ValueError, re.error) as error:
        raise PortProblem(f"{port} cannot be understood: {error}", kind="refused") from None
