"""Rules are read again when their files change, and count only as a whole (P7; row 78 of FAULTS.md)."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from fieldgate.config import Config
from fieldgate.rule_files import LoadedRules, RuleFiles, RulesClosed, RuleWatch
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.reading import read_catalogue
from gateway_kit import eventually
from rule_gateway import HOT
from watch_kit import RunningWatch

PROFILE = b"""
profile: boiler
match: {mqtt: "site/{device}"}
fields: {temperature: {type: float, unit: \xc2\xb0C}}
"""
WARM = HOT.replace("id: hot", "id: warm")
BROKEN = WARM.replace("temperature > 80", "temprature > 80")


def catalogue(profile: bytes = PROFILE) -> Catalogue:
    found, _ = read_catalogue({}, {"boiler.yaml": profile})
    return found


class Watched(RunningWatch):
    """A watch that runs, and what it gave out."""

    def __init__(self, folder: Path) -> None:
        self.given: list[list[str]] = []
        self.refused: list[tuple[str, ...]] = []
        config = Config.model_validate({"rules": {"path": folder}}, context={"folder": folder.parent})
        self.watch = RuleWatch(RuleFiles(config), catalogue())
        super().__init__(self.watch.run)
        self.watch.use = self._use
        self.watch.refused = lambda problems, _: self.refused.append(problems)

    def _use(self, loaded: LoadedRules) -> None:
        self.given.append([rule.id for rule in loaded.rules.rules])

    async def __aexit__(self, *how: Any) -> None:
        await super().__aexit__(*how)
        self.watch.close()

    @property
    def ids(self) -> list[str]:
        """The rules in force."""
        return [rule.id for rule in self.watch.loaded.rules.rules]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "rules.d"
    path.mkdir()
    (path / "boiler.yaml").write_text(HOT)
    return path


async def test_a_changed_rule_is_used_and_one_that_is_gone_is_not(folder: Path) -> None:
    async with Watched(folder) as watched:
        assert watched.ids == ["hot"]

        (folder / "more.yaml").write_text(WARM)
        await eventually("the new one counts", lambda: watched.ids == ["hot", "warm"])
        (folder / "boiler.yaml").unlink()
        await eventually("the old one does not", lambda: watched.ids == ["warm"])

        assert watched.given == [["hot", "warm"], ["warm"]]
        assert watched.refused == []


async def test_one_bad_rule_leaves_all_of_the_old_ones_in_force_and_is_said_once(folder: Path) -> None:
    """A slip of the pen must not switch an alarm off; nor is it told again with every look."""
    async with Watched(folder) as watched:
        (folder / "boiler.yaml").write_text(HOT.replace("80", "85"))
        (folder / "more.yaml").write_text(BROKEN)
        await eventually("it is said", lambda: watched.refused)
        assert await watched.watch.reload() == watched.refused[0]

        (problem,) = watched.watch.problems
        assert problem.startswith(f"{folder}/more.yaml:5:")
        assert "'temprature'" in problem
        assert (watched.ids, watched.given, len(watched.refused)) == (["hot"], [], 1)
        (folder / "more.yaml").write_text(WARM)
        await eventually("mended, all count", lambda: watched.given == [["hot", "warm"]])
        assert watched.watch.problems == ()


async def test_a_watch_that_is_closed_refuses_to_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who types 'rules reload' while the gateway stops is told so; rules that are read meanwhile begin nothing."""
    watched, begun, go_on = Watched(folder), threading.Event(), threading.Event()
    load = RuleFiles.load

    def slow(self: RuleFiles, catalogue: Catalogue) -> LoadedRules:
        begun.set()
        go_on.wait(20)
        return load(self, catalogue)

    monkeypatch.setattr(RuleFiles, "load", slow)
    (folder / "more.yaml").write_text(WARM)
    meanwhile = asyncio.create_task(watched.watch.reload(), name="reload")
    await asyncio.to_thread(begun.wait, 20)
    watched.watch.close()
    go_on.set()

    for reload in (meanwhile, watched.watch.reload()):
        with pytest.raises(RulesClosed, match=f"{folder} is not read any more: the gateway is about to stop"):
            await reload
    assert (watched.ids, watched.given) == (["hot"], [])


