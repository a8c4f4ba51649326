"""The chapter "Install on a Raspberry Pi" of the README, typed word by word on a machine with a booted systemd."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway_kit import Upstream, eventually
from machine_images import CHECKOUT, bare_image, package_files
from machine_kit import Machine, machine_on, needs_machines
from ports import free_port
from readme_kit import chapter, is_shown, sessions
from tls_kit import Authority
from uplink_kit import mosquitto

pytestmark = [pytest.mark.deploy, needs_machines, pytest.mark.timeout(900)]

TITLE = "Install on a Raspberry Pi"
PASSWORD = "s3cret s3cret"
_TYPED_IN = "# type the password, then Enter and Ctrl-D"
_MAY_FAIL = "fieldgate reload"  # after a mistake; what it says is compared
_ASKS = re.compile(r"\bstatus\b")
"""What may be asked again: the reader is slower than a test, and by then an uplink is connected."""


_VARIES = (
    (r"; [^;]* ago$", "; 0 x ago"),
    (r"since [A-Z][a-z]{2} [-0-9]+ [0-9:]+ UTC", "since then"),
    (r"\b[0-9]+:[0-9]{2}:[0-9]{2}\b", "0:00:00"),
    (r"\b[0-9]+(?:\.[0-9]+){3}\b", "192.0.2.1"),
    (r"\b(process|version|epoch) [0-9.]+", r"\1 0"),
    (r"\b[0-9.]+(/s| events/s)", r"0\1"),
    (r"\b[0-9.]+ (?:k?B|m?s|min)\b", "0 x"),
    (r"\b[0-9]+ (file|finding|warning|note)s?\b", r"0 \1s"),
    (r" +", " "),
)


def of_any_day(lines: list[str]) -> list[str]:
    """What stands there on any machine and at any time; what is counted on purpose stays."""
    text = "\n".join(lines)
    for pattern, instead in _VARIES:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text.splitlines()


class Typist:
    """The user ``pi`` of a machine, who goes on where the last line has left him and logs in for each anew."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.failed: list[str] = []

    async def types(self, text: str) -> list[str]:
        """Type it; what was printed. What fails is noted in `failed`."""
        told = PASSWORD + "\n" if _TYPED_IN in text else ""
        line = f'cd "$(cat ~/.where)" && set -e\n{text}\n{{ pwd > ~/.where; }}'
        code, printed = await self._machine.run(
            "runuser", "--login", "pi", "--command", line, stdin=told, is_checked=False, timeout_s=500
        )
        if code:
            self.failed.append(text)
        return printed.splitlines()

    async def sees(self, line: str, shown: list[str]) -> None:
        """Type a line and compare what is printed with what the chapter shows."""
        wanted, printed = of_any_day(shown), [""]

        async def is_there() -> bool:
            nonlocal printed
            printed = await self.types(line)
            return is_shown(wanted, of_any_day(printed))

        end_s = time.monotonic() + (20 if _ASKS.search(line) else 0)
        while not await is_there():
            assert time.monotonic() < end_s, "\n".join([f"$ {line}", *printed, "--- shown:", *shown])


@pytest.fixture
async def pi(tmp_path: Path) -> AsyncIterator[Machine]:
    """A machine as Raspberry Pi OS is after its first start: a user who may use sudo, and a package index."""
    async for machine in machine_on(tmp_path, bare_image(), bind=[f"{package_files()}:/packages"]):
        await machine.says("useradd --create-home --shell /bin/bash --groups sudo,adm pi && echo ~pi > ~pi/.where")
        await machine.says("chown pi: ~pi/.where; printf '127.0.0.1 localhost\\n127.0.1.1 plant-7\\n' >> /etc/hosts")
        machine.write("/etc/sudoers.d/pi", "pi ALL=(ALL) NOPASSWD: ALL\n")
        machine.write("/etc/pip.conf", "[global]\nno-index = true\nfind-links = /packages\n")
        yield machine


