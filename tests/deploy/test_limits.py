"""What the unit allows, on a machine: how exposed it is, a quarter of a processor, who may ask, a stop in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway_kit import eventually, oracle
from machine_kit import Machine, needs_machines
from service_kit import drop_in, site_of

pytestmark = [pytest.mark.deploy, needs_machines, pytest.mark.timeout(600)]

Figure = Callable[[str], None]


async def test_systemd_calls_the_running_service_well_fenced(installed: Machine, figure: Figure) -> None:
    """The score of the unit as it is loaded, with all that the installer has put beside it; mosquitto's is 9.6."""

    async def exposure() -> float:
        said = await installed.says("systemd-analyze security --no-pager fieldgate.service | tail -n 1")
        return float(said.partition(": ")[2].split()[0])

    score = await exposure()
    figure(f"exposure {score}")
    assert score <= 2.0

    await drop_in(installed, "SystemCallFilter=", "CapabilityBoundingSet=~")  # the mutant: the fence is down
    assert await exposure() > 2.0


async def test_a_quarter_of_a_processor_keeps_the_promises(installed: Machine, tmp_path: Path, figure: Figure) -> None:
    """A gateway shares its machine: what it cannot do at once it does later, and acknowledges later."""
    async with site_of(installed, tmp_path) as site:
        await drop_in(installed, "CPUQuota=25%")
        await site.configured()
        await site.connected()
        pid = await installed.shows("MainPID")
        before, begun = _used_s(installed, pid), time.monotonic()

        devices = [site.device(f"pump-{number}", total=4000, window=500) for number in range(3)]
        for device in devices:
            await device.finished(within_s=300)
        took_s = time.monotonic() - begun
        used = (_used_s(installed, pid) - before) / took_s

        await site.drained(within_s=120)
        await eventually("everything is there", lambda: not site.upstream.missing(devices))
        for device in devices:
            device.close()
        oracle(site.upstream, devices)
        assert await installed.shows("NRestarts") == "0"
        assert used < 0.35
        said = await installed.says("grep -h nr_throttled $(find /sys/fs/cgroup -path '*fieldgate.service/cpu.stat')")
        throttled = sum(int(line.split()[1]) for line in said.splitlines())
        figure(
            f"CPUQuota=25%: {12000 / took_s:.0f} events/s acknowledged, {used:.0%} used, throttled {throttled} times"
        )
        assert throttled > 0


def _used_s(machine: Machine, pid: str) -> float:
    """Seconds of processor that it has had."""
    ticks = machine.path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / 100


async def test_memory_under_load_stays_within_the_unit_s_limit(
    installed: Machine, tmp_path: Path, figure: Figure
) -> None:
    """The limit is hard: systemd's answer to more is SIGKILL. A backlog and a reload are when most is needed."""
    async with site_of(installed, tmp_path) as site:
        await site.configured()
        await site.connected()
        pid = await installed.shows("MainPID")
        with installed.cut_off():
            devices = [site.device(f"pump-{number}", total=4000, window=200, noise_bytes=200) for number in range(3)]
            for device in devices:
                await device.finished(within_s=200)
                await installed.run("systemctl", "reload", "fieldgate.service")
        await site.connected()
        await site.drained(within_s=120)
        await eventually("everything is there", lambda: not site.upstream.missing(devices))
        for device in devices:
            device.close()

        status = installed.path(f"/proc/{pid}/status").read_text()
        most_kb = int(status.partition("VmHWM:")[2].split()[0])
        figure(f"most RSS under load, with a backlog and reloads: {most_kb} kB of MemoryMax {128 << 10} kB")
        assert await installed.shows("MainPID") == pid
        assert await installed.shows("NRestarts") == "0"
        oracle(site.upstream, devices)


