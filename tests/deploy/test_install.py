"""deploy/install.sh on a booted machine: what it refuses, what it leaves alone, upgrades, and that it cleans up."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_kit import eventually, oracle
from machine_kit import MODES, Machine, needs_machines
from service_kit import CONFIG, site_of

pytestmark = [pytest.mark.deploy, needs_machines, pytest.mark.timeout(900)]

_INSTALL = "/src/deploy/install.sh"
_OFFLINE = ("--offline", "/wheels")
_NOT_OURS = "proc sys run tmp src wheels dev var/log var/tmp var/lib/systemd var/cache"
_LEFT_OUT = " -o ".join(f"-path /{one}" for one in _NOT_OURS.split())
_EVERYTHING = f"find / -xdev \\( {_LEFT_OUT} \\) -prune -o -print | sort"
_OTHER_SYSTEM = "unshare -m sh -c 'mount --bind /tmp/fedora /etc/os-release && {install}'"
_SMALL_DISK = "unshare -m sh -c 'mkdir -p {opt} && mount -t tmpfs -o size=20m none {opt} && {install} {offline}'"
_REFUSALS = {
    "runuser -u nobody -- {install}": "as root",
    "{install} --upgrade --uninstall": "exclude each other",
    "{install} --purge": "goes with --uninstall",
    "{install} --offline /nowhere": "there is no folder /nowhere",
    "{install} --offline /etc": "has no fieldgate-",
    "PYTHON=/no/python {install} --offline /wheels": "there is no /no/python",
    "PYTHON=/tmp/old/python3 {install} --offline /wheels": "Python 3.8.0; Python 3.11 or newer is needed",
    _OTHER_SYSTEM: "this is Fedora Linux 40; Debian 12",
    "PATH=/tmp/armhf:$PATH {install}": "this system is armhf",
    _SMALL_DISK: "20 MB of room and 300 MB are needed",
}


async def test_what_cannot_work_is_refused_with_the_reason_and_nothing_is_changed(bare: Machine) -> None:
    """An installer on a roof has no time to find out by himself."""
    for folder, name, text in (
        ("old", "python3", '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.0\nexit 1\n'),
        ("armhf", "dpkg", "#!/bin/sh\necho armhf\n"),
    ):
        await bare.run("mkdir", f"/tmp/{folder}")
        bare.write(f"/tmp/{folder}/{name}", text)
        await bare.run("chmod", "755", f"/tmp/{folder}/{name}")
    bare.write("/tmp/fedora", 'ID=fedora\nVERSION_ID=40\nPRETTY_NAME="Fedora Linux 40"\n')
    before = await bare.says(_EVERYTHING)

    for line, reason in _REFUSALS.items():
        typed = (
            line.replace("{install}", _INSTALL)
            .replace("{opt}", "/opt/fieldgate")
            .replace("{offline}", " ".join(_OFFLINE))
        )
        code, said = await bare.run("bash", "-c", typed, is_checked=False)
        assert code != 0, line
        assert reason in said, line
        assert "Traceback" not in said

    after = await bare.says(_EVERYTHING)
    assert set(after.split()) - set(before.split()) <= {"/opt/fieldgate"}


async def test_it_may_be_run_again_and_never_writes_over_what_a_person_has_changed(installed: Machine) -> None:
    """People run installers again when in doubt, and have put days of work into the files."""
    changed = installed.path(CONFIG).read_text() + "# mine\n"
    installed.write(CONFIG, changed)
    await installed.run("rm", "/etc/fieldgate/rules.d/sample.yaml")
    before = await installed.shows("MainPID")

    said = (await installed.run(_INSTALL, *_OFFLINE))[1]

    assert "is installed and stays" in said
    assert await installed.shows("MainPID") == before  # nobody was disconnected
    assert installed.path(CONFIG).read_text() == changed
    assert not installed.path("/etc/fieldgate/rules.d/sample.yaml").exists()

    # the next version brings another sample, another unit and a file that nobody has touched
    await installed.run("cp", "-r", "/src/deploy", "/tmp/deploy")
    for name in ("fieldgate.service", "config/rules.schema.json"):
        await installed.says(f"echo ' ' >> /tmp/deploy/{name}")
    await installed.says("echo '# mine' >> /etc/systemd/system/fieldgate.service")
    said = (await installed.run("/tmp/deploy/install.sh", *_OFFLINE))[1]

    assert "/etc/systemd/system/fieldgate.service.new" in said
    assert installed.path("/etc/systemd/system/fieldgate.service").read_text().endswith("# mine\n")
    assert installed.path("/etc/systemd/system/fieldgate.service.new").read_text().endswith(" \n")
    assert installed.path("/etc/fieldgate/rules.schema.json").read_text().endswith(" \n")
    assert not installed.path("/etc/fieldgate/rules.schema.json.new").exists()


async def test_who_may_read_and_write_what(installed: Machine) -> None:
    """Secrets are for root, rules for those who edit them, events for the gateway."""
    assert await installed.modes() >= MODES
    assert await installed.says("find /opt/fieldgate ! -user root -o -perm /022 ! -type l") == ""
    await installed.run(
        "fieldgate", "user", "add", "pump", "--file", "/etc/fieldgate/users", "--stdin", stdin="s3cret s3cret\n"
    )
    assert (await installed.says("stat -c '%a %G' /etc/fieldgate/users")).strip() == "640 fieldgate"


async def test_an_upgrade_with_a_backlog_loses_nothing(installed: Machine, tmp_path: Path) -> None:
    """The way up is cut, events wait on disk, and somebody brings the gateway up to date: all of it arrives."""
    async with site_of(installed, tmp_path) as site:
        await site.configured(journal={"durability": "journal"})
        await site.connected()
        before = await installed.says("readlink /opt/fieldgate/current")
        with installed.cut_off():
            device = site.device("pump", total=3000)
            await device.finished(within_s=60)
            assert len(site.upstream.arrived) < 3000

            said = (await installed.run(_INSTALL, "--upgrade", *_OFFLINE, timeout_s=400))[1]

            assert "Fieldgate runs" in said
            assert await installed.says("readlink /opt/fieldgate/current") != before
        await site.drained()
        device.close()
        await eventually("everything is there", lambda: not site.upstream.missing([device]))
        oracle(site.upstream, [device])


async def test_a_version_that_does_not_start_leaves_the_old_one_running(
    installed: Machine, tmp_path: Path, offline: Path
) -> None:
    """A bad release must cost a message, not a plant."""
    broken = installed.path("/var/tmp/broken")
    await installed.run("cp", "-r", "/wheels", "/var/tmp/broken")
    wheel = next(broken.glob("fieldgate-*.whl"))
    await installed.says(
        f"cd /var/tmp && python3 -m zipfile -e broken/{wheel.name} x && "
        "echo 'async def supervise(*_, **__): raise OSError(\"no good\")' >> x/fieldgate/supervisor.py && "
        f"cd x && rm ../broken/{wheel.name} && python3 -m zipfile -c ../broken/{wheel.name} *"
    )
    before = await installed.says("readlink /opt/fieldgate/current")

    code, said = await installed.run(
        _INSTALL, "--upgrade", "--offline", "/var/tmp/broken", is_checked=False, timeout_s=400
    )

    assert code == 1
    assert "no good" in said
    assert "the old one runs again" in said
    assert await installed.says("readlink /opt/fieldgate/current") == before
    assert await installed.shows("ActiveState") == "active"
    assert (await installed.says("ls /opt/fieldgate/releases | wc -l")).strip() == "1"


async def test_a_configuration_that_the_new_version_cannot_use_stops_the_upgrade(installed: Machine) -> None:
    """It is found before anything is changed: the gateway that runs does not even notice."""
    before = await installed.shows("MainPID")
    text = installed.path(CONFIG).read_text()
    installed.write(CONFIG, text + "nonsense: true\n")

    code, said = await installed.run(_INSTALL, "--upgrade", *_OFFLINE, is_checked=False, timeout_s=400)

    assert code == 1
    assert "nonsense" in said
    assert "nothing was changed" in said
    assert await installed.shows("MainPID") == before


async def test_uninstall_keeps_what_is_the_owners_and_purge_leaves_nothing(bare: Machine) -> None:
    """A machine that is given away must not carry passwords and events; one that is only cleaned up must keep them."""
    before = await bare.says(_EVERYTHING)
    accounts = await bare.says("cat /etc/passwd /etc/group")
    await bare.run(_INSTALL, *_OFFLINE, timeout_s=400)

    await bare.run(_INSTALL, "--uninstall")
    assert bare.path(CONFIG).exists()
    assert bare.path("/var/lib/fieldgate").is_dir()
    assert not bare.path("/usr/local/bin/fieldgate").is_symlink()
    assert await bare.shows("LoadState") == "not-found"

    await bare.run(_INSTALL, "--uninstall", "--purge")
    assert set((await bare.says(_EVERYTHING)).split()) - set(before.split()) == set()
    assert sorted(accounts.split()) == sorted((await bare.says("cat /etc/passwd /etc/group")).split())
    await bare.run(_INSTALL, "--uninstall", "--purge")  # nothing to do is no failure
