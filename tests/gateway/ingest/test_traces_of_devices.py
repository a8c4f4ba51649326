"""The trace that a device names in its PUBLISH goes along with the event, by the unusual path alone."""

from __future__ import annotations

from fieldgate.ingest.decode import ContractDecoder, put_into_traces
from fieldgate.mqtt.packets import Properties, Publish, Will
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Stamp, Trace
from http_desk import Desk
from http_kit import post
from listener_kit import HeldIntake
from operations_kit import operations
from session_kit import Server


def parent(number: int) -> str:
    return f"00-{'a' * 31}{number}-{'b' * 16}-01"


def traced(packet_id: int, *said: str, qos: int = 1, dup: bool = False, topic: str = "a") -> Publish:
    user = tuple(("traceparent", one) for one in said)
    return Publish(topic, b"%d" % packet_id, qos, dup=dup, packet_id=packet_id, properties=Properties(user=user))


def heard(server: Server) -> dict[bytes, str]:
    """The traceparent of each message that has one."""
    return {
        received[place].payload: trace.parent
        for (_, _, received), traces in zip(server.intake.batches, server.intake.traces, strict=True)
        for place, trace in (traces or {}).items()
    }


def test_each_event_gets_its_own_trace_in_a_read_of_many() -> None:
    """Those beside it have none, whatever stands between them: another topic, QoS 2, a copy, what is no traceparent."""
    server = Server(events=("a",))
    client = server.connect(version=5)

    client.send(
        traced(1), traced(2, parent(2)), traced(9, parent(9), topic="no-event"), traced(3), traced(4, parent(4), qos=2),
        traced(5, "nonsense"), traced(2, parent(2), dup=True), traced(6, parent(6)), traced(7, parent(7), parent(8)),
    )  # fmt: skip

    assert heard(server) == {b"2": parent(2), b"4": parent(4), b"6": parent(6)}
    assert server.tally.events == 7
    assert server.tally.bad_traces == 2


def test_what_is_held_while_the_intake_is_closed_keeps_its_trace() -> None:
    """The journal was full for an hour; the trace is the device's all the same. So with a will."""
    server = Server()
    will = Will("w", b"gone", qos=1, properties=Properties(user=(("traceparent", parent(3)),)))
    client = server.connect(version=5, will=will)
    server.intake.open = False
    client.send(traced(1, parent(1)), traced(2))
    assert heard(server) == {}

    server.intake.open = True
    client.inbox.retry()
    client.vanish()

    assert heard(server) == {b"1": parent(1), b"gone": parent(3)}


def test_events_bear_it_also_where_a_message_gives_none_or_several() -> None:
    """Places are those of messages, not of events."""
    server = Server()
    server.connect(version=5).send(traced(1), traced(2, parent(2)))
    ((_, _, received),) = server.intake.batches
    decoded = ContractDecoder(Catalogue([]))(received, Stamp(1, 0, 0), 1)

    put_into_traces(decoded, server.intake.traces[0] or {})

    assert [one.extra and one.extra.trace for one in decoded.events] == [None, Trace(parent(2))]


def test_a_message_without_properties_costs_no_operation_more_beside_one_that_has_a_trace() -> None:
    """The hot loop knows nothing of traces: a hundred plain messages cost as many operations as ever, each."""

    def cost(plain: int, *others: Publish) -> int:
        server = Server(HeldIntake())
        client = server.connect(version=5)
        inbox = client.inbox
        assert inbox is not None
        packets = [*others, *(Publish("a", b"x", 1, packet_id=100 + number) for number in range(plain))]
        inbox.take([Publish("a", b"x", 1, packet_id=99)], 1.0)  # the topic is known from now on
        return operations(inbox.take, packets, 1.0)

    per_message = (cost(200) - cost(100)) / 100
    beside_a_trace = (cost(200, traced(1, parent(1))) - cost(100, traced(1, parent(1)))) / 100

    assert beside_a_trace == per_message
    assert cost(1, traced(1, parent(1))) - cost(1) > per_message, "the control: a message with a trace costs more"


def test_over_http_the_headers_of_the_same_names_say_it() -> None:
    """Requests of one read each have their own; the one between has none, and what is none is left out."""
    desk = Desk(HeldIntake())
    said = (f"Traceparent: {parent(1)}", "tracestate: a=1", "tracestate: b=2")

    desk.feed(
        post("/a", b"1", *said) + post("/b", b"2") + post("/c", b"3", "traceparent: no") + post("/d", b"4", *said)
    )

    told = {
        received[place].payload: trace
        for (_, _, received), traces in zip(desk.intake.batches, desk.intake.traces, strict=True)
        for place, trace in (traces or {}).items()
    }
    assert [one.payload for one in desk.intake.heard] == [b"1", b"2", b"3", b"4"]
    assert told == dict.fromkeys((b"1", b"4"), Trace(parent(1), "a=1,b=2"))
    assert desk.tally.bad_traces == 1