async def test_a_file_that_is_being_written_is_waited_for(folder: Path) -> None:
    """Half of a file is often valid: its other rules would lose their timers, and their alerts would end."""
    async with Watched(folder) as watched:
        with (folder / "more.yaml").open("w") as file:
            for line in (WARM + WARM.replace("rules:\n", "").replace("id: warm", "id: last")).splitlines(keepends=True):
                file.write(line)
                file.flush()
                await asyncio.sleep(0.1)  # slower than a look, and never still between two
        await eventually("it counts", lambda: watched.given)

        assert watched.given == [["hot", "warm", "last"]]
        assert watched.refused == []


async def test_a_file_that_is_truncated_and_written_again_counts_when_it_is_whole(folder: Path) -> None:
    """As many editors save."""
    async with Watched(folder) as watched:
        with (folder / "boiler.yaml").open("w") as file:
            file.flush()
            await asyncio.sleep(0.3)  # empty for a moment
            file.write(WARM)
        await eventually("it counts", lambda: watched.given)

        assert watched.given == [["warm"]]


async def test_an_editor_that_puts_a_new_file_in_its_place_is_followed(folder: Path) -> None:
    """As vim and sed -i save; their other files are no rules."""
    async with Watched(folder) as watched:
        for number in range(2):
            (folder / ".boiler.yaml.swp").write_bytes(b"\0\1")
            (folder / "boiler.yaml~").write_text("rules: [")
            (folder / "4913").write_text(HOT.replace("id: hot", f"id: hot{number}"))
            (folder / "4913").replace(folder / "boiler.yaml")
            await eventually("it counts", lambda number=number: watched.ids == [f"hot{number}"])

        assert watched.refused == []


async def test_the_folder_may_go_and_come_back(folder: Path) -> None:
    """A share that is not there for a while is no reason to switch the rules off."""
    async with Watched(folder) as watched:
        away = folder.with_name("away")
        folder.rename(away)
        await eventually("it is said", lambda: watched.refused)
        assert watched.refused == [(f"{folder}: the folder is gone",)]
        assert watched.ids == ["hot"]

        away.rename(folder)
        await eventually("it is there", lambda: watched.watch.problems == ())
        assert watched.ids == ["hot"]


async def test_a_folder_that_is_made_later_counts(tmp_path: Path) -> None:
    """The first rule of an installation."""
    folder = tmp_path / "rules.d"
    async with Watched(folder) as watched:
        assert (watched.ids, watched.watch.problems) == ([], ())

        folder.mkdir()
        (folder / "boiler.yaml").write_text(HOT)
        await eventually("it counts", lambda: watched.ids == ["hot"])


async def test_what_is_no_plain_file_is_a_problem_and_not_waited_for(folder: Path) -> None:
    async with Watched(folder) as watched:
        os.mkfifo(folder / "pipe.yaml")
        (folder / "link.yaml").symlink_to(folder / "nowhere.yaml")
        await eventually("it is said", lambda: watched.refused)

        assert [problem.partition(": ")[0] for problem in watched.watch.problems] == [
            str(folder / "link.yaml"),
            str(folder / "pipe.yaml"),
        ]
        assert watched.ids == ["hot"]


async def test_the_rules_are_read_again_when_the_profiles_change(folder: Path) -> None:
    """What a rule says may mean nothing any more by a new profile: the old rules go on, and that is an alarm."""
    async with Watched(folder) as watched:
        watched.watch.use_profiles(catalogue(PROFILE.replace(b"temperature", b"heat")))
        await eventually("it is refused", lambda: watched.refused)
        assert watched.ids == ["hot"]

        watched.watch.use_profiles(catalogue())
        await eventually("it is well", lambda: watched.given == [["hot"]])
        assert watched.watch.problems == ()


async def test_at_the_start_what_is_valid_counts(folder: Path) -> None:
    """P7: there is nothing before that could go on."""
    (folder / "more.yaml").write_text(BROKEN)

    async with Watched(folder) as watched:
        assert watched.ids == ["hot"]
        await eventually("it is said", lambda: watched.refused)
        assert len(watched.watch.problems) == 1
