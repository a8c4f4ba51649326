"""The subscription to commands, and the answers to them, as plain values."""

from __future__ import annotations

import json

from command_order_kit import TOPIC, order_of
from fieldgate.decide.orders import Answer, Status
from fieldgate.forward.answers import Answers
from fieldgate.forward.command_requests import Request
from fieldgate.forward.command_subscription import CommandSubscription
from fieldgate.mqtt.packets import Reason
from order_desk_kit import WALL_NS, answer_to

# -- the subscription ---------------------------------------------------------------------------------------------


def asked(subscription: CommandSubscription, now_s: float, packet_id: int = 1) -> bool:
    wanted = subscription.next(now_s, max_packet_bytes=None)
    if wanted is not None:
        subscription.sent(packet_id, now_s)
    return wanted is not None


def test_it_is_asked_for_on_every_connection_and_again_when_refused() -> None:
    """A minute later, then ever more rarely."""
    one = CommandSubscription("f/+")
    waits = []
    one.connected()
    now_s = 0.0
    for _ in range(9):
        began_s = now_s
        while not asked(one, now_s):
            now_s += 1
        waits.append(now_s - began_s)
        one.answered(1, (Reason.NOT_AUTHORIZED,), version=5, now_s=now_s)
    assert waits == [0, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert one.problem == "this client may not read it"

    one.connected()
    assert asked(one, now_s)
    assert one.answered(1, (1,), version=5, now_s=now_s)
    assert (one.is_granted, one.problem) == (True, "")


def test_a_server_that_hangs_up_over_it_is_asked_ever_more_rarely() -> None:
    """Once may be chance; then each attempt costs the uplink its connection."""
    one, waits, now_s = CommandSubscription("f/+"), [], 0.0
    for _ in range(9):
        one.connected()
        began_s = now_s
        while not asked(one, now_s):
            now_s += 1
        waits.append(now_s - began_s)
        assert one.lost(now_s, is_by_server=True)

    assert waits == [0, 5, 600, 1200, 2400, 4800, 9600, 19_200, 21_600]
    assert "closed the connection after SUBSCRIBE 'f/+'" in one.problem


def test_a_link_that_breaks_is_no_answer() -> None:
    """Control of the test before: only the server's own close says something."""
    one = CommandSubscription("f/+")
    for _ in range(5):
        one.connected()
        assert asked(one, 1.0)
        assert not one.lost(1.0, is_by_server=False)
    one.connected()
    assert asked(one, 1.0)
    assert one.answered(1, (0,), version=4, now_s=1.0)
    assert not one.lost(2.0, is_by_server=True)

    assert one.problem == ""


def test_no_answer_at_all_is_no_reason_to_leave() -> None:
    """The events go on; it is said, and asked for again."""
    one = CommandSubscription("f/+")
    one.connected()
    assert asked(one, 0.0)
    assert not asked(one, 29.0)
    assert not asked(one, 30.0)
    assert one.problem == "the broker has not answered SUBSCRIBE for 30 s"
    assert not one.answered(1, (1,), version=5, now_s=31.0)
    assert asked(one, 90.0)


def test_a_filter_too_long_for_the_server_is_said() -> None:
    """It would end the connection."""
    one = CommandSubscription("f" * 100)
    one.connected()

    assert one.next(0.0, max_packet_bytes=64) is None
    assert "64 bytes" in one.problem


# -- answers ------------------------------------------------------------------------------------------------------


class Sent:
    """Answers, and a server by hand: sends what is ready under the next packet ids."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.answers = Answers(told=lambda order, answer: self.told.append(order.id), is_synced=lambda: True)
        self.next_id = 1
        self.window = 32

    def add(self, name: str, *, reply_to: str | None = None, reason: str = "") -> None:
        order = order_of(b'{"id": "%s"}' % name.encode())
        request = Request(TOPIC, "v1", "set", name, reply_to, b"c")
        self.answers.add(request, answer_to(order, Status.DONE, reason), order, default_topic=f"{TOPIC}/answer")

    def send(self, now_s: float = 0.0, *, max_packet_bytes: int | None = None) -> dict[int, str]:
        sent = {}
        for reply in self.answers.ready(now_s, window=self.window, max_packet_bytes=max_packet_bytes):
            sent[self.next_id] = f"{reply.answer.id} {reply.message().topic}"
            self.answers.is_sent(self.next_id)
            self.next_id += 1
        return sent


def test_answers_are_sent_a_few_at_a_time_and_told_when_they_are_there() -> None:
    """They go beside the events, whose window is the server's."""
    sent = Sent()
    for number in range(20):
        sent.add(str(number))

    first = sent.send()
    assert sent.answers.answered(1, 0, 0.0, why="")
    assert not sent.answers.answered(999, 0, 0.0, why="")
    second = sent.send()

    assert (len(first), len(second)) == (16, 1)  # half of the window
    assert sent.told == ["0"]
    assert len(sent.answers) == 19


def test_answers_that_were_under_way_come_first_on_the_next_connection() -> None:
    """In order, and none twice."""
    sent = Sent()
    for number in range(4):
        sent.add(str(number))
    sent.send()
    sent.answers.answered(2, 0, 0.0, why="")
    sent.add("4")
    sent.answers.lost(is_by_server=False)

    assert [one.split()[0] for one in sent.send().values()] == ["0", "2", "3", "4"]


def test_a_refusal_that_passes_is_waited_out() -> None:
    """A quota of the server."""
    sent = Sent()
    sent.add("0")
    sent.send()
    sent.answers.answered(1, Reason.QUOTA_EXCEEDED, 5.0, why="")

    assert sent.send(5.5) == {}
    assert sent.answers.wakes_in_s(5.5) == 0.5
    assert len(sent.send(6.0)) == 1


def test_what_the_server_takes_nowhere_is_given_up_and_said() -> None:
    """The desk need not keep it: nothing more can be done."""
    sent = Sent()
    sent.add("0", reply_to="r")
    sent.send()
    sent.answers.answered(1, Reason.NOT_AUTHORIZED, 0.0, why="not authorized")
    assert sent.send() == {2: f"0 {TOPIC}/answer"}
    sent.answers.answered(2, Reason.NOT_AUTHORIZED, 0.0, why="not authorized")

    assert (len(sent.answers), sent.answers.dropped, sent.told) == (0, 1, ["0"])
    assert sent.answers.refusal == f"{TOPIC}/answer: not authorized"


def test_a_server_that_hangs_up_over_an_answer_gets_it_elsewhere_then_not_at_all() -> None:
    """Two connections for the topic that a stranger chose, three for our own."""
    sent = Sent()
    sent.add("0", reply_to="r")
    topics = []
    for _ in range(6):
        topics += [one.split()[1] for one in sent.send().values()]
        sent.answers.lost(is_by_server=True)

    assert topics == ["r", "r", f"{TOPIC}/answer", f"{TOPIC}/answer", f"{TOPIC}/answer"]
    assert sent.told == ["0"]


def test_what_is_too_large_for_the_server_is_given_up() -> None:
    """[MQTT-3.1.2-24]: it would end the connection."""
    sent = Sent()
    sent.add("0", reason="x" * 300)
    sent.add("1")

    assert [one.split()[0] for one in sent.send(max_packet_bytes=400).values()] == ["1"]
    assert sent.told == ["0"]


def test_answers_are_bounded() -> None:
    """An uplink that is away for a month must not fill the memory; the desk has them on disk."""
    sent = Sent()
    for number in range(3000):
        sent.add(str(number), reason="x" * 100)

    assert len(sent.answers) == 2000
    assert sent.answers.dropped == 1000
    assert sent.told == []


def test_an_answer_says_this() -> None:
    """A platform reads it."""
    order = order_of(b'{"id": "a7"}')
    answers = Answers(told=lambda order, answer: None, is_synced=lambda: False)
    answer = Answer(id="a7", device="v1", name="set", status=Status.REFUSED, reason="why", at_ns=WALL_NS)
    request = Request(TOPIC, "v1", "set", "a7", None, None, "the response topic is no topic")
    answers.add(request, answer, order, default_topic="t")

    (reply,) = (next(answers.ready(0.0, window=1, max_packet_bytes=None)),)

    assert json.loads(reply.payload) == {
        "id": "a7",
        "device": "v1",
        "command": "set",
        "status": "refused",
        "reason": "why",
        "at": "2026-01-01T00:00:00.000000Z",
        "timequality": "unsynced",
        "remark": "the response topic is no topic: answered here",
    }
