"""What the README names is there: commands, options, targets, folders, links, tables."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable

import click
import pytest
import typer

from fieldgate.cli.app import build_app
from readme_kit import BLOCKS, README, ROOT


def commands() -> dict[str, click.Command]:
    """Every command by the words that call it."""
    found: dict[str, click.Command] = {}

    def walk(words: str, command: click.Command) -> None:
        for name, child in getattr(command, "commands", {}).items():
            walk(f"{words} {name}", child)
        if getattr(command, "invoke_without_command", True) and not command.hidden:
            found[words] = command

    walk("fieldgate", typer.main.get_command(build_app()))
    return found


def test_every_command_is_in_the_readme():
    """A command that nobody can find is not there."""
    missing = [words for words in commands() if f"`{words}`" not in README]

    assert missing == []


def not_understood(lines: Iterable[str]) -> list[str]:
    """Those whose command or options do not exist."""
    known, wrong = commands(), []
    for line in lines:
        words = shlex.split(line)
        name = next((" ".join(words[:count]) for count in (3, 2) if " ".join(words[:count]) in known), None)
        options = {word for word in words if word.startswith("-")}
        if name is None or options - {text for one in known[name].params for text in one.opts}:
            wrong.append(line)
    return wrong


def test_every_command_in_the_readme_exists_with_its_options():
    """A reader types what stands there."""
    typed = "\n".join(text for kind, text in BLOCKS if kind in ("sh", "console", "text"))
    shown = set(re.findall(r"^(?:\$ )?(?:sudo )?(fieldgate [a-z].*)$", typed, re.MULTILINE))
    shown |= set(re.findall(r"`(fieldgate [a-z][^`]*)`", README))
    shown = {re.split(r" +(?:#|&&|\|) ", line)[0] for line in shown}

    assert len(shown) >= 50
    assert not_understood(shown) == []


def test_a_command_or_option_that_does_not_exist_is_noticed():
    """The mutant of the test above."""
    wrong = ["fieldgate runn", "fieldgate check --fast", "fieldgate journal tale"]

    assert not_understood([*wrong, "fieldgate check -c fieldgate.yaml", "fieldgate journal tail -f"]) == wrong


def test_every_make_target_in_the_readme_exists():
    """The same for make."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = set(re.findall(r"`make ([a-z-]+)", README)) | set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))

    assert shown >= {"demo", "test", "bench"}
    assert [name for name in shown if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize(("target", "asked"), [("demo", "tests/setup.sh {0} demo"), ("test", "tests/setup.sh {0}")])
def test_the_demo_is_set_up_without_what_the_tests_need(target, asked, tmp_path):
    """Who wants to see it work gets no broker, file systems and Node.js installed."""
    venv = tmp_path / "venv"

    planned = subprocess.run(
        ["make", "-n", target, f"VENV={venv}"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    ).stdout

    assert [line.partition("bash ")[2] for line in planned.splitlines() if "setup.sh" in line] == [asked.format(venv)]


def test_every_top_level_folder_is_in_the_readme():
    """Who opens the repository sees folders first."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    folders = {line.split("/")[0] for line in listed.splitlines() if "/" in line and not line.startswith(".")}

    assert folders or not (ROOT / ".git").exists()
    assert [name for name in folders if f"[{name}/](" not in README] == []


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "deploy/README.md", "devices/README.md", "gateway/README.md",
             "gateway/COMMANDS.md", "gateway/CONFIG.md", "gateway/METRICS.md", "gateway/TRACING.md",
             "gateway/DOCTOR.md", "rules/README.md", "simulators/README.md", "tests/README.md",
             "tests/bench/README.md"],
)  # fmt: skip
def test_links_within_the_repository_lead_somewhere(page):
    """A dead link is found by the reader who needed it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]

    dead = []
    for target in targets:
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE) if anchor else []
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        is_made_later = file.resolve() == ROOT / "gateway" / "benchmark"  # by `make bench`
        if not is_made_later and (not file.exists() or (anchor and anchor not in slugs)):
            dead.append(target)
    assert dead == []


def test_every_file_that_the_way_of_an_event_names_is_there():
    """`gateway/README.md` is read beside the code."""
    text = (ROOT / "gateway" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_/]+(?:\.py|/))`", text))
    places = (ROOT / "gateway" / "fieldgate", ROOT / "gateway", ROOT)

    assert len(named) > 20
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_the_benchmark_table_is_the_one_that_was_measured():
    """Figures come from `make bench --publish` and from nowhere else."""
    table = ROOT / "gateway" / "benchmark" / "table.md"
    section = README.split("<!-- bench -->")[1].strip()

    if table.exists():
        assert table.read_text(encoding="utf-8").strip() in section
    else:
        assert section.startswith("Not measured for this version yet.")
        assert "|" not in section
