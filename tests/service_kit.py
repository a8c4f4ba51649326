"""What the tests of an installed service share: its configuration, a broker elsewhere, devices on the machine."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from gateway_kit import Publisher, Upstream, eventually
from machine_kit import Machine
from ports import free_port
from uplink_kit import mosquitto

__all__ = ["CONFIG", "Site", "drop_in", "plug_in_scale", "say", "site_of"]

CONFIG: Final = "/etc/fieldgate/fieldgate.yaml"
_SCALE: Final = """
import os, tty
master, slave = os.openpty()
tty.setraw(slave)
os.chown(os.ttyname(slave), 0, 20)
os.chmod(os.ttyname(slave), 0o660)
os.symlink(os.ttyname(slave), "/dev/ttyUSB-scale")
while True:
    with open("/run/scale", "rb") as said:
        while text := said.read(512):
            while text:
                text = text[os.write(master, text):]
"""


@dataclass
class Site:
    """A gateway on a machine, and a broker outside of it that asks for a password."""

    machine: Machine
    upstream: Upstream
    folder: Path
    port: int
    far: int
    password: str

    @property
    def settings(self) -> dict[str, Any]:
        """What the gateway's configuration is to say, to be added to."""
        url = f"mqtt://{self.machine.outside}:{self.far}"
        login = {"username": "plant-7", "password": "${credential:secret_cloud}"}
        return {"gateway": {"id": "plant-7"}, "uplinks": {"up": {"mqtt": {"url": url, "keep_alive": "2s", **login}}}}

    async def configured(self, **more: Any) -> None:
        """The configuration and its password are there, and the service has been started with them."""
        self.machine.write(CONFIG, json.dumps({**self.settings, **more}, indent=2))
        self.machine.write("/etc/fieldgate/secrets/cloud", self.password + "\n")
        await self.machine.run("systemctl", "restart", "fieldgate.service")

    async def connected(self) -> None:
        await eventually("the uplink is connected", self._is_connected, within_s=60)

    async def _is_connected(self) -> bool:
        status = await self.machine.status()
        return status is not None and status["uplinks"]["up"]["state"] == "connected"

    async def drained(self, *, within_s: float = 60) -> dict[str, Any]:
        """Wait until the uplink has all."""

        async def is_empty() -> dict[str, Any] | None:
            status = await self.machine.status()
            if status is None or status["unsettled_bytes"]:
                return None
            up = status["uplinks"]["up"]
            return status if up["pending"] == 0 and up["in_flight"] == 0 and up["is_counted"] else None

        return dict(await eventually("the uplink is drained", is_empty, within_s=within_s))

    def device(self, name: str, *, total: int = 1_000_000, **more: Any) -> Publisher:
        """A device on the machine itself that has begun to publish."""
        device = Publisher(1883, name=name, total=total, retry_s=0.2, **more)  # type: ignore[arg-type]
        with self.machine.its_network():
            device.start()
        return device

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[None]:
        """The broker is there."""
        passwords = self.folder / "passwords"
        tool = shutil.which("mosquitto_passwd")
        if tool is None:
            pytest.skip("mosquitto_passwd is not installed")
        subprocess.run([tool, "-c", "-b", passwords, "plant-7", self.password], check=True, capture_output=True)
        passwords.chmod(0o600)
        outside = f"listener {self.far} {self.machine.outside}"
        async with mosquitto(
            self.folder, outside, f"password_file {passwords}", "allow_anonymous false",
            "persistence true", f"persistence_location {self.folder}/", port=self.port,
        ):  # fmt: skip
            yield


@asynccontextmanager
async def site_of(machine: Machine, folder: Path) -> AsyncIterator[Site]:
    """The machine with a broker outside, and somebody who notes what arrives there."""
    port, password = free_port(), secrets.token_hex(8)
    upstream = Upstream(port, login=("plant-7", password))
    site = Site(machine, upstream, folder, port, free_port(), password)
    async with site.broker():
        upstream.start()
        try:
            yield site
        finally:
            upstream.close()


async def drop_in(machine: Machine, *lines: str) -> None:
    """What `systemctl edit fieldgate` does; a restart makes it count."""
    await machine.run("mkdir", "-p", "/etc/systemd/system/fieldgate.service.d")
    machine.write("/etc/systemd/system/fieldgate.service.d/test.conf", "\n".join(("[Service]", *lines, "")))
    await machine.run("systemctl", "daemon-reload")


async def plug_in_scale(machine: Machine) -> Path:
    """A device on a serial port of the machine, /dev/ttyUSB-scale; it says what is written into the file returned.

    As on a real machine its port belongs to root and the group dialout.
    """
    await machine.run("mkfifo", "/run/scale")
    await machine.run("systemd-run", "--quiet", "--unit=scale", "/usr/bin/python3", "-c", _SCALE)
    await machine.run("bash", "-c", "until [ -e /dev/ttyUSB-scale ]; do sleep 0.05; done")
    return machine.path("/run/scale")


def say(pipe: Path, text: bytes) -> None:
    """Have the scale say this, once somebody listens."""
    fd = os.open(pipe, os.O_WRONLY)
    try:
        while text:
            text = text[os.write(fd, text) :]
    finally:
        os.close(fd)
