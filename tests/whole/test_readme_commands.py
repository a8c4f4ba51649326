"""The chapter "Tell a device something" of the README, typed word by word: a boiler, a person, a program upstream."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, eventually, running
from readme_kit import README, Reader, chapter

BLOCKS = chapter("Tell a device something")


def of_any_time(printed: str) -> list[str]:
    """Ids that are ours and times left out."""
    printed = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", printed)
    return re.sub(r"\b[0-9a-f]{16}\b", "ID", printed).splitlines()


def typed_and_shown(text: str) -> list[tuple[str, str]]:
    """Each line after a ``$``, and what stands below it."""
    return [(one.partition("\n")[0], one.partition("\n")[2]) for one in re.split(r"^\$ ", text, flags=re.M)[1:]]


def exit_code(status: str) -> int:
    (code,) = re.findall(rf"^\| `{status}` \| (\d) \|", README, re.MULTILINE)
    return int(code)


@pytest.mark.skipif(shutil.which("mosquitto_rr") is None, reason="mosquitto's clients are not installed")
async def test_a_boiler_is_told_something_as_the_readme_says(tmp_path: Path) -> None:
    """By hand and from upstream, with the profile, the commands and the answers of the chapter."""
    (profile, upstream), (as_device,) = ([text for kind, text in BLOCKS if kind == want] for want in ("yaml", "sh"))
    by_hand, from_upstream = [typed_and_shown(text) for kind, text in BLOCKS if kind == "text"]
    speak, listen = as_device.splitlines()
    heard = tmp_path / "heard.log"
    async with Broker() as broker:
        gateway = Gateway(tmp_path, uplinks={})
        own = {"mqtts://broker.example": f"mqtt://127.0.0.1:{broker.port}"}
        local = {f"mosquitto_{verb} -q": f"mosquitto_{verb} -p {gateway.port} -q" for verb in ("pub", "sub")}
        reader = Reader(tmp_path, own | local)
        (tmp_path / "devices.d").mkdir()
        (tmp_path / "devices.d" / "boiler.yaml").write_text(profile, encoding="utf-8")
        gateway.settings["gateway"]["id"] = "plant-7"
        gateway.settings["uplinks"] = {"cloud": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "commands": True}}}
        assert " ".join(upstream.split()) == "uplinks: cloud: mqtt: {url: 'mqtts://broker.example', commands: true}"
        async with running(gateway):
            assert (await reader.types(speak))[0] == 0
            await eventually("the uplink is connected", lambda: "uplink.connected" in gateway.log_text())
            async with reader.leaves_running(listen, heard):

                async def listens() -> bool:
                    return bool((await gateway.status())["local_delivery"]["subscriptions"])

                await eventually("the boiler listens", listens)
                for line, shown in [*by_hand, *from_upstream, *from_upstream]:
                    code, printed = await reader.types(line)
                    assert of_any_time(printed) == of_any_time(shown), line
                    told = re.match(r"b7 \w+ (\w+)", printed)
                    assert code == (exit_code(told[1]) if told else 0), line

    assert len(by_hand) == 4
    assert heard.read_text(encoding="utf-8").split() == ['{"target":55.0}', '{"target":60.0}']
