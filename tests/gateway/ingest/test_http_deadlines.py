"""The deadlines of an HTTP session."""

from __future__ import annotations

from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.session_roles import Refused
from http_desk import Desk
from http_kit import post
from listener_kit import HeldIntake


def test_who_does_not_come_in_is_closed() -> None:
    """Slowloris: a head that trickles in, or none at all."""
    silent, slow = Desk(), Desk()
    slow.feed(b"POST /a HT")
    for desk in (silent, slow):
        desk.after(4.9)
        assert not desk.closed
    slow.feed(b"TP/1.1\r\n")
    for desk in (silent, slow):
        desk.after(0.2)
        assert (desk.closed, desk.session.end_code) == ("gently", "connect_timeout")
    assert silent.statuses == []
    assert slow.statuses == [408]


def test_who_asks_again_and_again_in_vain_is_closed_too() -> None:
    """Refusals are no way to stay."""
    desk = Desk()
    desk.verdict = Refused(Reason.NOT_AUTHORIZED, "not_logged_in", "no")
    for _ in range(10):
        desk.feed(post())
        desk.after(0.6)

    assert desk.session.end_code == "connect_timeout"
    assert set(desk.statuses) == {401}
    assert not desk.is_in


def test_a_body_that_trickles_in_has_its_time() -> None:
    """From the first byte of the request, however often one comes."""
    desk = Desk()
    desk.feed(post("/a", b"", length=1000))
    for _ in range(14):
        desk.after(2.0)
        desk.feed(b"x")
    assert not desk.closed
    desk.after(2.1)

    assert desk.statuses == [408]
    assert desk.session.end_code == "request_timeout"
    assert desk.intake.heard == []


def test_a_refused_body_that_trickles_in_gets_no_second_answer() -> None:
    """It has been answered."""
    desk = Desk()
    desk.feed(post())
    desk.feed(post("/+", b"", length=1000))
    desk.after(31)

    assert desk.statuses == [204, 400]
    assert desk.session.end_code == "request_timeout"


def test_silence_ends_a_connection_without_a_word() -> None:
    """Keep-alive, but not for ever; each request begins it anew."""
    desk = Desk()
    for _ in range(3):
        desk.feed(post())
        desk.after(0)
        desk.after(59)
    assert not desk.closed
    desk.after(1.1)

    assert (desk.closed, desk.session.end_code) == ("gently", "idle_timeout")
    assert desk.statuses == [204] * 3


def test_what_is_not_safe_in_time_is_told_and_what_settles_later_does_nothing() -> None:
    """A sender must not wait for ever, and must not be told that it is safe. What was due before leaves first."""
    desk = Desk(HeldIntake())
    desk.feed(post("/1"))
    desk.feed(post("/2"), post("/3"))
    desk.after(29.9)
    assert desk.statuses == []
    desk.intake.settle(0)
    desk.after(0.2)

    assert desk.statuses == [204, 503]
    assert b"Retry-After: 5" in desk.written
    assert (desk.closed, desk.session.end_code) == ("gently", "answer_timeout")
    desk.intake.settle(1)
    desk.intake.settle(2)
    assert desk.statuses == [204, 503]


def test_no_deadline_counts_while_we_do_not_read() -> None:
    """Our slowness is not the sender's."""
    desk = Desk(HeldIntake(), answer_timeout_s=1000.0)
    desk.feed(*(post(f"/{n}", bytes(3000)) for n in range(4)), post("/x", b"", length=10))
    assert not desk.is_reading
    desk.after(100)
    assert not desk.closed
    for batch in range(4):
        desk.intake.settle(batch)
    desk.run()
    desk.feed(b"0123456789")

    assert len(desk.intake.heard) == 5
