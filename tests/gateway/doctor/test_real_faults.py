"""Faults that only a machine can have, made for real: no route, a firewall that drops, an unset clock, a slow disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strace_kit import inject, needs_strace

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def doctor(
    folder: Path, *words: str, before: tuple[str, ...] = (), url: str = "mqtt://192.0.2.1"
) -> list[dict[str, Any]]:
    """What the command finds, run behind another one; 192.0.2.0/24 is nobody's network [RFC 5737]."""
    config = folder / "fieldgate.yaml"
    config.write_text(
        f"journal: {{path: {folder}/state, max_size: 8MiB}}\n"
        f"uplinks: {{cloud: {{mqtt: {{url: 'mqtt://192.0.2.1', connect_timeout: 300ms}}}}}}\n"
    )
    command = [*before, sys.executable, "-m", "fieldgate", "doctor", "--json", "--uplink", "cloud", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)["findings"]


def errors(found: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in found if one["level"] == "error"]


@pytest.mark.root
def test_a_machine_without_a_network_has_no_route(tmp_path: Path) -> None:
    """The cable is out, or the modem has not dialled."""
    found = doctor(tmp_path, before=("unshare", "--net"))

    assert errors(found) == ["uplink.no_route"]


@pytest.mark.root
def test_packets_that_vanish_are_told_apart_from_a_port_that_is_closed(tmp_path: Path) -> None:
    """A firewall that drops; here a route that leads back to this machine, which throws away what is not for it."""
    script = 'ip link set lo up && ip route add 192.0.2.0/24 dev lo && exec "$@"'
    probe = ("unshare", "--net", "sh", "-c", script, "-")
    if subprocess.run([*probe, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace with a route can be made here")

    found = doctor(tmp_path, before=probe)

    assert errors(found) == ["uplink.unreachable"]


def child(code: str, *before: str) -> Any:
    """What a small program prints, run behind another one."""
    done = subprocess.run([*before, sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime (apt-get install libfaketime)")
def test_a_clock_that_was_never_set_is_the_first_thing_that_is_said() -> None:
    """A Raspberry Pi without a battery boots in 1970."""
    code = (
        "import json; from fieldgate import clock; from fieldgate.doctor.clock_checks import clock_findings; "
        "from fieldgate.doctor.clock_facts import read_clock; "
        "found = clock_findings(read_clock(), earliest_s=clock.EARLIEST_PLAUSIBLE_NS / 1e9); "
        "print(json.dumps([[one.id, one.seen] for one in found]))"
    )
    env = ("env", f"LD_PRELOAD={LIBRARIES[0]}", "FAKETIME=@1970-01-01 00:01:00", "FAKETIME_DONT_FAKE_MONOTONIC=1")

    unset, now = child(code, *env, "TZ=UTC"), child(code)

    assert unset[0][0] == "clock.before_build"
    assert "1970-01-01" in unset[0][1]
    assert now[0][0] != "clock.before_build"


@needs_strace
def test_a_disk_that_is_slow_to_make_things_safe_is_measured(tmp_path: Path) -> None:
    """Each fdatasync takes 300 ms more, as on an SD card at its end; and nobody waits half a minute for that."""
    code = (
        "import json; from pathlib import Path; from fieldgate.doctor.sync_speed import measure_syncs; "
        f"times = measure_syncs(Path({str(tmp_path)!r}), count=100, most_s=1.0); "
        "print(json.dumps([times.count, times.p50_ms, times.p95_ms]))"
    )

    count, p50_ms, p95_ms = child(code, *inject("fdatasync", "delay_exit=300000"))

    assert count < 100
    assert p50_ms >= 300
    assert p95_ms >= 250  # from which on it is a finding
