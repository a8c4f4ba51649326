"""What the running gateway does without: it lives for months on a small machine."""

from __future__ import annotations

import subprocess
import sys

NOT_NEEDED = (
    "rich",
    "pygments",
    "attr",
    "websockets.server",
    "websockets.client",
    "sqlite_utils",
    "aiomqtt",
    "paho",
    "amqtt",
    "h11",
    "re2",
    "serial",
    "anycrc",
    "fieldgate.ingest.serial_source",
    "cbor2",
    "bitstruct",
    "dsmr_parser",
    "importlib.resources.readers",
    "pymodbus",
    "fieldgate.contract_export",
    "fieldgate.cli.devices_infer",
    "fieldgate_devices.infer",
    "fieldgate_rules.explain.build",
    "fieldgate_rules.reading",
    "fieldgate_rules.tester",
)
LOOK = (
    "import sys, fieldgate.cli.app as app, fieldgate.pipeline; app.build_app('run'); "
    "print([one for one in sys.argv[1:] if one in sys.modules])"
)


def loaded(before: str = "") -> str:
    command = [sys.executable, "-c", before + LOOK, *NOT_NEEDED]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_the_gateway_loads_nothing_that_it_does_not_need() -> None:
    """Each of these costs a megabyte or more; a listener or an uplink over WebSocket loads its own."""
    assert loaded() == "[]"


def test_what_is_loaded_is_seen() -> None:
    """The control."""
    assert "'paho'" in loaded("import paho;")
