"""The Debian package as a file: what is in it, for which machine, and what Debian's own checker says."""

from __future__ import annotations

import shutil
import subprocess
from email import message_from_string
from pathlib import Path

import pytest

from machine_images import CHECKOUT, have_tools
from machine_kit import needs_machines
from package_kit import LIBRARIES, build, this_debian, unpacked

pytestmark = [pytest.mark.deploy, needs_machines, pytest.mark.timeout(1500)]

_OF_WHOM = {"arm64": 0xB7, "amd64": 0x3E}  # e_machine of the ELF header
_OTHER_PYTHON = {"12": "3.12", "13": "3.14"}
_LIBRARIES_OF_DEPENDS = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libgcc_s.so.1",
                         "libstdc++.so.6", "libutil.so.1"}  # fmt: skip


@pytest.fixture(scope="module")
def root(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files, those of dpkg in DEBIAN."""
    return unpacked(package, tmp_path_factory.mktemp("content") / "root")


def _machines(root: Path) -> set[int]:
    """For which processors the libraries in it are."""
    heads = [one.read_bytes()[:20] for one in (root / LIBRARIES).rglob("*.so*") if one.is_file()]
    assert all(head.startswith(b"\x7fELF") for head in heads)
    return {int.from_bytes(head[18:20], "little") for head in heads}


def test_it_says_for_which_debian_and_python_it_is(root: Path) -> None:
    """Compiled code belongs to one Python; apt must know, before the gateway does."""
    control = message_from_string((root / "DEBIAN/control").read_text())
    debian = this_debian()

    assert control["Version"].endswith(f"+deb{debian}")
    assert f"python3 (<< {_OTHER_PYTHON[debian]})" in control["Depends"]
    assert _machines(root) == {_OF_WHOM[control["Architecture"]]}
    assert str((root / "usr/lib/fieldgate/bin/python3").readlink()).startswith("../../../bin/python3.")


def test_every_library_that_it_needs_is_in_it_or_comes_with_what_it_depends_on(root: Path) -> None:
    """A wheel may bring its libraries along, but not Debian's own."""
    have_tools({"readelf": "binutils"})
    files = [one for one in (root / LIBRARIES).rglob("*.so*") if one.is_file()]
    said = subprocess.run(["readelf", "-d", *files], capture_output=True, text=True, check=True).stdout
    needed = {line.rpartition("[")[2].rstrip("]") for line in said.splitlines() if "(NEEDED)" in line}

    missing = needed - _LIBRARIES_OF_DEPENDS - {one.name for one in files}

    assert {one for one in missing if not one.startswith("ld-linux")} == set()


def test_settings_are_conffiles_and_nothing_of_them_is_secret_or_made_for_one_machine(root: Path) -> None:
    """dpkg leaves a changed conffile alone; the gateway's own file, which has its id, is made on the machine."""
    listed = set((root / "DEBIAN/conffiles").read_text().split())

    assert listed == {f"/{one.relative_to(root)}" for one in (root / "etc").rglob("*") if one.is_file()}
    assert "/etc/fieldgate/rules.d/sample.yaml" in listed
    assert "/etc/fieldgate/fieldgate.yaml" not in listed


def test_there_is_no_pip_and_nothing_compiled_in_it(root: Path) -> None:
    """What dpkg has put there is changed by dpkg only."""
    assert not list((root / LIBRARIES).rglob("*.pyc"))
    assert not list((root / LIBRARIES).glob("*/site-packages/pip*"))
    unit = (root / "usr/lib/systemd/system/fieldgate.service").read_text()
    assert "/opt/" not in unit
    assert "ExecStart=/usr/lib/fieldgate/bin/fieldgate run" in unit


def test_the_licence_of_each_package_inside_is_told(root: Path) -> None:
    """Whoever passes the package on passes theirs on too."""
    told = (root / "usr/share/doc/fieldgate/copyright").read_text()
    inside = {one.name.removesuffix(".dist-info") for one in (root / LIBRARIES).glob("*/site-packages/*.dist-info")}
    homes = [one for one in inside if not one.startswith("fieldgate-")]

    assert len(homes) > 50
    assert told.count("\nLicence: ") == len(homes) + 1
    assert all(f" {one.rpartition('-')[2]}, Copyright: " in told for one in homes)


def _checked(package: Path) -> subprocess.CompletedProcess[str]:
    have_tools({"lintian": "lintian"})
    return subprocess.run(["lintian", "--allow-root", package], capture_output=True, text=True, check=False)


def test_debian_s_checker_finds_no_error(package: Path) -> None:
    """What it has to say was heard, or answered in lintian-overrides with the reason."""
    done = _checked(package)

    assert done.stdout == ""
    assert done.returncode == 0


def test_the_checker_finds_what_is_wrong(root: Path, tmp_path: Path) -> None:
    """The mutant: a setting that dpkg would write over, and libraries about which nothing is said."""
    bent = shutil.copytree(root, tmp_path / "bent", symlinks=True)
    (bent / "DEBIAN/conffiles").unlink()
    (bent / "usr/share/lintian/overrides/fieldgate").unlink()
    quickly = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build"]
    subprocess.run([*quickly, bent, tmp_path / "bent.deb"], check=True, capture_output=True)

    done = _checked(tmp_path / "bent.deb")

    assert done.returncode != 0
    assert "E: fieldgate: file-in-etc-not-marked-as-conffile [etc/fieldgate/rules.d/sample.yaml]" in done.stdout
    assert "E: fieldgate: unstripped-binary-or-object" in done.stdout


def test_who_builds_it_again_gets_the_same_bytes(package: Path, offline: Path, tmp_path: Path) -> None:
    """Somebody else can see that it was made of this source; the hour, the place and the person are not in it."""
    again, _ = build(tmp_path, "--wheels", offline, "--debian", this_debian(), TZ="Asia/Tokyo", HOME=str(tmp_path))

    assert again.read_bytes() == package.read_bytes()


def test_wheels_for_another_processor_do_not_come_into_it(offline: Path, tmp_path: Path) -> None:
    """The mutant: names say aarch64, the libraries are not, and that is found out by looking at them."""
    bent = tmp_path / "wheels"
    shutil.copytree(offline, bent)
    for one in bent.glob("*x86_64.whl"):
        one.rename(one.with_name(one.name.replace("x86_64", "aarch64")))

    _, said = build(tmp_path, "--wheels", bent, "--debian", this_debian(), "--arch", "arm64", is_checked=False)

    assert "is not for arm64" in said
    assert not list(tmp_path.glob("*.deb"))


def test_a_package_for_a_raspberry_pi_with_debian_13_is_built_here(tmp_path: Path) -> None:
    """Another processor and another Python than those that build it."""
    wheels = ["bash", CHECKOUT / "deploy/wheels.sh", "--for", "aarch64", "--python", "3.13", tmp_path / "wheels"]
    fetched = subprocess.run(wheels, capture_output=True, text=True, timeout=600, check=False)
    if fetched.returncode:
        pytest.skip(f"the package index cannot be asked: {fetched.stderr.strip()[-300:]}")

    package, _ = build(tmp_path, "--wheels", tmp_path / "wheels", "--debian", "13", "--arch", "arm64")

    root = unpacked(package, tmp_path / "root")
    assert package.name.endswith("+deb13_arm64.deb")
    assert _machines(root) == {_OF_WHOM["arm64"]}
    tagged = {one.name.split(".")[1] for one in (root / LIBRARIES).rglob("*.cpython-*.so")}
    assert tagged == {"cpython-313-aarch64-linux-gnu"}
    assert (root / "usr/lib/systemd/system/fieldgate.service.d/back-off.conf").exists()


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        (("--debian", "11"), "is 12 or 13, not 11"),
        (("--arch", "armhf"), "not all libraries exist"),
        (("--version", "new"), "no version of a Debian package"),
        (("--arch",), "needs a value"),
        (("--nonsense",), "Usage:"),
    ],
)
def test_what_cannot_be_built_is_said(typed: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    """Before minutes are spent on it."""
    ended = subprocess.run(
        ["bash", CHECKOUT / "deploy/debian/build.sh", *typed], capture_output=True, text=True, check=False
    )

    assert ended.returncode != 0
    assert reason in ended.stderr
