"""Finding and loading the configuration: which file, which value, from where."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from fieldgate.config import Config, JournalConfig, ListenConfig, MqttUplinkConfig, load
from fieldgate.config.loader import SEARCH_PATHS, find_file, read
from fieldgate.config.places import default_gateway_id, default_state_folder

MINIMAL = "uplinks: {cloud: {mqtt: {url: mqtts://b.example}}}\n"


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file in the working folder, and an environment that says nothing."""
    monkeypatch.chdir(tmp_path)
    for name in ("FIELDGATE_CONFIG", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("fieldgate.config.loader.SEARCH_PATHS", SEARCH_PATHS[:1])


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "fieldgate.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def warnings_of(tmp_path: Path, text: str) -> list[str]:
    file = write(tmp_path, text)
    return [warning.removeprefix(f"{file}:") for warning in load(file).warnings]


def test_without_a_file_everything_has_a_default() -> None:
    """``fieldgate run`` on a fresh machine just works, on loopback only."""
    loaded = load()

    assert loaded.path is None
    assert [(listen.host, listen.port) for listen in loaded.config.listen] == [("127.0.0.1", 1883)]
    assert loaded.config.uplinks == {}
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.warnings == [
        "warning: no uplink is configured: events are kept until there is one; "
        "write uplinks: {cloud: {mqtt: {url: 'mqtts://HOST'}}}"
    ]


def test_the_environment_names_the_file_before_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service sets $FIELDGATE_CONFIG; a stray file in its folder must not win."""
    write(tmp_path, "gateway: {id: stray}\n")
    named = tmp_path / "named.yaml"
    named.write_text("gateway: {id: named}\n", encoding="utf-8")

    assert find_file() == Path("fieldgate.yaml")
    monkeypatch.setenv("FIELDGATE_CONFIG", str(named))
    assert find_file() == named
    assert load().config.gateway.id == "named"


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Falling back to the defaults would lose every uplink without a word."""
    monkeypatch.setenv("FIELDGATE_CONFIG", str(tmp_path / "gone.yaml"))

    assert read().errors


def test_every_value_tells_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why is hold 1s here? Because of line 4."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    file = write(tmp_path, "gateway: {id: plant-7}\nlisten:\n  - mqtt: 127.0.0.1:0\njournal: {hold: 1s}\n" + MINIMAL)

    origins = load(file).origins

    assert origins["gateway.id"] == f"{file}:1:15"
    assert origins["listen[0].mqtt"] == f"{file}:3:11"
    assert origins["listen[0].lane"] == "default"
    assert origins["journal.hold"] == f"{file}:4:17"
    assert origins["journal.path"] == "environment"
    assert origins["journal.max_size"] == "default"
    assert origins["uplinks.cloud.mqtt.url"] == f"{file}:5:31"
    assert origins["uplinks.cloud.batch.max_events"] == "default"


def test_an_empty_file_or_section_means_the_defaults(tmp_path: Path) -> None:
    """In the sample nearly every key is commented out, which leaves sections with nothing below them."""
    for text in ("", "# nothing\n", "gateway:\nlisten:\nsources:\nuplinks:\njournal:\n", "{}\n"):
        loaded = load(write(tmp_path, text))

        assert loaded.config == Config.model_validate({}, context={"folder": tmp_path})
        assert len(loaded.config.listen) == 1


def test_relative_paths_begin_at_the_file(tmp_path: Path) -> None:
    """The service's working folder is / and nobody's idea of where a path begins."""
    file = write(tmp_path, "journal: {path: state}\n")

    assert load(file).config.journal.path == tmp_path / "state"


def test_state_lives_where_systemd_or_the_user_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service has its folder given; a person at a terminal must not need root."""
    monkeypatch.setattr("fieldgate.config.places.SYSTEM_STATE_FOLDER", tmp_path / "absent")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_state_folder() == tmp_path / "home/.local/state/fieldgate"

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert default_state_folder() == tmp_path / "xdg/fieldgate"

    (tmp_path / "system").mkdir()
    monkeypatch.setattr("fieldgate.config.places.SYSTEM_STATE_FOLDER", tmp_path / "system")
    assert default_state_folder() == tmp_path / "system"

    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/first:{tmp_path}/second")
    assert default_state_folder() == tmp_path / "first"


@pytest.mark.parametrize(
    ("host", "expected"), [("Plant-7.local", "plant-7"), ("größe", "gr-e"), ("---", "gateway"), ("a" * 99, "a" * 64)]
)
def test_the_gateway_is_named_after_the_host_as_far_as_a_topic_allows(
    monkeypatch: pytest.MonkeyPatch, host: str, expected: str
) -> None:
    """A default that the model itself would refuse would stop every start."""
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename=host))

    assert default_gateway_id() == expected
    assert Config().gateway.id == expected


def test_a_loaded_configuration_cannot_be_changed() -> None:
    """What is in effect is what was checked."""
    with pytest.raises(ValidationError):
        Config().journal.hold = 1.0


def test_code_may_give_numbers_where_a_file_must_name_the_unit() -> None:
    """Seconds and bytes are the units of the models."""
    journal = JournalConfig(hold=0.5, max_size=10_000_000)

    assert (journal.hold_s, journal.max_size_bytes) == (0.5, 10_000_000)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:1883", "127.0.0.1", 1883), ("[::1]:1884", "::1", 1884), ("localhost:0", "localhost", 0)],
)
def test_loopback_addresses_can_be_listened_on(address: str, host: str, port: int) -> None:
    """Both families, and any free port for tests."""
    listen = ListenConfig(mqtt=address)

    assert (listen.host, listen.port) == (host, port)


@pytest.mark.parametrize(
    ("url", "host", "port", "is_tls"),
    [
        ("mqtt://b.example", "b.example", 1883, False),
        ("mqtts://b.example", "b.example", 8883, True),
        ("mqtts://b.example:443/", "b.example", 443, True),
        ("mqtt://[::1]:1885", "::1", 1885, False),
        ("ws://b.example", "b.example", 80, False),
        ("wss://b.example/a/b?c=d", "b.example", 443, True),
    ],
)
def test_a_url_gives_host_port_and_tls(tmp_path: Path, url: str, host: str, port: int, is_tls: bool) -> None:
    """The uplink connects by these."""
    mqtt = load(write(tmp_path, f"uplinks: {{a: {{mqtt: {{url: '{url}'}}}}}}\n")).config.uplinks["a"].mqtt

    assert (mqtt.host, mqtt.port, mqtt.is_tls) == (host, port, is_tls)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("wss://b", "/mqtt"),
        ("ws://b:9/", "/"),
        ("wss://b/x?y=1", "/x?y=1"),
        ("wss://b?y=1", "/mqtt?y=1"),
        ("mqtt://b", ""),
    ],
)
def test_a_websocket_without_a_path_is_at_mqtt(url: str, path: str) -> None:
    """Where mosquitto, EMQX and HiveMQ have it; a path that is written counts, also if it is only a slash."""
    place = MqttUplinkConfig(url=url).place

    assert place.path == path
    assert place.is_websocket == bool(path)


def test_what_works_but_may_surprise_is_a_warning_with_its_place(tmp_path: Path) -> None:
    """The gateway starts with them; whoever runs `check` is told before it matters."""
    text = (
        "uplinks:\n"
        "  a:\n"
        "    format: raw\n"
        "    max_size: 1TB\n"
        "    mqtt: {url: mqtt://b.example, username: u, password: literal}\n"
        "journal: {keep: {age: 7d}, durability: journal, hold: 1s, max_size: 100MB}\n"
    )

    assert warnings_of(tmp_path, text) == [
        "3:13: warning: format: 'raw' if the broker speaks MQTT 3.1.1 only carries no event id, so copies cannot be "
        "told apart; write version: '5'",
        "4:15: warning: max_size: '1TB' is more than the journal may hold (100MB)",
        "5:17: warning: url: 'mqtt://b.example' sends events and the password unencrypted over the network; "
        "mqtts:// encrypts",
        "5:58: warning: password: the password stands in the file itself; write ${credential:NAME} or ${file:/PATH}",
        "6:17: warning: keep: every event is written to flash: about 120 bytes each when 200 share a write, 600 in "
        "quiet traffic; 50 devices at 1 event/s write about 2.6 GB a day",
        "6:55: warning: hold: has no effect with durability: journal, which writes every event",
    ]


def test_two_uplinks_that_speak_on_one_status_topic_are_told_apart(tmp_path: Path) -> None:
    """The last will of one would say that the gateway is gone, while the other is there."""
    two = "uplinks:\n  a: {{mqtt: {{url: mqtts://b.example}}}}\n  b: {{mqtt: {{url: mqtts://b.example{own}}}}}\n"

    (warning,) = warnings_of(tmp_path, two.format(own=""))

    assert "'fieldgate/{gateway}/status' is where uplinks.a says whether it is there" in warning
    assert warnings_of(tmp_path, two.format(own=", status_topic: off")) == []
    assert warnings_of(tmp_path, two.format(own=", status_topic: 'x/{gateway}'")) == []


def test_the_own_listeners_as_the_only_uplink_are_a_promise_to_know(tmp_path: Path) -> None:
    """A device's PUBACK then stands for a hand-over in memory."""
    (warning,) = warnings_of(tmp_path, "uplinks: {local: {mqtt: self}}\n")

    assert "mqtt: 'self' is the only uplink" in warning
    both = "uplinks: {local: {mqtt: self}, cloud: {mqtt: {url: mqtts://b.example}}}\n"
    assert warnings_of(tmp_path, both) == []


def test_raw_over_mqtt_3_1_1_has_no_id(tmp_path: Path) -> None:
    """P2 rests on the id; a person who gives it up must know."""
    text = "uplinks: {a: {format: raw, mqtt: {url: mqtts://b.example, version: 3.1.1}}}\n"

    (warning,) = warnings_of(tmp_path, text)

    assert warning.startswith("1:23: warning: format: 'raw' over MQTT 3.1.1 carries no event id")


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL,
        "uplinks: {a: {mqtt: {url: mqtt://localhost:1884}}}\n",
        "uplinks: {a: {format: raw, mqtt: {url: mqtts://b.example, version: 5}}}\n",
        MINIMAL + "journal: {keep: 0}\n",
    ],
)
def test_an_ordinary_configuration_has_no_warnings(tmp_path: Path, text: str) -> None:
    """A warning that everybody gets is one that nobody reads."""
    assert warnings_of(tmp_path, text) == []


def test_a_journal_larger_than_the_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk would be full long before the limit works."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=10**9))
    file = write(tmp_path, MINIMAL + "journal: {max_size: 2GB, path: state/deep}\n")

    (warning,) = load(file).warnings

    assert warning == (f"{file}:2:21: warning: max_size: '2GB' is more than what is free at {str(tmp_path)!r}, 1.0 GB")


def test_what_the_journal_holds_already_counts_as_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a journal that has grown to its limit would be warned of at every start."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=6 * 2**20))
    (tmp_path / "state").mkdir()
    (tmp_path / "state/journal.db").write_bytes(bytes(4 * 2**20))

    assert load(write(tmp_path, MINIMAL + "journal: {max_size: 8MiB, path: state}\n")).warnings == []
