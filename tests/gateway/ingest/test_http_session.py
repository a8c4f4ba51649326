"""The core of an HTTP connection on a virtual clock: cuts, deadlines, bounds, and every way to end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.ingest.http_roles import Entry
from fieldgate.ingest.http_session import Phase
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.session_roles import Refused
from http_desk import Desk
from http_kit import post
from listener_kit import HeldIntake

CHUNKED = b"POST /c HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"


REQUESTS = {
    "plain": post("/a", b"hello"),
    "chunked": CHUNKED + b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\nX: y\r\n\r\n",
    "empty": post("/a", b""),
    "put": post("/a", b"hello", method="PUT"),
    "a line too much before it": b"\r\n" + post("/a", b"hello"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_may_be_cut_at_every_byte(request_: bytes) -> None:
    """TCP cuts where it likes; what ends in the middle is no message."""
    for cut in range(len(request_) + 1):
        desk = Desk()
        desk.feed(request_[:cut], request_[cut:])
        desk.feed(post("/b", b"next"))
        assert desk.statuses == [204, 204], cut

        ended = Desk()
        ended.feed(request_[:cut])
        ended.session.receive_end(ended.now_s)
        is_whole = cut == len(request_)
        assert len(ended.intake.heard) == is_whole
        assert ended.statuses == [204] * is_whole
        assert ended.closed == "gently"
        assert ended.session.end_code == (
            "client_done" if is_whole or not request_[:cut].strip() else "connection_lost"
        )


def test_a_chunk_that_is_none_ends_the_connection() -> None:
    """The body cannot be told from what follows."""
    desk = Desk()
    desk.feed(CHUNKED + b"zz\r\nabc")

    assert desk.statuses == [400]
    assert b"Connection: close" in desk.written
    assert (desk.closed, desk.session.end_code) == ("gently", "malformed")
    assert desk.intake.heard == []


def test_a_chunk_that_is_none_behind_a_refusal_gets_no_second_answer() -> None:
    """One request, one answer."""
    desk = Desk()
    desk.feed(CHUNKED.replace(b"/c", b"/+") + b"zz\r\n")

    assert desk.statuses == [400]
    assert desk.closed == "gently"


def test_what_nobody_wants_is_thrown_away_up_to_a_limit() -> None:
    """A refused sender may not keep the line busy for ever."""
    desk = Desk(max_body_bytes=1000)
    desk.feed(CHUNKED.replace(b"/c", b"/+"))
    desk.feed(*[b"64\r\n" + bytes(100) + b"\r\n"] * 11)

    assert desk.statuses == [400]
    assert desk.session.end_code == "too_large"
    assert len(desk.session._body) == 0


def test_a_refused_body_of_a_fitting_size_ends_and_the_next_request_counts() -> None:
    """The connection goes on."""
    desk = Desk(max_body_bytes=1000)
    desk.feed(post("/+", bytes(900)), post("/a", bytes(900)))

    assert desk.statuses == [400, 204]


def test_a_body_too_large_in_chunks_is_answered_once() -> None:
    """It cannot be known beforehand."""
    desk = Desk(max_body_bytes=1000)
    desk.feed(CHUNKED, *[b"64\r\n" + bytes(100) + b"\r\n"] * 11)

    assert desk.statuses == [413]
    assert desk.closed == "gently"
    assert desk.intake.heard == []


def test_success_bears_the_time_and_nothing_else() -> None:
    """[RFC 9110 6.6.1]."""
    desk = Desk()
    desk.feed(post())

    assert desk.written == b"HTTP/1.1 204 \r\nDate: Thu, 26 Nov 2026 13:00:00 GMT\r\n\r\n"


# -- deadlines ---------------------------------------------------------------------------------------------------


# -- bounds ------------------------------------------------------------------------------------------------------


def test_a_turn_does_a_bounded_number_of_steps() -> None:
    """P8: a thousand requests in one read, or a body in thousands of pieces, let others have their turn."""
    many = Desk()
    many.session.receive(post() * 1000, many.now_s)
    assert 0 < len(many.intake.heard) < 100
    assert (many.turns, many.is_reading) == (1, False)
    many.run()
    assert len(many.intake.heard) == 1000
    assert many.is_reading

    pieces = Desk()
    pieces.session.receive(CHUNKED + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n", pieces.now_s)
    assert pieces.intake.heard == []
    assert pieces.turns == 1
    pieces.run()
    assert pieces.intake.payloads == [b"x" * 5000]


@pytest.mark.parametrize("size", [3000, 1])
def test_what_is_not_safe_is_bounded_and_then_nothing_is_read(size: int) -> None:
    """By bytes and by number; at half of it reading goes on, and the flow is told that somebody stands still."""
    desk = Desk(HeldIntake())
    desk.feed(post("/a", bytes(size)) * 400)
    waiting = len(desk.intake.heard)
    assert waiting == (4 if size == 3000 else 101)
    assert not desk.is_reading
    assert desk.intake.stalls > 0

    done = 0
    while done < len(desk.intake.batches):
        desk.intake.settle(done)
        done += 1
        desk.run()
    assert len(desk.intake.heard) == 400
    assert desk.statuses == [204] * 400
    assert desk.is_reading


def test_who_does_not_read_answers_is_not_read() -> None:
    """Answers would pile up."""
    desk = Desk()
    desk.session.set_congested(True)
    desk.feed(post())
    assert desk.intake.heard == []
    assert not desk.is_reading
    desk.session.set_congested(False)
    desk.run()

    assert desk.statuses == [204]
    assert desk.is_reading


# -- the end -----------------------------------------------------------------------------------------------------


def test_a_verdict_that_comes_too_late_is_nothing() -> None:
    """The connection may be gone, or the gateway about to stop."""
    gone, stopped = Desk(is_slow=True), Desk(is_slow=True)
    for desk in (gone, stopped):
        desk.feed(post())
        assert desk.session.phase is Phase.VERDICT
    gone.session.lost("connection closed")
    stopped.session.stop()
    for desk in (gone, stopped):
        desk.waiting[0](Entry("amy", None, ("a",)), desk.now_s)
        assert desk.intake.heard == []


def test_a_refusal_that_was_thought_about_is_an_answer() -> None:
    """The password was wrong."""
    desk = Desk(is_slow=True)
    desk.feed(post())
    desk.waiting[0](Refused(Reason.SERVER_BUSY, "login_queue_full", "busy"), desk.now_s)

    assert desk.statuses == [503]
    assert desk.session.phase is Phase.HEAD


@pytest.mark.parametrize(
    ("before", "statuses"),
    [
        ((), []),
        ((b"POST /a HT",), [503]),
        ((post("/a", b"", length=5),), [503]),
        ((post("/+", b"", length=5),), [400]),
        ((post(),), [204]),
    ],
)
def test_a_stop_tells_those_who_wait(before: tuple[bytes, ...], statuses: list[int]) -> None:
    """They come again; who is idle is closed without a word."""
    desk = Desk()
    desk.feed(*before)
    desk.session.stop()
    desk.session.shut_down()
    desk.session.shut_down()

    assert desk.statuses == statuses
    assert (desk.closed, desk.session.end_code) == ("gently", "stopping")


def test_nothing_is_taken_after_a_stop() -> None:
    """What is unsettled then is written; what came later would be lost."""
    desk = Desk(HeldIntake())
    desk.feed(post("/1"))
    desk.session.stop()
    desk.feed(post("/2"))
    assert len(desk.intake.heard) == 1
    desk.intake.settle(0)
    desk.session.shut_down()

    assert desk.statuses == [204, 503]


def test_after_the_end_nothing_happens() -> None:
    """Timers, late settlements and further bytes find a closed connection."""
    desk = Desk(HeldIntake())
    desk.feed(post())
    desk.session.fail("max_connecting", "made room", at_once=True)
    desk.feed(post())
    desk.session.receive_end(desk.now_s)
    desk.after(1000)
    desk.intake.settle(0)
    desk.session.lost("connection closed")

    assert (desk.closed, desk.written, desk.session.end_code) == ("at once", b"", "max_connecting")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_comes_there_is_an_end_and_no_exception(data: st.DataObject) -> None:
    """Requests with bytes changed, taken out and put in: never an exception, never more than one answer each."""
    wire = bytearray(b"".join(REQUESTS.values()) + post("/d", b"x", "Expect: 100-continue"))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(wire) - 1))
        wire[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    desk = Desk()
    step = data.draw(st.integers(1, 200))
    desk.feed(*(bytes(wire[start : start + step]) for start in range(0, len(wire), step)))
    desk.session.receive_end(desk.now_s)
    desk.run()

    final = [status for status in desk.statuses if status != 100]
    assert desk.closed
    assert len(final) <= desk.tally.requests + 1
    assert final.count(204) == len(desk.intake.heard)
