"""Profiles are read again when they change, and count only as a whole (P7; row 78 of FAULTS.md)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fieldgate.ingest.profile_files import ProfileFiles, ProfileWatch
from fieldgate_devices.catalogue import Assigned, Catalogue
from gateway_kit import eventually
from profile_kit import BOILER
from watch_kit import RunningWatch

BROKEN = BOILER.replace("type: float", "type: flot", 1)


class Watched(RunningWatch):
    """A watch that runs, and what it gave out."""

    def __init__(self, folder: Path) -> None:
        self.given: list[Catalogue] = []
        files = ProfileFiles(folder)
        self.watch = ProfileWatch(files, files.load(), self.given.append)
        super().__init__(self.watch.run)

    @property
    def own(self) -> frozenset[str]:
        """The user's profiles in use."""
        return self.watch.loaded.catalogue.own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "devices.d"
    path.mkdir()
    (path / "boiler.yaml").write_text(BOILER)
    return path


async def test_a_changed_profile_is_used_and_one_that_is_gone_is_not(folder: Path) -> None:
    async with Watched(folder) as watched:
        assert watched.own == {"boiler"}

        (folder / "pump.yaml").write_text(BOILER.replace("profile: boiler", "profile: pump"))
        await eventually("the new one counts", lambda: watched.own == {"boiler", "pump"})
        (folder / "boiler.yaml").unlink()
        await eventually("the old one does not", lambda: watched.own == {"pump"})

        assert len(watched.given) == 2
        assert watched.watch.problems == ()


async def test_one_bad_profile_leaves_all_of_the_old_ones_in_use(folder: Path) -> None:
    """A typing error on a Sunday must not turn a plant's events into something else."""
    async with Watched(folder) as watched:
        (folder / "boiler.yaml").write_text(BROKEN)
        (folder / "pump.yaml").write_text(BOILER.replace("profile: boiler", "profile: pump"))
        await eventually("it is said", lambda: bool(watched.watch.problems))

        assert watched.own == {"boiler"}
        assert watched.given == []
        assert watched.watch.problems == (
            f"{folder / 'boiler.yaml'}:7:23: type: 'flot' is not known; "
            "allowed: float, int, bool, string, enum, object; did you mean 'float'?",
        )
        (folder / "boiler.yaml").write_text(BOILER)
        await eventually("mended, all count", lambda: watched.own == {"boiler", "pump"})
        assert watched.watch.problems == ()


async def test_the_folder_may_go_and_come_back(folder: Path) -> None:
    """A share that is not mounted for a moment is no wish to have no profiles."""
    async with Watched(folder) as watched:
        folder.rename(folder.with_name("away"))
        await eventually("it is said", lambda: watched.watch.problems == (f"{folder}: the folder is gone",))
        assert watched.own == {"boiler"}

        folder.with_name("away").rename(folder)
        (folder / "pump.yaml").write_text(BOILER.replace("profile: boiler", "profile: pump"))
        await eventually("it counts again", lambda: watched.own == {"boiler", "pump"})


async def test_a_link_that_leads_nowhere_is_named_and_the_folder_is_not_gone(folder: Path) -> None:
    """What is wrong is one file, and a person must learn which."""
    async with Watched(folder) as watched:
        (folder / "pump.yaml").symlink_to(folder / "nowhere")
        problem = f"{folder / 'pump.yaml'}: the file cannot be read: no such file or directory"
        await eventually("it is said", lambda: watched.watch.problems == (problem,))
        assert watched.own == {"boiler"}

        (folder / "nowhere").write_text(BOILER.replace("profile: boiler", "profile: pump"))
        await eventually("it leads somewhere", lambda: watched.own == {"boiler", "pump"})


async def test_an_editor_that_puts_a_new_file_in_its_place_is_followed(folder: Path) -> None:
    """vim keeps the old one under another name, moves it away and writes anew; others rename over it."""
    file = folder / "boiler.yaml"
    async with Watched(folder) as watched:
        file.rename(folder / "boiler.yaml~")
        file.write_text(BOILER.replace("max: 150", "max: 151"))
        (folder / "boiler.yaml~").unlink()
        await eventually("vim's counts", lambda: len(watched.given) == 1)
        (folder / ".boiler.tmp").write_text(BOILER.replace("max: 150", "max: 152"))
        (folder / ".boiler.tmp").rename(file)
        await eventually("the renamed one counts", lambda: len(watched.given) == 2)

        assert [one.contracts["boiler"].profile.fields["temperature"].max for one in watched.given] == [151.0, 152.0]


def test_what_is_no_plain_file_is_a_problem_and_not_waited_for(folder: Path) -> None:
    """A pipe in the folder would hold up the start for ever."""
    os.mkfifo(folder / "pump.yaml")
    (folder / "valve.yaml").mkdir()

    loaded = ProfileFiles(folder).load()

    assert loaded.problems == (
        f"{folder / 'pump.yaml'}: the file cannot be read: it is no plain file",
        f"{folder / 'valve.yaml'}: the file cannot be read: is a directory",
    )
    assert loaded.catalogue.own == {"boiler"}


async def test_a_file_that_is_being_written_is_waited_for(folder: Path) -> None:
    """Half of a valid file is often valid, too."""
    path = folder / "boiler.yaml"
    async with Watched(folder) as watched:
        for size in range(100, len(BOILER), 40):  # somebody copies over a slow line, for some seconds
            path.write_text(BOILER[:size])
            await asyncio.sleep(0.3)
        path.write_text(BOILER.replace("max: 150", "max: 151"))
        await eventually("the whole counts", lambda: bool(watched.given))

        assert [one.contracts["boiler"].profile.fields["temperature"].max for one in watched.given] == [151.0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_problem(folder: Path) -> None:
    (folder / "boiler.yaml").chmod(0)

    assert ProfileFiles(folder).load().problems == (
        f"{folder / 'boiler.yaml'}: the file cannot be read: permission denied",
    )


def test_at_the_start_the_profiles_that_are_right_count(folder: Path) -> None:
    """There is nothing older that could be used, and ingest never waits for a file to be mended."""
    (folder / "pump.yaml").write_text(BROKEN.replace("profile: boiler", "profile: pump"))

    loaded = ProfileFiles(folder).load()

    assert loaded.catalogue.own == {"boiler"}
    assert len(loaded.problems) == 1


def test_without_a_folder_there_are_the_built_in_profiles(tmp_path: Path) -> None:
    loaded = ProfileFiles(tmp_path / "none").load()

    assert (loaded.problems, loaded.catalogue.own) == ((), frozenset())
    assert loaded.catalogue.contracts


def test_a_source_that_names_no_profile_that_there_is_is_told(tmp_path):
    """The message says which source, and what may have been meant."""
    loaded = ProfileFiles(tmp_path / "none", {"serial/a": Assigned("ruuvy", "a", "scale")}).load()

    assert loaded.problems == ("sources: scale names profile 'ruuvy', and there is none; did you mean 'ruuvi'?",)
