"""The Debian package on a booted machine: a service at once, upgrades that lose nothing, and what it leaves behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway_kit import eventually, oracle
from machine_kit import MODES, Machine, bare_image, machine_on, needs_machines
from package_kit import later_version
from service_kit import CONFIG, site_of

pytestmark = [pytest.mark.deploy, needs_machines, pytest.mark.timeout(1500)]

_SAMPLE = "/etc/fieldgate/rules.d/sample.yaml"
_SCHEMA = "/etc/fieldgate/rules.schema.json"
_APT = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y "
_KEEP = "-o Dpkg::Options::=--force-confold "
_NOT_OURS = "proc sys run tmp src wheels debs dev var/log var/tmp var/lib/systemd var/lib/dpkg var/lib/apt var/cache"
_LEFT_OUT = " -o ".join(f"-path /{one}" for one in _NOT_OURS.split())
_EVERYTHING = f"find / -xdev \\( {_LEFT_OUT} \\) -prune -o -print | sort"


@pytest.fixture(scope="module")
def debs(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, as fieldgate.deb, and the version after it, as later.deb."""
    folder = tmp_path_factory.mktemp("debs")
    (folder / "fieldgate.deb").symlink_to("first.deb")
    (folder / "first.deb").write_bytes(package.read_bytes())
    later_version(package, folder).rename(folder / "later.deb")
    return folder


async def _install(machine: Machine, name: str = "fieldgate", *, options: str = "", is_checked: bool = True) -> str:
    line = f"{_APT}{options}--no-install-recommends install /debs/{name}.deb </dev/null"
    code, said = await machine.run("bash", "-c", line, is_checked=is_checked, timeout_s=400)
    assert is_checked or code != 0, said
    return said


@pytest.fixture
async def clean(tmp_path: Path, debs: Path) -> AsyncIterator[Machine]:
    """A machine that has never heard of Fieldgate; the packages are in /debs."""
    async for machine in machine_on(tmp_path, bare_image(), bind=[f"{debs}:/debs"]):
        yield machine


@pytest.fixture
async def packaged(clean: Machine) -> Machine:
    """A machine on which the package was installed a moment ago."""
    await _install(clean)
    return clean


async def test_it_is_a_service_at_once_and_after_the_next_boot(packaged: Machine, tmp_path: Path) -> None:
    """One command; from then on nobody needs to come by."""
    assert await packaged.shows("ActiveState") == "active"
    assert (await packaged.shows("FragmentPath")).endswith("/lib/systemd/system/fieldgate.service")
    assert await packaged.shows("UnitFileState") == "enabled"
    assert await packaged.modes() >= MODES
    assert (await packaged.says("id -nG fieldgate")).split() == ["fieldgate", "dialout", "fieldgate-rules"]
    assert "id: plant-7" in packaged.path(CONFIG).read_text()

    await packaged.reboot()

    async with site_of(packaged, tmp_path) as site:
        assert await packaged.shows("ActiveState") == "active"
        await site.configured()
        await site.connected()
        device = site.device("pump", total=200)
        await device.finished(within_s=60)
        await site.drained()
        device.close()
        await eventually("everything is there", lambda: not site.upstream.missing([device]))
        oracle(site.upstream, [device])
        assert await packaged.shows("NRestarts") == "0"


async def test_an_upgrade_with_a_backlog_loses_nothing_and_leaves_changed_settings_alone(
    packaged: Machine, tmp_path: Path
) -> None:
    """The way up is cut, events wait on disk, and the machine updates itself by night."""
    packaged.write(_SAMPLE, "# mine\n")
    async with site_of(packaged, tmp_path) as site:
        await site.configured(journal={"durability": "journal"})
        await site.connected()
        settings = packaged.path(CONFIG).read_text()
        before = await packaged.shows("MainPID")
        with packaged.cut_off():
            device = site.device("pump", total=3000)
            await device.finished(within_s=60)
            assert len(site.upstream.arrived) < 3000

            await _install(packaged, "later", options=_KEEP)

            assert await packaged.shows("ActiveState") == "active"
            assert await packaged.shows("MainPID") != before
        assert "0.1.1" in await packaged.says("dpkg-query -W fieldgate")
        await site.drained()
        device.close()
        await eventually("everything is there", lambda: not site.upstream.missing([device]))
        oracle(site.upstream, [device])
    assert packaged.path(CONFIG).read_text() == settings
    assert packaged.path(_SAMPLE).read_text() == "# mine\n"
    assert (await packaged.says(f"stat -c '%a %G' {_SAMPLE}")).strip() == "664 fieldgate-rules"
    assert packaged.path(_SCHEMA).read_text().endswith("\n\n")  # nobody had changed it: the new one
    assert packaged.path(f"{_SAMPLE}.dpkg-dist").exists()


