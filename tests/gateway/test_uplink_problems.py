"""What rules are told of uplinks: a webhook that has nothing to send is not one that is down."""

from __future__ import annotations

from fieldgate.rule_assembly import _uplink_problems
from uplink_kit import MemoryFeed, until
from webhook_kit import ScriptedHook, alert, answer, calling, webhook_config


async def test_a_webhook_at_rest_is_up_and_one_that_fails_is_down_with_its_reason():
    """Else every gateway with a pager would raise its own "uplink down" for ever, and tell the pager of it."""
    feed = MemoryFeed()
    hook = ScriptedHook(*[answer(503)] * 10_000)
    async with hook.serving(), calling(feed, webhook_config(hook.port)) as uplink:
        await feed.until(lambda: feed.down[-1:] == [False])
        assert _uplink_problems([uplink]) == {"pager": ""}

        feed.add([alert(1)])
        uplink.kick()
        await until(lambda: uplink.status.state == "backoff")
        assert _uplink_problems([uplink]) == {"pager": "the server answers 503 Words"}

        hook.replies.clear()
        await feed.settled(1)
        await until(lambda: uplink.status.state == "ready")
        assert _uplink_problems([uplink]) == {"pager": ""}
