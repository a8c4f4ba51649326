"""What is decided about a webhook without a server: bodies, verdicts, pauses, doubts; the wire, cut at every byte."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from fieldgate.forward.webhook_body import WebhookBody, alert_line
from fieldgate.forward.webhook_verdict import (
    MAX_WAIT_S,
    Doubts,
    is_about_event,
    refusal_text,
    retry_after_s,
    verdict,
)
from fieldgate.net.http_exchange import Answer, BadAnswer, HttpExchange
from fieldgate_devices.event import Address
from uplink_kit import make_event
from webhook_kit import alert, webhook_config

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9

# -- lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'{"state":"raised","severity":"warning","text":"door open"}', "WARNING boiler-1: door open"),
        (b'{"state":"updated","severity":"critical","text":"92 C"}', "CRITICAL boiler-1: 92 C"),
        (b'{"state":"resolved","severity":"critical","text":"too hot"}', "RESOLVED boiler-1: too hot"),
        (
            b'{"state":"resolved","severity":"critical","text":"too hot","reason":"the rule was removed"}',
            "RESOLVED boiler-1: too hot (the rule was removed)",
        ),
        (b'{"state":"raised","rule":"overheat","text":""}', "ALERT boiler-1: overheat"),
        (b'{"state":"raised","text":"two\\nlines\\u0000"}', "ALERT boiler-1: two lines\x00"),
        (b'{"state":7}', 'alert boiler-1: {"state":7}'),
        (b'{"text":"\xff"}', 'alert boiler-1: {"text":"\ufffd"}'),
    ],
)
def test_an_alert_is_one_line_that_a_person_reads_at_night(data: bytes, line: str):
    """How bad, which device, what."""
    assert alert_line(make_event(1, data, address=Address("boiler-1", "alert", "x"))) == line


def test_other_events_are_their_data():
    """A rule may tell a webhook of any event."""
    assert alert_line(make_event(1, b'{"n":1}', address=Address("d", "reading", "x"))) == 'reading d: {"n":1}'
    assert alert_line(make_event(1, b"\x00\x01", is_json=False)) == "message site.a: 2 bytes"


def test_no_line_is_longer_than_servers_take():
    """ntfy makes an attachment of what is longer than 4,096 bytes."""
    line = alert_line(alert(1, "x" * 10_000))

    assert len(line) == 3_000
    assert line.endswith("x…")


def test_an_event_that_newer_ones_have_passed_says_so():
    """As in every other form."""
    body = WebhookBody(webhook_config(1), gateway="gw", os_boot_of=lambda _run: None)

    _, plain = body.of(alert(1), host="h", is_stored=False)
    headers, stored = body.of(alert(1), host="h", is_stored=True)

    assert "drained" not in json.loads(plain)
    assert json.loads(stored)["drained"] is True
    assert dict(headers)["Content-Length"] == str(len(stored))


# -- verdicts -------------------------------------------------------------------------------------------------


def test_every_status_has_its_verdict():
    """2xx is taken; what may pass, or a person can mend, is tried again; the rest never will be taken as it is."""
    later = {408, 425, 429, *range(500, 600)} - {501, 505}
    shut = {*range(300, 400), 401, 402, 403, 404, 405, 407, 410, 421, 426, 501, 505}
    for status in range(200, 600):
        kinds = {"taken": status < 300, "later": status in later, "not_let_in": status in shut}
        expected = next((kind for kind, is_so in kinds.items() if is_so), "never")
        assert verdict(status) == expected, status


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("", 0.0),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("999999999999999999999", MAX_WAIT_S),
        ("-5", 0.0),
        ("soon", 0.0),
        ("1.5", 0.0),
        ("٣", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), MAX_WAIT_S),
        ("Fri, 27 Nov 2026 12:01:00", 60.0),
        ("Fri, 99 Foo 2026 25:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_longer_than_an_hour(said: str, wait_s: float):
    """A server may ask for patience, not for silence for ever."""
    assert retry_after_s({"retry-after": said} if said else {}, wall_ns=NOW_NS) == wait_s


def test_a_date_says_nothing_while_nobody_knows_the_time():
    """A clock of 1970 would wait the full hour each time."""
    assert retry_after_s({"retry-after": format_datetime(NOW, usegmt=True)}, wall_ns=None) == 0.0
    assert retry_after_s({"retry-after": "30"}, wall_ns=None) == 30.0


def test_five_failures_of_one_event_make_a_trial_due_and_of_others_none():
    """A server that fails over every event is not to be blamed on one."""
    doubts = Doubts()
    for _ in range(4):
        doubts.failed("a", is_about_event=True)
    assert not doubts.is_trial_due
    doubts.failed("a", is_about_event=True)
    assert doubts.is_trial_due

    doubts.failed("b", is_about_event=True)  # the trial: it takes none
    assert not doubts.is_trial_due


def test_a_server_that_says_not_now_says_nothing_of_the_event():
    """503, 429 and 408 are about the server, 401 and a redirect about the configuration."""
    doubts = Doubts()
    for status in (503, 429, 408, 425, 401, 308, 410, 501) * 5:
        assert not is_about_event(status)
        doubts.failed("a", is_about_event=is_about_event(status))

    assert not doubts.is_trial_due
    assert is_about_event(500)
    assert is_about_event(403), "a firewall may not like its words"


def test_why_an_event_is_parked_stands_in_one_line():
    """It is shown on a terminal, and the server wrote some of it."""
    moved = Answer(308, "Permanent", {"location": "https://x/\x1b[0m"}, "", True)

    assert refusal_text(moved, is_tried=False) == (
        "the server refuses it: 308 Permanent; it names 'https://x/?[0m', and no redirect is followed"
    )
    assert refusal_text(Answer(500, "Oops", {}, "trace", True), is_tried=True) == (
        "the server cannot take it, and takes others: 500 Oops: trace"
    )


# -- the wire -------------------------------------------------------------------------------------------------

ANSWERS = [
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow down\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
]


def asked() -> HttpExchange:
    exchange = HttpExchange()
    wire = exchange.request("POST", "/x?y=z", [("Host", "h"), ("Content-Length", "2")], b"{}")
    assert wire == b"POST /x?y=z HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
    return exchange


@pytest.mark.parametrize("wire", ANSWERS)
def test_an_answer_cut_at_any_byte_is_the_same_one_when_the_rest_comes_and_none_when_it_does_not(wire: bytes):
    """TCP cuts where it likes; a server that dies cuts for good."""
    whole = asked().feed(wire)
    assert whole is not None
    assert whole.is_reusable

    for cut in range(1, len(wire)):
        exchange = asked()
        assert exchange.feed(wire[:cut]) is None
        assert exchange.feed(wire[cut:]) == whole
        broken = asked()
        broken.feed(wire[:cut])
        with pytest.raises(BadAnswer, match="hung up"):
            broken.feed(b"")


def test_what_an_answer_says_is_kept_for_a_person_within_bounds():
    """Its beginning; nothing that a terminal obeys."""
    body = b"no such hook\n\x1b[31m" + b"x" * 5_000
    answer = asked().feed(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    assert answer is not None
    assert str(answer).startswith("404 Not Found: no such hook ?[31mxxx")
    assert len(str(answer)) < 120


def test_an_answer_without_an_end_is_taken_at_its_status_and_the_connection_left():
    """A page of megabytes is not read to its end for one number."""
    exchange = asked()

    answer = exchange.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 70_000)

    assert answer is not None
    assert (answer.status, answer.is_reusable) == (200, False)


def test_an_answer_that_ends_with_its_connection_is_complete_then():
    """HTTP/1.0 does it so."""
    exchange = asked()
    assert exchange.feed(b"HTTP/1.0 200 OK\r\n\r\nfine") is None

    answer = exchange.feed(b"")

    assert answer is not None
    assert (answer.status, answer.words, answer.is_reusable) == (200, "fine", False)


@pytest.mark.parametrize(
    "wire", [b"SSH-2.0-x\r\n", b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"A: b\r\n" * 9_000]
)
def test_what_is_no_http_is_told_apart(wire: bytes):
    """A port of something else must not be taken for a server that is slow."""
    with pytest.raises(BadAnswer, match="no HTTP answer"):
        asked().feed(wire)


def test_a_second_request_goes_over_the_same_connection():
    """And has an answer of its own."""
    exchange = asked()
    exchange.feed(ANSWERS[1])

    exchange.request("POST", "/", [("Host", "h"), ("Content-Length", "0")], b"")
    second = exchange.feed(ANSWERS[0])

    assert second is not None
    assert (second.status, second.words) == (204, "")