async def test_a_configuration_that_the_new_version_cannot_use_fails_the_upgrade_and_the_gateway_runs_on(
    packaged: Machine,
) -> None:
    """A plant that goes on with what it has, and a package manager that says what is to be mended."""
    before = await packaged.shows("MainPID")
    text = packaged.path(CONFIG).read_text()
    packaged.write(CONFIG, text + "nonsense: true\n")

    said = await _install(packaged, "later", is_checked=False)

    assert "nonsense" in said
    assert "sudo dpkg --configure -a" in said
    assert await packaged.shows("MainPID") == before
    packaged.write(CONFIG, text)
    await packaged.run("dpkg", "--configure", "-a")
    assert await packaged.shows("ActiveState") == "active"
    assert await packaged.shows("MainPID") not in (before, "0")


async def test_removed_it_keeps_what_is_the_owners_and_purged_it_leaves_nothing(clean: Machine) -> None:
    """A machine that is given away must not carry passwords and events; one that is only cleaned up must keep them."""
    before = await clean.says(_EVERYTHING)
    accounts = await clean.says("cat /etc/passwd /etc/group")
    await _install(clean)
    clean.write(_SAMPLE, "# mine\n")

    await clean.says(_APT + "remove fieldgate")
    assert clean.path(CONFIG).exists()
    assert clean.path(_SAMPLE).read_text() == "# mine\n"
    assert clean.path("/var/lib/fieldgate/journal-000001.db").exists()
    assert not clean.path("/usr/lib/fieldgate").exists()
    assert await clean.shows("ActiveState") == "inactive"

    await _install(clean)  # whoever comes back finds what he left
    assert clean.path(_SAMPLE).read_text() == "# mine\n"
    assert await clean.shows("ActiveState") == "active"

    await clean.says(_APT + "purge fieldgate")
    assert set((await clean.says(_EVERYTHING)).split()) - set(before.split()) == set()
    assert sorted(accounts.split()) == sorted((await clean.says("cat /etc/passwd /etc/group")).split())


async def test_from_the_script_to_the_package_and_back_settings_and_events_go_along(
    tmp_path: Path, by_script: Path, offline: Path, debs: Path
) -> None:
    """Two ways to be installed must not mix; whoever changes is told how."""
    async for machine in machine_on(tmp_path, by_script, bind=[f"{offline}:/wheels", f"{debs}:/debs"]):
        before = await machine.shows("MainPID")
        machine.write(CONFIG, settings := machine.path(CONFIG).read_text() + "# mine\n")

        said = await _install(machine, is_checked=False)

        assert "sudo deploy/install.sh --uninstall" in said
        assert await machine.shows("MainPID") == before

        await machine.run("/src/deploy/install.sh", "--uninstall")
        await _install(machine)  # asks nothing: files that nobody has changed are no question
        assert await machine.shows("ActiveState") == "active"
        assert machine.path(CONFIG).read_text() == settings
        assert not machine.path("/opt/fieldgate").exists()

        _, said = await machine.run("/src/deploy/install.sh", "--offline", "/wheels", is_checked=False)
        assert "the Debian package fieldgate is installed" in said
        await machine.says(_APT + "remove fieldgate")
        await machine.run("/src/deploy/install.sh", "--offline", "/wheels", timeout_s=400)
        await machine.says(_APT + "purge fieldgate")  # of what is left of the package, not of what runs
        assert await machine.shows("ActiveState") == "active"
        assert machine.path(CONFIG).read_text() == settings
        assert await machine.status() is not None
