"""Which serial ports this machine has, what they are called, who may use them and who does. Opens none of them."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serial.tools import list_ports

from fieldgate.ingest.serial_problems import lock_holder, this_user

__all__ = ["SerialPort", "find_ports", "named_port"]

_NAMES: Final = Path("/dev/serial")
_SYSTEM: Final = Path("/sys/class/tty")
_LAYERS: Final = frozenset({"port", "ctrl"})  # of the kernel's serial core, between a port and its driver


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A port: ``name`` is the one to write into a configuration, ``device`` what it leads to now.

    ``problem`` says why it cannot be used by this user; ``user_pid`` and ``user_name`` who has it open.
    """

    name: str
    device: str
    by_id: str = ""
    by_path: str = ""
    usb: str = ""
    product: str = ""
    driver: str = ""
    problem: str = ""
    is_console: bool = False
    user_pid: int | None = None
    user_name: str = ""

    @property
    def is_free(self) -> bool:
        """Whether it may be opened to listen."""
        return not self.problem and not self.is_console and self.user_pid is None


def find_ports() -> list[SerialPort]:
    """Return the ports that the system knows, USB adapters first."""
    links = {name: dict(_links(name)) for name in ("by-id", "by-path")}
    found = []
    for one in list_ports.comports():
        device = str(one.device)
        by_id, by_path = links["by-id"].get(device, ""), links["by-path"].get(device, "")
        usb = product = ""
        if one.vid is not None and one.pid is not None:
            usb = f"usb:{one.vid:04x}:{one.pid:04x}" + (f":{one.serial_number}" if one.serial_number else "")
            product = " ".join(text for text in (one.manufacturer, one.product or one.description) if text)
        found.append(_port(by_id or by_path or device, device, by_id, by_path, usb, product))
    return sorted(found, key=lambda port: (not port.usb, port.name))


def named_port(name: str) -> SerialPort:
    """Return the port that a person named: a device, a link to one, or a pty."""
    device = os.path.realpath(name)
    known = next((port for port in find_ports() if port.device == device), None)
    if known is not None:
        return known
    return _port(name, device, "", "", "", "")


def _port(name: str, device: str, by_id: str, by_path: str, usb: str, product: str) -> SerialPort:
    pid, user = next(_users(device), (None, ""))
    return SerialPort(
        name=name,
        device=device,
        by_id=by_id,
        by_path=by_path,
        usb=usb,
        product=product,
        driver=_driver(device),
        problem=_problem(name, device),
        is_console=_is_console(device),
        user_pid=pid,
        user_name=user,
    )


def _links(kind: str) -> Iterator[tuple[str, str]]:
    """Device and link of each name that stays."""
    with suppress(OSError):
        for link in sorted((_NAMES / kind).iterdir()):
            yield os.path.realpath(link), str(link)


def _driver(device: str) -> str:
    if device.startswith("/dev/pts/"):
        return "pty"
    folder = Path(os.path.realpath(_SYSTEM / Path(device).name / "device"))
    with suppress(OSError):
        while (name := (folder / "driver").readlink().name) in _LAYERS:
            folder = folder.parent
        return name
    return ""


def _problem(name: str, device: str) -> str:
    try:
        about = Path(device).stat()
    except FileNotFoundError:
        return f"{name} is not there"
    except OSError as error:
        return f"{name} cannot be looked at: {error.strerror}"
    if not stat.S_ISCHR(about.st_mode):
        return f"{name} is no serial port"
    return "" if os.access(device, os.R_OK | os.W_OK) else _denied(about)


def _denied(about: os.stat_result) -> str:
    """What this user must do to be let in."""
    user = this_user()
    if not about.st_mode & stat.S_IRGRP or about.st_gid == 0:
        return f"not for {user}: only root may use it"
    try:
        group = grp.getgrgid(about.st_gid).gr_name
    except KeyError:
        group = str(about.st_gid)
    return f"not for {user}, who is not in group {group}: sudo usermod -aG {group} {user}, and log in again"


def _is_console(device: str) -> bool:
    """The system itself talks there, and may take what it hears for a log-in."""
    with suppress(OSError):
        return Path(device).name in (_SYSTEM / "console" / "active").read_text(encoding="ascii").split()
    return False


def _users(device: str) -> Iterator[tuple[int, str]]:
    """Process id and name of who has it open, as far as this user may see; else who has it locked."""
    own = os.getpid()
    with suppress(OSError):
        about = Path(device).stat()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(folder.name) != own and _has_open(folder / "fd", about):
                    yield int(folder.name), _name_of(int(folder.name))
    if (holder := lock_holder(device)) is not None:
        yield holder


def _has_open(folder: Path, about: os.stat_result) -> bool:
    return any(
        str(link.readlink()).startswith("/dev/") and os.path.samestat(link.stat(), about) for link in folder.iterdir()
    )


def _name_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""
