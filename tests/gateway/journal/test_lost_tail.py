"""Accounts after the newest commits were lost together with the states that counted them (P4)."""

from __future__ import annotations

from fieldgate.journal.outbox import Outbox
from fieldgate.journal.uplink_state import Route, decode_states, encode_states
from fieldgate_devices.event import Address, Event, Stamp

STAMP = Stamp(1, 0, 0)


def make_outbox(saved: dict[str, bytes], *, next_seq: int, stored_to: int) -> Outbox:
    return Outbox(
        [Route("up")], gateway="g", is_relay=False, hold_s=0.2, commit_delay_s=0.05, next_seq=next_seq,
        stored_to=[0, stored_to, 0], states=decode_states(saved), attention=lambda: None, now_stamp=lambda: STAMP,
    )  # fmt: skip


def store(outbox: Outbox, count: int) -> dict[str, bytes]:
    """Accept and commit ``count`` events; return what was saved with them."""
    events = [Event(Address("d", "message", "t"), STAMP, b"1", True, 0, 1) for _ in range(count)]
    outbox.accept(events, None, 0, now_s=0.0, size_bytes=count)
    job = outbox.begin_write(1.0)
    saved = encode_states(outbox.states())
    outbox.written(job)
    return saved


def test_events_lost_with_the_state_that_counted_them_are_routed_and_lost_and_never_pending() -> None:
    """A write-ahead log that lost its end loses both; an uplink with -80 pending would never be drained."""
    first = make_outbox({}, next_seq=1, stored_to=0)
    saved = store(first, 100)
    store(first, 80)  # lost, with its state

    outbox = make_outbox(saved, next_seq=181, stored_to=180)
    outbox.damaged(1, 101, 180, count=80, run=1)

    feed = outbox.feeds["up"]
    assert (feed.state.routed, feed.state.pending, feed.state.ledger) == (180, 100, {"corrupt": 80})


def test_events_lost_with_the_very_first_state_are_routed_and_lost() -> None:
    """The first commits of all are lost: there is no state at all."""
    outbox = make_outbox({}, next_seq=81, stored_to=0)
    outbox.damaged(1, 1, 80, count=80, run=1)

    feed = outbox.feeds["up"]
    assert (feed.state.routed, feed.state.pending, feed.state.ledger) == (80, 0, {"corrupt": 80})


def test_events_lost_out_of_the_middle_are_pending_no_more() -> None:
    """The state that counted them is there."""
    saved = store(make_outbox({}, next_seq=1, stored_to=0), 100)

    outbox = make_outbox(saved, next_seq=101, stored_to=100)
    outbox.damaged(1, 11, 90, count=80, run=1)

    feed = outbox.feeds["up"]
    assert (feed.state.routed, feed.state.pending, feed.state.ledger) == (100, 20, {"corrupt": 80})


def test_a_state_does_not_count_events_that_a_crash_forgets() -> None:
    """They are only in memory and not acknowledged: their devices send them again, and they are counted then."""
    outbox = make_outbox({}, next_seq=1, stored_to=0)
    store(outbox, 100)
    outbox.accept([Event(Address("d", "message", "t"), STAMP, b"1", True, 0, 1)], None, 0, now_s=9.0, size_bytes=1)

    saved = decode_states(encode_states(outbox.states()))["up"]

    assert (saved.routed, saved.pending) == (100, 100)
    assert outbox.feeds["up"].state.routed == 101
