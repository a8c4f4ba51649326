"""Everything is read again and used as a whole, or nothing changes (P7; rows 48 and 78 of FAULTS.md)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from access_kit import users_text, write_private
from fieldgate import clock, reload
from fieldgate.config.loader import load
from fieldgate.ingest.access_thread import AccessThread
from fieldgate.journal.journal import Journal
from fieldgate.pipeline import Pipeline
from fieldgate.reload import Outcome, Reloader
from fieldgate.rule_files import LoadedRules, RuleWatch
from fieldgate_devices.catalogue import Catalogue
from rule_gateway import HOT
from tls_kit import Authority

PROFILE = "profile: boiler\nmatch: {mqtt: 'site/{device}'}\nfields: {temperature: {type: float, unit: °C}}\n"
ACL = "all_users: [{allow: subscribe, topic: '#'}]\n"


class Place:
    """A gateway's files, of every kind, and the parts made of them; none of these runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.tls = self.authority.write_server(folder)
        self.settings: dict[str, Any] = {
            "gateway": {"id": "g"},
            "listen": [
                {
                    "mqtt": "127.0.0.1:0",
                    "auth": {"users": "users", "acl": "acl.yaml"},
                    "tls": {key: str(path) for key, path in self.tls.items()},
                }
            ],
            "uplinks": {"cloud": {"mqtt": {"url": "mqtt://127.0.0.1:9"}}},
            "journal": {"path": str(folder / "state")},
        }
        for name in ("devices.d", "rules.d"):
            (folder / name).mkdir()
        self.write("devices.d/boiler.yaml", PROFILE)
        self.write("rules.d/hot.yaml", HOT)
        self.write("users", users_text(ann="a"))
        self.write("acl.yaml", ACL)
        self.write("fieldgate.yaml", json.dumps(self.settings))

    def write(self, name: str, text: str) -> None:
        write_private(self.folder / name, text)

    def change_everything(self) -> None:
        """Each kind of file says something else, which is valid."""
        self.settings["listen"][0]["max_clients"] = 7
        self.settings["uplinks"]["cloud"]["rate"] = "5/s"
        self.write("fieldgate.yaml", json.dumps(self.settings))
        self.write("devices.d/kettle.yaml", PROFILE.replace("boiler", "kettle").replace("site/", "kitchen/"))
        self.write("rules.d/hot.yaml", HOT.replace("id: hot", "id: warm").replace("boiler", "kettle"))
        self.write("users", users_text(ann="a", bob="b"))
        self.write("acl.yaml", ACL + "users: {bob: [{allow: publish, topic: '#'}]}\n")
        self.authority.write_server(self.folder)


def facts(pipeline: Pipeline) -> dict[str, object]:
    """What is in force of each kind of file."""
    (listener,) = pipeline.listeners
    assert listener.certificate is not None
    return {
        "config": pipeline.config,
        "limit": listener._settings.max_clients,
        "rate": pipeline.config.uplinks["cloud"].rate,
        "profiles": sorted(pipeline.profiles.loaded.catalogue.own),
        "rules": [rule.id for rule in pipeline.rules.host.rules.rules],
        "users": sorted(listener.gate.access.users),
        "acl": listener.gate.access.rules,
        "certificate": listener.certificate.current,
    }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def pipeline(place: Place) -> AsyncIterator[Pipeline]:
    config = load(place.folder / "fieldgate.yaml").config
    journal = Journal.open(
        config.journal.path, run=1, os_boot=clock.os_boot_id(), gateway="g", boot_ns=clock.boot_ns(),
        wall_ns=clock.wall_ns(), max_size_bytes=1 << 24,
    )  # fmt: skip
    pipeline = Pipeline(config, journal, run=1)
    (listener,) = pipeline.listeners
    thread = AccessThread("test", pipeline._loop)
    listener.gate.open(thread)  # it does not run: nothing is looked at but by a reload
    assert listener.certificate is not None
    listener.certificate.open()
    try:
        yield pipeline
    finally:
        thread.close()
        await pipeline.stop()


def reloader_of(pipeline: Pipeline, place: Place) -> Reloader:
    return Reloader(pipeline, place.folder / "fieldgate.yaml")


async def test_what_has_changed_is_in_force_all_of_it_once_it_is_over(pipeline: Pipeline, place: Place) -> None:
    """An operator edits several files that belong together."""
    before = facts(pipeline)
    place.change_everything()

    outcome = await reloader_of(pipeline, place).reload()

    after = facts(pipeline)
    assert outcome.problems == ()
    assert outcome.changed == ("listen[0].max_clients", "uplinks.cloud.rate")
    assert all(after[kind] != before[kind] for kind in before)
    assert (after["limit"], after["rate"], after["rules"]) == (7, 5.0, ["warm"])
    assert (after["profiles"], after["users"]) == (["boiler", "kettle"], ["ann", "bob"])