async def test_a_stop_during_a_drain_is_within_its_deadline_and_loses_nothing(
    installed: Machine, tmp_path: Path, figure: Figure
) -> None:
    """A shutdown after a long outage: systemd would kill what takes longer than TimeoutStopSec."""
    async with site_of(installed, tmp_path) as site:
        await site.configured()
        await site.connected()
        with installed.cut_off():
            device = site.device("pump", total=6000, window=400)
            await device.finished(within_s=120)
        await eventually("it drains", lambda: len(site.upstream.arrived) > 100, within_s=60)

        begun = time.monotonic()
        await installed.run("systemctl", "stop", "fieldgate.service")
        took_s = time.monotonic() - begun

        arrived = len(site.upstream.events())
        figure(f"stop after {arrived} of 6000 events of a drain: {took_s:.1f} s")
        assert await installed.shows("Result") == "success"  # it is "timeout" where systemd had to kill it
        assert took_s < 20
        assert arrived < 6000, "the drain was over before the stop: this shows nothing"
        await installed.run("systemctl", "start", "fieldgate.service")
        await site.connected()
        await site.drained()
        device.close()
        await eventually("everything is there", lambda: not site.upstream.missing([device]))
        oracle(site.upstream, [device])


async def test_a_credential_is_read_by_the_service_alone_and_shown_nowhere(installed: Machine, tmp_path: Path) -> None:
    """A secret is a file of root's. The mutant: another password in that file, and the broker lets nobody in."""
    async with site_of(installed, tmp_path) as site:
        await site.configured()
        await site.connected()
        given = "/run/credentials/fieldgate.service/secret_cloud"
        code, _ = await installed.run("runuser", "-u", "nobody", "--", "cat", given, is_checked=False)
        assert code != 0
        pid = await installed.shows("MainPID")
        for told in ("systemctl show fieldgate", "journalctl --no-pager", "fieldgate status --json",
                     f"tr '\\0' '\\n' < /proc/{pid}/environ"):  # fmt: skip
            said = await installed.says(told)
            assert said
            assert site.password not in said

        installed.write("/etc/fieldgate/secrets/cloud", "another\n")
        await installed.run("systemctl", "restart", "fieldgate.service")

        async def is_refused() -> bool:
            return "does not authorise" in await installed.says("systemctl status fieldgate", is_checked=False)

        await eventually("the broker refuses", is_refused, within_s=60)


async def test_root_and_members_of_the_service_s_group_may_ask_and_nobody_else(installed: Machine) -> None:
    """An operator needs no root to see how it is; who is nobody here learns nothing."""
    await installed.run("useradd", "--groups", "fieldgate", "ann")
    await installed.run("useradd", "bob")
    assert (await installed.says("stat -c '%a %U:%G' /run/fieldgate/control.sock")).strip() == "660 fieldgate:fieldgate"

    for command in (["fieldgate", "status"], ["fieldgate", "reload"], ["fieldgate", "rules", "status"]):
        await installed.run(*command)
        await installed.run("runuser", "-u", "ann", "--", *command)
        code, said = await installed.run("runuser", "-u", "bob", "--", *command, is_checked=False)
        assert code != 0
        assert "ermission denied" in said
        assert "Traceback" not in said


async def test_a_user_s_own_gateway_beside_the_service_has_its_own_socket(installed: Machine) -> None:
    """Somebody tries something on the machine of the plant: neither is taken for the other."""
    await installed.run("useradd", "--create-home", "bob")
    own = "gateway: {id: of-bob}\nlisten: [{mqtt: '127.0.0.1:1999'}]\n"
    await installed.run("runuser", "-u", "bob", "--", "tee", "/home/bob/fieldgate.yaml", stdin=own)
    await installed.run("systemd-run", "--quiet", "--uid=bob", "--unit=of-bob", "-p", "WorkingDirectory=/home/bob",
                        "-E", "HOME=/home/bob", "fieldgate", "run")  # fmt: skip
    asks = "cd /home/bob && runuser -u bob -- env HOME=/home/bob fieldgate status --json"

    async def answers() -> bool:
        return "of-bob" in await installed.says(asks, is_checked=False)

    await eventually("his own answers", answers, within_s=60)
    assert await installed.says("find /home/bob -name control.sock") != ""
    assert "of-bob" not in await installed.says("cd / && fieldgate status --json")
