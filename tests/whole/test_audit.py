"""``fieldgate audit``: what somebody needs to know afterwards is there, and no secret is."""

from __future__ import annotations

import os
from pathlib import Path

from access_kit import knock, users_text, write_private
from command_kit import fieldgate
from fieldgate.journal.audit_file import read_audit
from fieldgate.mqtt.packets import Subscribe, Subscription
from gateway_kit import Gateway, running
from listener_kit import RawClient

ACL = "all_users:\n  - {allow: publish, topic: 'a/#'}\n"


async def test_log_ins_denials_and_what_was_told_are_kept(tmp_path: Path) -> None:
    """With the level at 'error', too, and over a stop; by whom, from where, when."""
    users = write_private(tmp_path / "users", users_text(amy="apple-secret"))
    acl = write_private(tmp_path / "acl.yaml", ACL)
    gateway = Gateway(tmp_path, uplinks={}, listen={"auth": {"users": str(users), "acl": str(acl)}})
    async with running(gateway):
        right, client = await knock(gateway.port, "amy", "apple-secret", client_id="boiler")
        wrong, _ = await knock(gateway.port, "amy", "pear-secret")
        client.write(Subscribe(1, (Subscription("b/#", 1),)))
        await client.receive()
        await fieldgate("log-level", "error", config=gateway.config)
        await fieldgate("reload", config=gateway.config)
        await fieldgate("status", config=gateway.config)
        shown = await fieldgate("audit", config=gateway.config)
        await RawClient.close_all()
        await gateway.stop()
        after = list(read_audit(gateway.state))
        young = await fieldgate("audit", "--since", "1h", config=gateway.config)
        none = await fieldgate("audit", "--since", "2099-01-01T00:00:00Z", config=gateway.config)

    by_event = {one["event"]: one for one in after}
    uid = str(os.getuid())
    assert (right, wrong) == (0, 134)
    assert by_event["client.connected"]["user"] == by_event["client.not_admitted"]["user"] == "amy"
    assert by_event["client.connected"]["address"] == "127.0.0.1"
    assert "user name or password" in by_event["client.not_admitted"]["reason"]
    assert by_event["acl.denied"] | {"at": ""} == {
        "at": "", "event": "acl.denied", "listener": f"127.0.0.1:{gateway.port}", "user": "amy",
        "what": "subscribe", "count": 1,
    }  # fmt: skip
    asked = [(one["request"], str(one["by_uid"])) for one in after if one["event"] == "control.asked"]
    assert asked == [("log.level", uid), ("reload", uid)]
    assert {"gateway.started", "gateway.stopping", "log.level_changed", "config.reloaded"} <= by_event.keys()
    assert "client.connected" in shown.out
    assert len(young.out.splitlines()) == len(after)
    assert (none.out, none.err) == ("", "nothing is recorded since then\n")
    assert "secret" not in (gateway.state / "audit.jsonl").read_text(encoding="utf-8")
