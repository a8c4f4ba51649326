"""What the README says is so: its configurations pass, its commands exist, and its first walk works as written."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from access_kit import write_private
from fieldgate.forward import encode
from fieldgate.forward.encode import CloudEvents
from fieldgate_devices.event import OWN_TYPES, Address, Event, Extra, Lane, Stamp, TimeQuality, Trace
from fieldgate_simulators.broker import mosquitto_path
from gateway_kit import free_port
from readme_kit import README, ROOT, blocks
from tls_kit import Authority

HOME = "/home/pi/gateway"
PROFILES = [text for text in blocks("yaml") if text.startswith("profile: ")]
RULES = [text for text in blocks("yaml") if "\nrules:\n  - id: " in f"\n{text}"]  # test_readme_rules.py types them
CONFIGURATIONS = [text for text in blocks("yaml") if text not in PROFILES and text not in RULES]
USER = pwd.getpwuid(os.geteuid()).pw_name  # as root, mosquitto would become a user who cannot read the folder


def fieldgate(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fieldgate", *arguments],
        cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


# -- text --------------------------------------------------------------------------------------------------------


# -- the envelope --------------------------------------------------------------------------------------------------


def envelope(event: Event, *, is_stored: bool = False) -> dict[str, object]:
    encoder = CloudEvents(gateway="plant-7", os_boot_of=lambda _run: "8f5bcfa4")
    return dict(json.loads(encoder.envelopes([event], is_stored=is_stored)[0]))


def boiler(**more: object) -> Event:
    shown = json.loads(next(text for text in blocks("json") if '"specversion": "1.0"' in text))
    run, _, seq = shown["id"].partition("-")
    stamp = Stamp(int(run, 16), 1_795_415_846_683_762_000, 1)
    address = Address("site.a.boiler", "generic", "site/a/boiler")
    given = {"address": address, "stamp": stamp, "data": b'{"temperature": 21.5}', "is_json": True}
    return Event(**{**given, "content_id": int(shown["contentid"], 16), "seq": int(seq), **more})  # type: ignore[arg-type]


def test_the_example_is_what_the_encoder_makes():
    """A consumer is written against the example."""
    shown = json.loads(next(text for text in blocks("json") if '"specversion": "1.0"' in text))

    assert envelope(boiler()) == shown
    assert list(envelope(boiler())) == list(shown)


MEMBERS = README.split("| Member | Meaning |")[1].split("\n\n")[0]


def unexplained(members: Iterable[str], table: str = MEMBERS) -> list[str]:
    """Members of an envelope that no row of the table begins with."""
    explained = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if row else "")
    }
    return sorted(set(members) - explained - {"specversion"})


def test_every_member_that_the_encoder_can_make_is_explained():
    """A member that comes once a year is the one that has to be looked up."""
    unsynced = Stamp(1, 0, 1, TimeQuality.UNSYNCED)
    trace = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")
    every = Extra(at_ns=1, is_replayed=True, cause="0000000000000001-1", trace=trace)
    pump = Address("p1", "pump", "site/a/p1", 2)
    events = [
        boiler(), boiler(is_json=False), boiler(lane=Lane.HIGH), boiler(stamp=unsynced), boiler(extra=every),
        boiler(address=pump),
    ]  # fmt: skip

    members = {name for event in events for name in envelope(event, is_stored=True)}

    promised = re.findall(r"^    ([a-z]+) {2,}", encode.__doc__, re.MULTILINE)  # and those of every event
    assert members >= {*promised, "dataschema", "data_base64"}
    assert unexplained(members) == []


def test_a_member_without_a_row_is_noticed():
    """The mutant of the test above: a row is gone, and a name that only stands in the meaning of another."""
    without = "\n".join(row for row in MEMBERS.splitlines() if not row.startswith("| `traceparent`"))

    assert unexplained({"traceparent", "tracestate", "id"}, without) == ["traceparent", "tracestate"]


def test_every_type_that_the_gateway_gives_is_in_the_row_of_types():
    """A consumer meets an event that no device has sent."""
    row = next(row for row in MEMBERS.splitlines() if row.startswith("| `type` |"))
    told = set(re.findall(r"`fieldgate\.(\w+)`", row))

    assert told == OWN_TYPES - {"publish"}  # which leaves without an envelope


# -- configurations and the walk -----------------------------------------------------------------------------------


def settle_in(text: str, folder: Path, **replaced: str) -> str:
    """A text of the README with the reader's own folder, hosts and ports."""
    for old, new in {HOME: str(folder), **replaced}.items():
        text = text.replace(old, new)
    return text


