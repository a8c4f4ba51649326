"""Every client library does what its users do with it, against one running gateway: the contract of the matrix.

A scenario is written once. Its row of the table (see "figures" at the end of the run) shows who passed it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import pytest_asyncio

from fieldgate_simulators.link import Link
from interop_kit.contract import Client, Library, Message, Settings, SubscribeOptions, Will
from interop_kit.libraries import LIBRARIES
from interop_kit.node import lacks

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewClient = Callable[..., Client]


@pytest.mark.interop("QoS", each="qos")
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_messages_are_heard_once_and_in_order(client: NewClient, topic: str, qos: int) -> None:
    """The one thing that everybody does."""
    reader, writer = client("reader"), client("writer")
    await reader.connect()
    granted = await reader.subscribe(f"{topic}/#", qos)
    await writer.connect()

    for number in range(10):
        await writer.publish(Message(f"{topic}/t", b"%d" % number, qos))

    heard = [await reader.receive() for _ in range(10)]
    assert granted == qos
    assert heard == [Message(f"{topic}/t", b"%d" % number, qos) for number in range(10)]


@pytest.mark.interop("burst")
async def test_a_burst_keeps_its_order(client: NewClient, topic: str) -> None:
    """More than any window holds, so both ends wait for acknowledgements on the way."""
    reader, writer = client("reader"), client("writer")
    await reader.connect()
    await reader.subscribe(f"{topic}/#", 1)
    await writer.connect()

    async with asyncio.TaskGroup() as tasks:
        for number in range(200):
            tasks.create_task(writer.publish(Message(f"{topic}/t", b"%d" % number, 1)))

    assert [(await reader.receive()).payload for _ in range(200)] == [b"%d" % number for number in range(200)]


@pytest.mark.interop("wildcards")
async def test_a_subscriber_hears_what_its_filter_matches_and_nothing_else(client: NewClient, topic: str) -> None:
    """Every dashboard depends on it."""
    reader, writer = client("reader"), client("writer")
    await reader.connect()
    await reader.subscribe(f"{topic}/+/temperature", 1)
    await writer.connect()

    for name in ("a/temperature", "a/humidity", "b/x/temperature", "temperature", "b/temperature"):
        await writer.publish(Message(f"{topic}/{name}", b"1", 1))

    assert [(await reader.receive()).topic for _ in range(2)] == [f"{topic}/a/temperature", f"{topic}/b/temperature"]


@pytest.mark.interop("unsubscribe")
async def test_after_unsubscribe_nothing_comes(client: NewClient, topic: str) -> None:
    """A dashboard page that was closed must not load the gateway."""
    both = client("both")
    await both.connect()
    await both.subscribe(f"{topic}/a", 1)
    await both.subscribe(f"{topic}/b", 1)

    await both.unsubscribe(f"{topic}/a")
    await both.publish(Message(f"{topic}/a", b"unheard", 1))
    await both.publish(Message(f"{topic}/b", b"heard", 1))

    assert (await both.receive()).payload == b"heard"


@pytest.mark.interop("retained")
async def test_a_retained_message_waits_for_subscribers_until_it_is_cleared(client: NewClient, topic: str) -> None:
    """The state of a device for whoever comes later; the flag is set for them and not for who was there."""
    writer, present, late, later = client("writer"), client("present"), client("late"), client("later")
    state = Message(f"{topic}/state", b"on", 1, retain=True)
    await present.connect()
    await present.subscribe(f"{topic}/+", 1)
    await writer.connect()

    await writer.publish(state)
    await late.connect()
    await late.subscribe(f"{topic}/+", 1)
    assert await present.receive() == replace(state, retain=False)
    assert await late.receive() == state

    await writer.publish(Message(f"{topic}/state", b"", 1, retain=True))
    await later.connect()
    await later.subscribe(f"{topic}/+", 1)
    await writer.publish(Message(f"{topic}/mark", b"mark", 1))
    assert (await later.receive()).payload == b"mark"


@pytest.mark.interop("will")
async def test_a_will_is_heard_when_the_connection_is_lost(client: NewClient, port: int, topic: str) -> None:
    """How the others learn that a device is gone; retained, also those who come later."""
    will = Will(f"{topic}/mortal", "gone ☠".encode(), retain=True)
    async with Link("127.0.0.1", port) as link:
        watcher, mortal, late = client("watcher"), client("mortal", will=will, port=link.port), client("late")
        for one, filter_ in ((watcher, f"{topic}/+"), (mortal, f"{topic}/nothing")):
            await one.connect()
            await one.subscribe(filter_, 1)

        link.refuse()
        link.reset()

        assert await watcher.receive() == Message(will.topic, will.payload, 1)
    await late.connect()
    await late.subscribe(f"{topic}/+", 1)
    assert await late.receive() == Message(will.topic, will.payload, 1, retain=True)


@pytest.mark.interop("no will")
async def test_who_says_disconnect_takes_the_will_back(client: NewClient, topic: str) -> None:
    """A device that goes to sleep is no alarm."""
    watcher, polite = client("watcher"), client("polite", will=Will(f"{topic}/polite", b"unsaid"))
    await watcher.connect()
    await watcher.subscribe(f"{topic}/+", 1)
    await polite.connect()

    await polite.disconnect()
    await watcher.publish(Message(f"{topic}/mark", b"mark", 1))

    assert (await watcher.receive()).payload == b"mark"


@pytest.mark.interop("session")
async def test_a_session_keeps_what_came_while_the_client_was_away(
    client: NewClient, library: Library, topic: str
) -> None:
    """Commands reach a device that sleeps most of the time."""
    first, writer = client("sleeper", keep=True), client("writer")
    was_there = await first.connect()
    await first.subscribe(f"{topic}/#", 1)
    await first.disconnect()
    await writer.connect()
    for number in range(5):
        await writer.publish(Message(f"{topic}/cmd", b"%d" % number, 1))

    second = client("sleeper", keep=True)
    is_there = await second.connect()
    if library.subscribes_to_connect:
        await second.subscribe(f"{topic}/#", 1)

    assert [(await second.receive()).payload for _ in range(5)] == [b"%d" % number for number in range(5)]
    assert (was_there, is_there) in ((False, True), (None, None))


@pytest.mark.interop("properties", v5=True)
async def test_the_properties_of_a_message_pass_unchanged(client: NewClient, topic: str) -> None:
    """Request and response, tracing and content negotiation are built on them."""
    sent = Message(
        f"{topic}/request",
        b"\xce\xb1?",
        1,
        user=(("trace", "00-4bf9"), ("größe", "5 µm")),
        content_type="text/plain; charset=utf-8",
        response_topic=f"{topic}/response/ä",
        correlation=b"correlation 1",
    )
    reader, writer = client("reader"), client("writer")
    await reader.connect()
    await reader.subscribe(f"{topic}/#", 1)
    await writer.connect()

    await writer.publish(sent)

    assert await reader.receive() == sent


@pytest.mark.interop("request, response", v5=True)
async def test_a_request_is_answered_on_its_response_topic(client: NewClient, topic: str) -> None:
    """How a service behind the gateway is asked."""
    asker, answerer = client("asker"), client("answerer")
    await asker.connect()
    await asker.subscribe(f"{topic}/answers", 1)
    await answerer.connect()
    await answerer.subscribe(f"{topic}/questions", 1)

    await asker.publish(Message(f"{topic}/questions", b"?", 1, response_topic=f"{topic}/answers", correlation=b"7"))
    question = await answerer.receive()
    assert question.response_topic is not None
    await answerer.publish(Message(question.response_topic, b"!", 1, correlation=question.correlation))

    answer = await asker.receive()
    assert (answer.payload, answer.correlation) == (b"!", b"7")


@pytest.mark.interop("identifiers", v5=True)
async def test_a_message_bears_the_identifier_of_its_subscription(client: NewClient, topic: str) -> None:
    """Clients find the handler of a message by it."""
    reader, writer = client("reader"), client("writer")
    await reader.connect()
    await reader.subscribe(f"{topic}/#", 1, SubscribeOptions(identifier=268_435_455))
    await writer.connect()

    await writer.publish(Message(f"{topic}/t", b"x", 1))

    assert (await reader.receive()).identifiers == (268_435_455,)


@pytest.mark.interop("no local", v5=True)
async def test_a_client_that_asks_not_to_hear_itself_does_not(client: NewClient, topic: str) -> None:
    """Bridges loop without it."""
    bridge, other = client("bridge"), client("other")
    await bridge.connect()
    await bridge.subscribe(f"{topic}/#", 1, SubscribeOptions(no_local=True))
    await other.connect()

    await bridge.publish(Message(f"{topic}/t", b"own", 1))
    await other.publish(Message(f"{topic}/t", b"other's", 1))

    assert (await bridge.receive()).payload == b"other's"


@pytest.mark.interop("retain as published", v5=True)
async def test_the_retain_flag_is_kept_for_who_asks(client: NewClient, topic: str) -> None:
    """A bridge needs the flag as it was."""
    bridge, writer = client("bridge"), client("writer")
    await bridge.connect()
    await bridge.subscribe(f"{topic}/#", 1, SubscribeOptions(retain_as_published=True))
    await writer.connect()

    await writer.publish(Message(f"{topic}/state", b"new", 1, retain=True))
    await writer.publish(Message(f"{topic}/live", b"live", 1))

    heard = [await bridge.receive() for _ in range(2)]
    assert [(one.payload, one.retain) for one in heard] == [(b"new", True), (b"live", False)]


@pytest.mark.interop("retain handling", v5=True)
async def test_who_wants_no_retained_messages_gets_none(client: NewClient, topic: str) -> None:
    """A bridge does not want the state of the whole plant at each reconnect."""
    new, never, writer = client("new"), client("never"), client("writer")
    await writer.connect()
    await writer.publish(Message(f"{topic}/old", b"old", 1, retain=True))
    for one, handling in ((new, 1), (never, 2)):
        await one.connect()
        await one.subscribe(f"{topic}/#", 1, SubscribeOptions(retain_handling=handling))
    await new.subscribe(f"{topic}/#", 1, SubscribeOptions(retain_handling=1))  # it has this subscription

    await writer.publish(Message(f"{topic}/live", b"live", 1))

    assert [(await new.receive()).payload for _ in range(2)] == [b"old", b"live"]
    assert (await never.receive()).payload == b"live"


@pytest.mark.interop("$share")
async def test_a_shared_subscription_gives_each_message_to_one_member(client: NewClient, topic: str) -> None:
    """How several consumers share the work; 3.1.1 has no rule for it, and brokers do it all the same."""
    members, writer = [client("one"), client("two")], client("writer")
    for member in members:
        await member.connect()
        assert await member.subscribe(f"$share/group/{topic}/#", 1) == 1
    await writer.connect()

    for number in range(20):
        await writer.publish(Message(f"{topic}/t", b"%d" % number, 1))

    heard = await _heard_by_all(members, 20)
    assert sorted((payload for one in heard for payload in one), key=int) == [b"%d" % number for number in range(20)]
    assert all(heard), "one member got everything"


async def _heard_by_all(clients: Sequence[Client], count: int) -> list[list[bytes]]:
    """What each client heard until all of them together have heard ``count`` messages."""
    heard: list[list[bytes]] = [[] for _ in clients]
    all_came = asyncio.Event()

    async def hear(index: int) -> None:
        while True:
            heard[index].append((await clients[index].receive()).payload)
            if sum(map(len, heard)) >= count:
                all_came.set()

    async with asyncio.TaskGroup() as tasks:
        listening = [tasks.create_task(hear(index)) for index in range(len(clients))]
        await all_came.wait()  # each `receive` has a deadline
        for task in listening:
            task.cancel()
    return heard


@pytest.mark.interop("large payload")
async def test_a_payload_near_the_packet_limit_passes_unchanged(client: NewClient, topic: str) -> None:
    """Images and firmware chunks; every byte value, at a size that no single read holds."""
    payload = bytes(range(256)) * 1000
    reader, writer = client("reader"), client("writer")
    await reader.connect()
    await reader.subscribe(f"{topic}/#", 1)
    await writer.connect()

    await writer.publish(Message(f"{topic}/image", payload, 1))

    assert (await reader.receive()).payload == payload


@pytest.mark.interop("unicode topics")
async def test_topics_may_be_of_any_script(client: NewClient, topic: str) -> None:
    """Also beyond the basic plane, where UTF-8 has four bytes."""
    name = f"{topic}/Halle Süd/温度/🌡️"
    reader, writer = client("reader"), client("writer")
    await reader.connect()
    await reader.subscribe(f"{topic}/+/温度/#", 1)
    await writer.connect()

    await writer.publish(Message(name, "21 °C".encode(), 1))

    assert await reader.receive() == Message(name, "21 °C".encode(), 1)


@pytest.mark.interop("unicode ids")
async def test_client_ids_may_be_of_any_script(client: NewClient, topic: str) -> None:
    """People name a device as they speak."""
    keller, lager = client("Gerät im Keller"), client("倉庫の装置")
    await keller.connect()
    await keller.subscribe(f"{topic}/#", 1)
    await lager.connect()

    await lager.publish(Message(f"{topic}/t", b"x", 1))

    assert (await keller.receive()).payload == b"x"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def idle_results(port: int) -> dict[str, str]:
    """What became of a client of each library that was idle for two keep-alives; all at once, because it takes time."""
    results: dict[str, str] = {}

    async def idle(library: Library) -> None:
        try:
            async with library.clients_of(port) as make:
                client = make(Settings(f"idle-{library.label}", keep_alive_s=1))
                await client.connect()
                await client.subscribe(f"interop/idle/{library.label}", 1)
                await asyncio.sleep(2.0)  # the time itself is what is tested
                await client.publish(Message(f"interop/idle/{library.label}", b"alive", 1))
                results[library.label] = (await client.receive()).payload.decode()
        except (TimeoutError, AssertionError, OSError) as error:
            results[library.label] = repr(error)

    async with asyncio.TaskGroup() as tasks:
        for library in LIBRARIES:
            if library.missing is None and "keep-alive" not in library.lacks:
                tasks.create_task(idle(library))
    return results


@pytest.mark.interop("keep-alive")
async def test_an_idle_client_stays_connected(
    client: NewClient, library: Library, idle_results: dict[str, str]
) -> None:
    """It pings by itself, in time for the server and with the answer that it expects."""
    assert idle_results[library.label] == "alive"


@pytest.mark.interop("mosquitto_rr asks", v5=True)
async def test_mosquitto_rr_gets_its_answer_from_every_library(client: NewClient, port: int, topic: str) -> None:
    """The request and response of MQTT 5 between two implementations."""
    if shutil.which("mosquitto_rr") is None:
        lacks("mosquitto_rr is not installed (package mosquitto-clients)")
    answerer = client("answerer")
    await answerer.connect()
    await answerer.subscribe(f"{topic}/questions", 1)

    asking = await asyncio.create_subprocess_exec(
        "mosquitto_rr", "-p", str(port), "-q", "1", "-t", f"{topic}/questions", "-e", f"{topic}/answers", "-m", "?",
        "-D", "publish", "correlation-data", "c7", "-F", "%p %D", "-W", "8", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    question = await answerer.receive()
    assert question.response_topic == f"{topic}/answers"
    await answerer.publish(Message(question.response_topic, b"!", 1, correlation=question.correlation))

    said, _ = await asking.communicate()
    assert said == b"! c7\n"
