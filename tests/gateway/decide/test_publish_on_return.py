"""Commands for a device that was away: what leaves when it returns, and what does not."""

from __future__ import annotations

import pytest

from fieldgate.decide.orders import Outcome, Status
from fieldgate.mqtt.memory import BrokerMemory
from fieldgate.mqtt.packets import Properties, PubAck, Publish
from publish_desk_kit import Desk, device, got, state_of
from session_kit import Server

RETURN = Properties(session_expiry_s=3600)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def desk(server: Server) -> Desk:
    return Desk(server)


def test_what_leaves_for_a_device_that_returned_is_on_no_disk_any_more(server: Server, desk: Desk) -> None:
    """A crash right after the device got it must not give it to the device once more."""
    memory = BrokerMemory(server.broker, base_s=0.0)
    device(server, kept=True).vanish()
    desk.execute(desk.job())
    stored = memory.changes(server.now_s)
    desk.save()
    client = server.connect("b7", version=5, clean=False, properties=RETURN)
    marks = desk.executor.unsaved()
    changes = memory.changes(server.now_s)
    before = client.early
    desk.executor.saved(marks, "")

    assert list(stored.deliveries) == [(1, 1)]
    assert changes.deliveries == {(1, 1): None}
    assert before == []
    assert got(client).payload == b'{"target":55}'


def test_what_was_saved_while_it_was_there_does_not_let_it_leave(server: Server, desk: Desk) -> None:
    """The disk holds it still: it leaves after the next time."""
    device(server, kept=True).vanish()
    desk.execute(desk.job())
    marks = desk.executor.unsaved()
    client = server.connect("b7", version=5, clean=False, properties=RETURN)
    desk.executor.saved(marks, "")
    before = client.received()
    desk.save()

    assert before == []
    assert desk.statuses == [Status.ACCEPTED]
    assert got(client).payload == b'{"target":55}'


def test_what_was_sent_and_not_acknowledged_does_not_go_on_after_a_restart(server: Server, desk: Desk) -> None:
    """The device may have done it: nobody knows, and it is not repeated."""
    memory = BrokerMemory(server.broker, base_s=0.0)
    device(server, kept=True).vanish()
    desk.execute(desk.job())
    desk.save()
    client = server.connect("b7", version=5, clean=False, properties=RETURN)
    desk.save()
    got(client)
    client.vanish()
    later = Server()
    stored = state_of(memory.everything(server.now_s))
    BrokerMemory(later.broker, base_s=0.0).restore(stored, max_bytes=2**20, now_s=later.now_s)
    desk = Desk(later)
    goes_on = desk.executor.resume(desk.job(), desk.outcomes.append)
    desk.executor.resumed()

    assert len(stored.deliveries) == 1
    assert not goes_on
    assert later.connect("b7", version=5, clean=False).early == []


def test_commands_stay_in_order_while_a_device_returns(server: Server, desk: Desk) -> None:
    """Open, then close, must not end open."""
    device(server, kept=True).vanish()
    for mark in ("m1", "m2"):
        desk.execute(desk.job(mark=mark))
    desk.save()
    client = server.connect("b7", version=5, clean=False, properties=RETURN)
    desk.execute(desk.job(mark="m3"))
    early = client.received()
    desk.save()
    told = [
        packet.properties.user[0][1]
        for packet in client.received()
        if isinstance(packet, Publish) and packet.properties
    ]

    assert early == []
    assert told == ["m1", "m2", "m3"]


def test_what_is_given_up_while_it_waits_to_leave_does_not_leave(server: Server, desk: Desk) -> None:
    device(server, kept=True).vanish()
    first, later = desk.job(), desk.job(mark="m2")
    desk.execute(first)
    desk.save()
    client = server.connect("b7", version=5, clean=False, properties=RETURN)
    desk.execute(later)
    taken_back = [desk.executor.cancel(first), desk.executor.cancel(later)]
    desk.save()

    assert taken_back == [True, True]
    assert client.received() == []
    assert not desk.executor.has_unsaved


def test_a_device_that_is_away_again_before_it_got_it_gets_it_later(server: Server, desk: Desk) -> None:
    device(server, kept=True).vanish()
    desk.execute(desk.job())
    desk.save()
    server.connect("b7", version=5, clean=False, properties=RETURN).vanish()
    kept_bytes = server.broker.sessions.away_bytes
    desk.save()
    client = server.connect("b7", version=5, clean=False, properties=RETURN)
    desk.save()
    client.send(PubAck(got(client).packet_id))

    assert kept_bytes == 0
    assert server.broker.sessions.away_bytes == 0
    assert desk.statuses == [Status.ACCEPTED, Status.DONE]


def test_what_cannot_be_recorded_does_not_leave(server: Server, desk: Desk) -> None:
    device(server, kept=True).vanish()
    desk.execute(desk.job())
    desk.save()
    client = server.connect("b7", version=5, clean=False, properties=RETURN)
    desk.save("disk full")

    assert client.received() == []
    assert desk.outcomes[-1] == Outcome(
        Status.REFUSED, "that it leaves cannot be recorded, so it was not sent: disk full"
    )
