"""The core of an HTTP connection on a virtual clock: cuts, deadlines, bounds, and every way to end."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.ingest.event_filter import EventFilter
from fieldgate.ingest.http_inbox import HttpTally, InboxTerms
from fieldgate.ingest.http_request import Head, TopicTemplate
from fieldgate.ingest.http_roles import Entry, HttpLimits, HttpVerdict
from fieldgate.ingest.http_session import HttpSession, Phase
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.session_roles import Refused
from http_kit import post
from listener_kit import HeldIntake, SettlingIntake

CHUNKED = b"POST /c HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"


class Desk:
    """A session with everything that it needs of others: `HttpLink` and `HttpAuthority` in one."""

    def __init__(self, intake: HeldIntake | None = None, *, is_slow: bool = False, **limits: object) -> None:
        self.now_s = 100.0
        self.written = b""
        self.closed: str = ""
        self.is_reading = True
        self.turns = 0
        self.is_in = False
        self.waiting: list[Callable[[HttpVerdict, float], None]] = []
        self.verdict: HttpVerdict | None = None
        self.intake = intake or SettlingIntake()
        self._is_slow = is_slow
        terms = InboxTerms(
            source="127.0.0.1:8080",
            intake=self.intake,
            broker=LocalBroker(),
            event_filter=EventFilter(["#"]),
            lane=1,
            max_unsettled_bytes=10_000,
            tally=HttpTally(),
        )
        self.tally = terms.tally
        self.session = HttpSession(
            self,
            authority=self,
            template=TopicTemplate("http/{path}"),
            terms=terms,
            limits=HttpLimits(**limits),  # type: ignore[arg-type]
            date=lambda: "Thu, 26 Nov 2026 13:00:00 GMT",
            now_s=self.now_s,
        )

    def feed(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.session.receive(chunk, self.now_s)
            self.run()

    def run(self) -> None:
        """What the loop does: the turns that were asked for."""
        while self.turns:
            self.turns -= 1
            self.session.go_on(self.now_s)

    def after(self, pause_s: float) -> None:
        self.now_s += pause_s
        self.session.tick(self.now_s)

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.written)]

    # HttpLink

    def write(self, chunk: bytes) -> None:
        assert not self.closed or not chunk
        self.written += chunk

    def close(self, *, at_once: bool) -> None:
        assert not self.closed
        self.closed = "at once" if at_once else "gently"

    def set_reading(self, is_wanted: bool) -> None:
        self.is_reading = is_wanted

    def go_on_soon(self) -> None:
        self.turns += 1

    def admitted(self) -> None:
        assert not self.is_in
        self.is_in = True

    # HttpAuthority

    def judge(self, head: Head, answer: Callable[[HttpVerdict, float], None]) -> HttpVerdict | None:
        if self._is_slow:
            self.waiting.append(answer)
            return None
        return self.verdict or Entry("amy", None, head.levels)


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