def furnish(folder: Path) -> None:
    authority = Authority()
    authority.write_ca(folder / "cloud-ca.pem")
    authority.write_server(folder)
    for name, text in (
        ("users", ""), ("cloud-password", "s3cret\n"), ("shop-floor", "s3cret\n"), ("proxy-password", "s3cret\n"),
        ("roof-token", "0123456789abcdef0123456789abcdef\n"), ("pager-token", "s3cret\n"),
    ):  # fmt: skip
        write_private(folder / name, text)
    (folder / "acl.yaml").write_text("all_users: []\n", encoding="utf-8")


@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
def test_every_configuration_passes_check(number, tmp_path):
    """The first thing that a reader copies."""
    furnish(tmp_path)
    (tmp_path / "devices.d").mkdir()
    for text in PROFILES:
        name = text.split()[1]
        assert f"`devices.d/{name}.yaml`" in README
        (tmp_path / "devices.d" / f"{name}.yaml").write_text(text, encoding="utf-8")
    config = tmp_path / "fieldgate.yaml"
    config.write_text(settle_in(CONFIGURATIONS[number], tmp_path), encoding="utf-8")

    checked = fieldgate("check", "-c", str(config), cwd=tmp_path, env={"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert checked.stdout.endswith("fieldgate.yaml: ok\n"), checked.stdout
    assert checked.returncode == 0


@contextmanager
def child(*command: str, cwd: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def until(what: str, condition: Callable[[], object], *, log: Path) -> None:
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s, f"not within 10 s: {what}\n{log.read_text(errors='replace')[-2000:]}"
        time.sleep(0.05)


@contextmanager
def cloud(folder: Path) -> Iterator[tuple[int, list[tuple[str, dict[str, object]]]]]:
    """A mosquitto with a certificate and a password; yields its port and what arrives there."""
    trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")
    mosquitto = mosquitto_path()
    if mosquitto is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto is not installed")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "cloud-ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwd", "plant-7", "s3cret"], check=True)
    port, reader = free_port(), free_port()
    config = folder / "cloud.conf"
    pem = folder / "server.pem"
    config.write_text(
        f"per_listener_settings true\nuser {USER}\n"
        f"listener {port} 127.0.0.1\ncertfile {pem}\nkeyfile {pem}\npassword_file {folder}/passwd\n"
        f"listener {reader} 127.0.0.1\nallow_anonymous true\n"
    )
    log = folder / "cloud.log"
    arrived: list[tuple[str, dict[str, object]]] = []
    with child(mosquitto, "-c", str(config), cwd=folder, log=log):
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.message_callback_add("fieldgate/+/status", lambda *_: None)  # what the uplink says of itself
        client.on_message = lambda _client, _data, message: arrived.append((message.topic, json.loads(message.payload)))
        subscribed: list[bool] = []
        client.on_subscribe = lambda *_: subscribed.append(True)
        until("the cloud's broker listens", lambda: is_open(reader) and is_open(port), log=log)
        client.connect("127.0.0.1", reader)
        client.loop_start()
        client.subscribe("fieldgate/#", qos=1)
        until("subscribed", lambda: subscribed, log=log)
        try:
            yield port, arrived
        finally:
            client.disconnect()
            client.loop_stop()


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def publish(port: int, topic: str, payload: str, **login: str) -> None:
    """What `mosquitto_pub -q 1` does; returns once it is acknowledged."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if login:
        client.username_pw_set(login["username"], login["password"])
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(topic, payload, qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


def test_the_first_configuration_works_as_it_is_written(tmp_path):
    """From the README alone, to an event in the cloud."""
    furnish(tmp_path)
    port = free_port()
    with cloud(tmp_path) as (cloud_port, arrived):
        own = {"broker.example:8883": f"localhost:{cloud_port}", "127.0.0.1:1883": f"127.0.0.1:{port}"}
        written = settle_in(blocks("yaml")[0], tmp_path, **own)
        assert written.count("# ca: cloud-ca.pem ") == 1
        (tmp_path / "fieldgate.yaml").write_text(written.replace("# ca: ", "ca: "), encoding="utf-8")
        log = tmp_path / "gateway.log"

        assert fieldgate("check", "-c", "fieldgate.yaml", cwd=tmp_path).returncode == 0
        with child(sys.executable, "-m", "fieldgate", "run", "-c", "fieldgate.yaml", cwd=tmp_path, log=log):
            until("the uplink is connected", lambda: "uplink.connected" in log.read_text(), log=log)
            publish(port, "site/a/boiler", '{"temperature": 21.5}')
            until("the event arrives", lambda: arrived, log=log)

            def status_text() -> str:
                return fieldgate("status", "-c", "fieldgate.yaml", cwd=tmp_path).stdout

            until("the device is booked", lambda: "\ndevices " in status_text(), log=log)
            status = fieldgate("status", "-c", "fieldgate.yaml", cwd=tmp_path)

    topic, first = arrived[0]
    shown = json.loads(next(text for text in blocks("json") if '"specversion": "1.0"' in text))
    assert topic == "fieldgate/plant-7/site.a.boiler/generic"
    assert f"`{topic}`" in README
    assert first.keys() == shown.keys()
    assert (first["data"], first["source"]) == (shown["data"], shown["source"])
    excerpt = next(text for text in blocks("text") if text.startswith("gateway  plant-7"))
    assert without_numbers(status.stdout) == without_numbers(settle_in(excerpt, tmp_path, **own))


def test_a_person_in_a_shell_can_check_and_ask_the_service(tmp_path):
    """The service has its credentials from systemd; who sits beside it has none, and needs none."""
    login = "{url: 'mqtts://broker.example', username: plant-7, password: '${credential:cloud-password}'}"
    config = f"gateway: {{id: plant-7}}\nuplinks: {{cloud: {{mqtt: {login}}}}}\njournal: {{path: state}}\n"
    (tmp_path / "fieldgate.yaml").write_text(config, encoding="utf-8")
    (tmp_path / "cloud-password").write_text("s3cret", encoding="utf-8")
    given = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    without = fieldgate("check", "-c", "fieldgate.yaml", cwd=tmp_path, env={"CREDENTIALS_DIRECTORY": ""})
    within = fieldgate("check", "-c", "fieldgate.yaml", cwd=tmp_path, env=given)
    log = tmp_path / "gateway.log"
    config_file = tmp_path / "fieldgate.yaml"
    config_file.write_text(
        config_file.read_text("utf-8") + f"listen: [{{mqtt: '127.0.0.1:{free_port()}'}}]\n", encoding="utf-8"
    )
    command = ("env", f"CREDENTIALS_DIRECTORY={tmp_path}", sys.executable, "-m", "fieldgate", "run")
    with child(*command, cwd=tmp_path, log=log):
        until("it listens", lambda: "listener.started" in log.read_text(), log=log)
        asked = [
            fieldgate(*words.split(), cwd=tmp_path, env={"CREDENTIALS_DIRECTORY": ""})
            for words in ("status", "journal stats", "parked list", "config show")
        ]

    assert "note: password: the credential 'cloud-password'" in without.stdout
    assert (without.returncode, within.stdout.splitlines()[-1:]) == (0, ["fieldgate.yaml: ok"])
    assert "note:" not in within.stdout
    assert [one.returncode for one in asked] == [0] * len(asked), asked


def test_the_walk_of_a_device_is_the_one_that_is_walked():
    """`test_devices_in_the_network` types what deploy/README.md says; this page says the same, line by line."""
    walked = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8").splitlines()
    section = README.split("## Connect your devices")[1].split("\n## ")[0]
    typed = [
        line
        for text in re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        for line in text.splitlines()
    ]

    assert len(typed) > 12
    assert [line for line in typed if line not in walked] == []


def without_numbers(status: str) -> list[str]:
    """What any two gateways in this state would say."""
    status = re.sub(r"clock [a-z ]+?(?=   )", "clock", status)
    return re.sub(r"[0-9][0-9.,:]*", "0", status).splitlines()