async def test_what_has_not_changed_is_left_alone(pipeline: Pipeline, place: Place) -> None:
    """Windows and timers of rules, and log-ins that were proven, are worth something."""
    before, reads = facts(pipeline), pipeline.rules.files.reads

    outcome = await reloader_of(pipeline, place).reload()

    assert outcome.problems == outcome.changed == outcome.needs_restart == ()
    assert facts(pipeline) == before
    assert pipeline.rules.files.reads == reads


Breakage = Callable[[Place], None]
BROKEN: dict[str, tuple[Breakage, str]] = {
    "configuration": (lambda one: one.write("fieldgate.yaml", '{"lsten": []}'), "fieldgate.yaml:1:2: unknown key"),
    "contradiction": (
        lambda one: one.write("fieldgate.yaml", json.dumps(one.settings | {"listen": [{"mqtt": "0.0.0.0:1883"}]})),
        "fieldgate.yaml:1:",
    ),
    "profile": (lambda one: one.write("devices.d/kettle.yaml", "profile: kettle\nmtch: {}\n"), "kettle.yaml:2:1: "),
    "rule": (
        lambda one: one.write("rules.d/hot.yaml", HOT.replace("temperature >", "temprature >")),
        "hot.yaml:5:11: ",
    ),
    "users": (lambda one: one.write("users", "ann:plain\n"), "users:1:"),
    "acl": (lambda one: one.write("acl.yaml", "all_users: [{alow: subscribe, topic: '#'}]\n"), "acl.yaml:1:"),
    "certificate": (lambda one: one.write("server.pem", "no certificate"), "server.pem"),
    "key": (lambda one: one.tls["key"].chmod(0o644), "open to everyone"),
    "key of another": (lambda one: _another_key(one), "is not the key of the certificate"),
    "folder": (lambda one: (one.folder / "rules.d").rename(one.folder / "gone"), "the folder is gone"),
}


def _another_key(place: Place) -> None:
    other = place.folder / "other"
    other.mkdir()
    place.write("server.key", Authority().write_server(other)["key"].read_text())


@pytest.mark.parametrize("kind", BROKEN)
async def test_if_one_file_is_wrong_nothing_changes_at_all(pipeline: Pipeline, place: Place, kind: str) -> None:
    """P7. Half of a change may be worse than none: a rule for a profile that is not there, a lock without its key."""
    breaks, problem = BROKEN[kind]
    before = facts(pipeline)
    place.change_everything()
    breaks(place)
    reloader = reloader_of(pipeline, place)

    outcome = await reloader.reload()

    assert facts(pipeline) == before
    assert any(problem in one for one in outcome.problems), outcome.problems
    assert reloader.problems == outcome.problems
    assert outcome.changed == ()


async def test_the_test_notices_a_reload_that_does_not_look_at_the_rules(
    pipeline: Pipeline, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""

    def careless(watch: RuleWatch, catalogue: Catalogue) -> LoadedRules:
        return LoadedRules(watch._files.load(catalogue).rules)

    monkeypatch.setattr(RuleWatch, "read", careless)

    with pytest.raises(AssertionError):
        await test_if_one_file_is_wrong_nothing_changes_at_all(pipeline, place, "rule")


async def test_everything_that_is_wrong_is_said_at_once(pipeline: Pipeline, place: Place) -> None:
    """Nobody wants to mend one file, reload, and hear of the next."""
    for kind in ("profile", "rule", "users", "acl", "certificate"):
        BROKEN[kind][0](place)

    outcome = await reloader_of(pipeline, place).reload()

    for kind in ("profile", "rule", "users", "acl", "certificate"):
        assert any(BROKEN[kind][1] in one for one in outcome.problems), kind


async def test_a_refusal_is_told_until_a_reload_succeeds(
    pipeline: Pipeline, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``fieldgate status`` and ``systemctl status`` show it for as long as the files are wrong."""
    monkeypatch.setattr(reload, "log", structlog.get_logger())
    told: list[str] = []
    reloader = reloader_of(pipeline, place)
    reloader.began = lambda: told.append("began")
    reloader.ended = lambda: told.append(f"ended: {len(reloader.problems)}")
    BROKEN["acl"][0](place)

    with capture_logs() as logs:
        await reloader.reload()
        place.write("acl.yaml", ACL)
        await reloader.reload()

    assert told == ["began", "ended: 1", "began", "ended: 0"]
    assert [one["event"] for one in logs if one["event"].startswith("config.")] == ["config.refused", "config.reloaded"]


async def test_once_the_gateway_stops_nothing_is_changed_any_more(pipeline: Pipeline, place: Place) -> None:
    """Its state is being written."""
    before = facts(pipeline)
    place.change_everything()
    reloader = reloader_of(pipeline, place)
    reloader.end()

    assert await reloader.reload() == Outcome(problems=("the gateway stops",))
    assert facts(pipeline) == before