@asynccontextmanager
async def broker_example(machine: Machine, folder: Path) -> AsyncIterator[Upstream]:
    """broker.example, as the machine sees it: with a certificate that it trusts, and a password."""
    authority = Authority()
    pem, passwords, port = folder / "broker.pem", folder / "passwords", free_port()
    authority.ca.issue_cert("broker.example").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.write_ca(machine.path("/usr/local/share/ca-certificates/example.crt"))
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "plant-7", PASSWORD], check=True, capture_output=True)
    passwords.chmod(0o600)
    await machine.says(f"update-ca-certificates && echo {machine.outside} broker.example >> /etc/hosts")
    outside = f"listener 8883 {machine.outside}\ncertfile {pem}\nkeyfile {pem}"
    upstream = Upstream(port, login=("plant-7", PASSWORD))
    async with mosquitto(folder, f"password_file {passwords}", "allow_anonymous false", outside, port=port):
        upstream.start()
        try:
            yield upstream
        finally:
            upstream.close()


def take_it_there(machine: Machine, typed: str, folder: Path) -> None:
    """What is typed on the computer with the repository; its network is this file system."""
    pack, copy = typed.splitlines()
    assert copy == "scp fieldgate.tar.gz pi@plant-7.local:"
    packed = folder / "fieldgate.tar.gz"
    subprocess.run(pack.replace(packed.name, str(packed)), shell=True, cwd=CHECKOUT, check=True)
    machine.path("/home/pi/fieldgate.tar.gz").write_bytes(packed.read_bytes())


async def test_the_chapter_is_true_word_by_word(pi: Machine, tmp_path: Path) -> None:
    """An installer has this page, a Pi, and nobody to ask."""
    (_, at_home), *there = chapter(TITLE)
    before = await pi.says("ls -d /etc/fieldgate /opt/fieldgate /var/lib/fieldgate", is_checked=False)
    typist = Typist(pi)
    async with broker_example(pi, tmp_path) as upstream:
        take_it_there(pi, at_home, tmp_path)

        for kind, text in there:
            if kind == "console":
                for line, shown in sessions(text):
                    await typist.sees(line, shown)
            elif "--uninstall" in text:
                await eventually("all of it is upstream", lambda: len(values(upstream)) == 2)
                await typist.types(text)
            else:
                assert kind == "sh", kind
                printed = await typist.types(text)
                assert text not in typist.failed, "\n".join(printed)

    assert typist.failed == [_MAY_FAIL]
    assert values(upstream) == [("fieldgate.generic", 21.5), ("fieldgate.boiler", 85.0)]
    assert [one["data"]["text"] for one in upstream.arrived if one["type"] == "fieldgate.alert"] == ["a is at 85 °C"]
    after = await pi.says("ls -d /etc/fieldgate /opt/fieldgate /var/lib/fieldgate", is_checked=False)
    assert after == before  # three complaints that there is no such thing


def values(upstream: Upstream) -> list[tuple[str, float]]:
    """What boilers said, as it arrived upstream."""
    return [
        (one["type"], one["data"]["temperature"])
        for one in list(upstream.arrived)
        if one["type"] in ("fieldgate.generic", "fieldgate.boiler")
    ]


def test_what_a_chapter_shows_and_does_not_happen_is_noticed() -> None:
    """The mutant: an uplink that is not connected, a rule that has not fired, an error, another alert."""
    printed = [
        "uplink   cloud   NOT CONNECTED",
        "boiler-hot   fired 0",
        "6 findings: 1 error, 2 notes",
        "    CRITICAL a: hot",
    ]

    for number, shown in enumerate(
        ("uplink   cloud   connected", "boiler-hot   fired 1", "6 findings: 0 errors, 2 notes", "")
    ):
        others = [*printed[:number], shown, *printed[number + 1 :]]
        assert not is_shown(of_any_day(others), of_any_day(printed))
    assert is_shown(of_any_day(["…", "9 findings: 1 error, 1 note", "    CRITICAL…"]), of_any_day(printed))
