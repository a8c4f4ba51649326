"""Images and containers for tests, by podman in a storage of its own, as deploy/compose.yaml has it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from machine_kit import CHECKOUT

__all__ = ["Podman", "context", "run_options"]

_SOURCE: Final = (
    ".dockerignore",
    "LICENSE",
    "README.md",
    "deploy",
    "devices",
    "gateway",
    "pyproject.toml",
    "rules",
    "simulators",
)
# Not for machines on which tests run: crun 1.8 knows only one kind of control groups, and limits may be lower there.
_SETTINGS: Final = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
"""
_FLAGS: Final = {
    "network_mode": "--network={}",
    "mem_limit": "--memory={}",
    "pids_limit": "--pids-limit={}",
    "stop_grace_period": "--stop-timeout={}",
    "restart": "--restart={}",
    "cap_drop": "--cap-drop={}",
    "security_opt": "--security-opt={}",
    "tmpfs": "--tmpfs={}",
}
_ELSEWHERE: Final = {"image", "build", "read_only", "volumes", "healthcheck", "ulimits"}


@dataclass
class Podman:
    """podman with images and containers of its own in a folder; `close` it."""

    folder: Path
    _environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "containers.conf").write_text(_SETTINGS, encoding="utf-8")
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/graph"\nrunroot = "{self.folder}/run"\n'
        (self.folder / "storage.conf").write_text(storage, encoding="utf-8")
        self._environment = {
            **os.environ,
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def __call__(self, *words: str | Path, is_checked: bool = True, stdin: int | None = None) -> tuple[int, str]:
        """Run it; return the exit code and what it printed."""
        done = subprocess.run(
            ["podman", *words], text=True, timeout=600, check=False, env=self._environment, stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert not is_checked or done.returncode == 0, f"podman {' '.join(map(str, words))}\n{done.stdout}"
        return done.returncode, done.stdout

    def imported(self, image: Path, name: str) -> None:
        """Make an image of the files in a file system."""
        place = self.folder / "files"
        place.mkdir()
        subprocess.run(["mount", "-o", "loop,ro", image, place], check=True)
        try:
            tar = subprocess.Popen(["tar", "-C", place, "-c", "--exclude=./lost+found", "."], stdout=subprocess.PIPE)
            assert tar.stdout is not None
            self("import", "-q", "-", name, stdin=tar.stdout.fileno())
            tar.stdout.close()
            assert tar.wait(60) == 0
        finally:
            subprocess.run(["umount", place], check=True)

    def close(self) -> None:
        """Nothing of it is left, neither running nor mounted nor on the disk."""
        self("system", "reset", "--force", is_checked=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def context(folder: Path, wheels: Path) -> Path:
    """A folder to build the image from: the checkout's sources, and wheels."""
    for name in _SOURCE:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    shutil.copytree(wheels, folder / "build/wheels")
    return folder


def run_options(file: Path, *, settings: Path, volume: str) -> list[str]:
    """What compose would tell podman of the one service in a file, its folder of settings and volume given.

    A key that this does not know is a KeyError: what is not carried out would not have been tested.
    """
    service: Mapping[str, Any] = YAML(typ="safe").load(file)["services"]["fieldgate"]
    options = [f"--ulimit={name}={most}:{most}" for name, most in service["ulimits"].items()]
    options += ["--read-only", "--read-only-tmpfs=false"] if service["read_only"] else []
    for key in service.keys() - _ELSEWHERE:
        value = service[key]
        options += [
            _FLAGS[key].format(str(one).removesuffix("s")) for one in (value if isinstance(value, list) else [value])
        ]
    for one in service["volumes"]:
        source, _, rest = one.partition(":")
        options.append(f"--volume={volume if source == 'state' else settings}:{rest}")
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    # Asked by hand: podman would have the machine's systemd ask.
    options.append("--ulimit=nproc=4096:4096")  # podman wants more than a machine may allow on which tests run
    return [*options, f"--health-cmd=CMD-SHELL {' '.join(check['test'][1:])}", "--health-interval=disable"]
