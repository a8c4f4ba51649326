"""``fieldgate log-level``: the log of a gateway that runs says more, or less."""

from __future__ import annotations

from pathlib import Path

from command_kit import fieldgate, log_lines
from gateway_kit import Gateway, eventually, publish_once, running


async def test_a_running_gateway_says_more_and_then_less(tmp_path: Path) -> None:
    """At a customer's, without a restart, and with an end that comes by itself."""
    async with running(Gateway(tmp_path, uplinks={})) as gateway:
        before = await fieldgate("log-level", config=gateway.config)
        more = await fieldgate("log-level", "debug", "--for", "2s", config=gateway.config)
        await publish_once(gateway.port, "a", b"1")
        await eventually("a commit is told", lambda: "event=journal.committed" in gateway.log_text())
        await eventually("it is told that this is over", lambda: "now=info" in gateway.log_text())
        after = await fieldgate("log-level", "--json", config=gateway.config)
        less = await fieldgate("log-level", "error", config=gateway.config)
        wrong = await fieldgate("log-level", "loud", config=gateway.config)
        alone = await fieldgate("log-level", "--for", "1m", config=gateway.config)
        await publish_once(gateway.port, "a", b"2")
        told = log_lines(gateway.log_text())

    assert before.out.startswith("info   (")
    assert more.out.startswith("debug for another ")
    assert (after.json["level"], after.json["usual"], after.json["left_s"]) == ("info", "info", None)
    assert less.out.startswith("error   (")
    assert (wrong.code, alone.code) == (2, 2)
    assert "'loud' is none of debug, info, warning, error" in wrong.err
    changes = [(line["now"], line["for_s"]) for line in told if line["event"] == "log.level_changed"]
    assert changes == [("debug", "2.0"), ("info", ""), ("error", "")]
    assert told[-1]["event"] == "log.level_changed", "nothing is said at 'error' while all is well"
