"""The chapter "Write a rule" of the README, typed word by word: a boiler that is too hot, and one that is not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from gateway_kit import Gateway, eventually, running
from readme_kit import Reader, chapter, is_shown

RULE, SILENT, PAGER = (text for kind, text in chapter("Write a rule") if kind == "yaml")
CHECKED, ALERT, EXPLAINED = (text for kind, text in chapter("Write a rule") if kind == "text")
WATCH, BOILER, SPEAK = next(text for kind, text in chapter("Write a rule") if kind == "sh").splitlines()
PROFILE = next(text for kind, text in chapter("Tell a device something") if kind == "yaml")


def of_any_time(printed: str) -> list[str]:
    """Ids that are ours and times left out."""
    printed = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", printed)
    return re.sub(r"\b[0-9a-f]{16}-\d+\b", "ID", printed).splitlines()


def typed_and_shown(text: str) -> list[tuple[str, str]]:
    """Each line after a ``$``, and what stands below it."""
    return [(one.partition("\n")[0], one.partition("\n")[2]) for one in re.split(r"^\$ ", text, flags=re.M)[1:]]


def plant(folder: Path) -> tuple[Gateway, Reader]:
    """A gateway with the profile of the chapter before, and who types in its folder."""
    gateway = Gateway(folder, uplinks={})
    gateway.settings["gateway"]["id"] = "plant-7"
    (folder / "devices.d").mkdir()
    (folder / "devices.d" / "boiler.yaml").write_text(PROFILE, encoding="utf-8")
    local = {f"mosquitto_{verb} -": f"mosquitto_{verb} -p {gateway.port} -" for verb in ("pub", "sub")}
    return gateway, Reader(folder, {"/home/pi/gateway": str(folder)} | local)


@pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="mosquitto's clients are not installed")
async def test_a_rule_is_written_tested_seen_and_explained_as_the_readme_says(tmp_path: Path) -> None:
    """From no rule to an alert, a command, and the reason why nothing happened, in a gateway that runs already."""
    gateway, reader = plant(tmp_path)
    alerts, told = tmp_path / "alerts.log", tmp_path / "told.log"

    async def is_in_force() -> bool:
        return (await gateway.status())["rules"]["count"] == 1

    async def two_listen() -> bool:
        return (await gateway.status())["local_delivery"]["subscriptions"] == 2

    async with running(gateway):
        (tmp_path / "rules.d").mkdir()
        (tmp_path / "rules.d" / "boiler.yaml").write_text(RULE, encoding="utf-8")
        for line, shown in typed_and_shown(CHECKED):
            assert await reader.types(line) == (0, shown), line
        await eventually("the rule is in force", is_in_force)
        async with (
            reader.leaves_running(f"stdbuf -oL {WATCH}", alerts),
            reader.leaves_running(f"stdbuf -oL {BOILER}", told),
        ):
            await eventually("both terminals listen", two_listen)
            assert await reader.types(SPEAK) == (0, "")
            await eventually("the boiler was told", lambda: told.read_text(encoding="utf-8") != "", within_s=30)
            for line, shown in typed_and_shown(EXPLAINED):
                code, printed = await reader.types(line)
                assert code == 0, printed
                shows = is_shown(of_any_time(shown), of_any_time(printed))
                assert shows, f"{line}\nshown:\n{shown}\nprinted:\n{printed}"
            assert await reader.types(SPEAK.replace("85", "74")) == (0, "")
            await eventually("it is over", lambda: len(alerts.read_text(encoding="utf-8").splitlines()) == 3)

    raised, resolved, empty = of_any_time(alerts.read_text(encoding="utf-8"))
    assert [raised] == of_any_time(ALERT)
    assert resolved == raised.replace("raised", "resolved")
    assert empty == "fieldgate/plant-7/alerts/boiler-hot/b7 (null)"
    assert told.read_text(encoding="utf-8").splitlines() == ['{"target":20.0}']


async def test_a_template_and_a_webhook_are_added_as_the_readme_says(tmp_path: Path) -> None:
    """What the rest of the chapter shows is taken as it stands, and by nothing less than all of the checks."""
    gateway, reader = plant(tmp_path)
    gateway.config.write_text(f"{PAGER}journal: {{path: {gateway.state}}}\n", encoding="utf-8")
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d" / "silent.yaml").write_text(SILENT, encoding="utf-8")
    with_pager = RULE.replace('°C"}', '°C", notify: [pager]}')
    assert with_pager != RULE
    (tmp_path / "rules.d" / "boiler.yaml").write_text(with_pager, encoding="utf-8")

    checked, rules = await reader.types("fieldgate check"), await reader.types("fieldgate rules check")

    assert (checked[0], checked[1].splitlines()[-1]) == (0, "fieldgate.yaml: ok"), checked
    assert rules == (0, "/home/pi/gateway/rules.d: 2 rules: ok\n")
