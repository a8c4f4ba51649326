"""The container: built from the locks, run as deploy/compose.yaml has it, and nothing is lost when it is replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit import Podman, context, run_options
from gateway_kit import Publisher, Upstream, eventually, oracle
from machine_images import CHECKOUT, bare_image, have_tools
from machine_kit import needs_machines
from ports import free_port
from uplink_kit import mosquitto

pytestmark = [pytest.mark.deploy, needs_machines, pytest.mark.timeout(900)]

_COMPOSE = CHECKOUT / "deploy/compose.yaml"
_IMAGE = "localhost/fieldgate"


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory, offline: Path) -> Iterator[Podman]:
    """Podman that has the image, built without network on the Debian of the tests."""
    have_tools({"podman": "podman", "runc": "runc"})
    base = bare_image()
    one = Podman(tmp_path_factory.mktemp("podman"))
    try:
        one.imported(base, "localhost/base")
        folder = context(tmp_path_factory.mktemp("context"), offline)
        one(
            "build", "--quiet", "--network=none", "--format=docker", "--build-arg=BASE=localhost/base",
            f"--file={folder}/deploy/Containerfile", f"--tag={_IMAGE}", folder,
        )  # fmt: skip
        shutil.rmtree(folder)
        yield one
    finally:
        one.close()


def _settings(folder: Path, port: int, far: int) -> Path:
    place = folder / "fieldgate"
    place.mkdir()
    uplink = {"mqtt": {"url": f"mqtt://127.0.0.1:{far}", "keep_alive": "2s"}}
    settings = {"gateway": {"id": "plant-7"}, "listen": [{"mqtt": f"127.0.0.1:{port}"}], "uplinks": {"up": uplink}}
    (place / "fieldgate.yaml").write_text(json.dumps({**settings, "journal": {"path": "/var/lib/fieldgate"}}))
    return place


def test_the_image_has_neither_pip_nor_root_and_says_how_it_is_asked_and_stopped(podman: Podman) -> None:
    """What is not in it cannot be used by who gets in."""
    about = json.loads(podman("image", "inspect", _IMAGE)[1])[0]

    assert about["Config"]["User"] == "10001"
    assert about["Config"]["StopSignal"] == "SIGTERM"
    assert list(about["Config"]["Volumes"]) == ["/var/lib/fieldgate"]
    assert about["Healthcheck"]["Test"] == ["CMD", "fieldgate", "status"]
    _, said = podman(
        "run",
        "--rm",
        "--network=none",
        "--entrypoint=sh",
        _IMAGE,
        "-c",
        "id; ls -d /opt/fieldgate/bin/* /src /wheels; true",
    )
    assert "uid=10001(fieldgate) gid=10001(fieldgate) groups=10001(fieldgate),20(dialout)" in said
    assert "/opt/fieldgate/bin/fieldgate" in said.split()
    assert "/opt/fieldgate/bin/pip" not in said
    assert said.count("No such file") == 2


async def test_it_forwards_and_a_new_container_goes_on_with_what_the_old_one_had(
    podman: Podman, tmp_path: Path
) -> None:
    """Containers are thrown away and made anew at every update; events are not."""
    port, far = free_port(), free_port()
    options = run_options(_COMPOSE, settings=_settings(tmp_path, port, far), volume="state")
    podman("volume", "create", "state")
    podman("run", "--detach", "--name=first", *options, _IMAGE)

    def is_healthy(name: str) -> bool:
        return podman("healthcheck", "run", name, is_checked=False)[0] == 0

    await eventually("it is healthy", lambda: is_healthy("first"), within_s=60)
    _, said = podman(
        "exec",
        "first",
        "sh",
        "-c",
        "touch /x /opt/fieldgate/x /etc/fieldgate/x; grep -E 'CapEff|NoNewPrivs' /proc/1/status",
    )
    assert said.count("Read-only file system") == 3
    assert "CapEff:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said
    device = Publisher(port, name="pump", total=400, retry_s=0.2)
    device.start()
    await device.finished(within_s=60)

    podman("stop", "first")  # the broker has never been there: all of it waits

    assert json.loads(podman("inspect", "first")[1])[0]["State"]["ExitCode"] == 0
    podman("rm", "first")
    podman("run", "--detach", "--name=second", *options, _IMAGE)
    upstream = Upstream(far)
    async with mosquitto(tmp_path, port=far):
        upstream.start()
        try:
            await eventually("everything is there", lambda: not upstream.missing([device]), within_s=60)
            oracle(upstream, [device])
        finally:
            upstream.close()
            device.close()
    podman("rm", "--force", "second")


async def test_a_gateway_that_does_not_listen_is_not_healthy(podman: Podman, tmp_path: Path) -> None:
    """The mutant of the health check: a port that somebody else has."""
    port = free_port()
    settings = _settings(tmp_path, port, free_port())
    options = run_options(_COMPOSE, settings=settings, volume="other")
    async with mosquitto(tmp_path, port=port):
        podman("run", "--detach", "--name=third", *options, _IMAGE)

        def says_why() -> bool:
            return f"127.0.0.1:{port}" in podman("exec", "third", "fieldgate", "status", is_checked=False)[1]

        await eventually("it says why", says_why, within_s=60)
        assert podman("healthcheck", "run", "third", is_checked=False)[0] != 0
        podman("rm", "--force", "third")
