"""The bad network does what its controls say: tests that use it prove nothing if it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from fieldgate_simulators.link import Link, PacketKind
from link_peers import Client, Upstream

PUBACK_1 = b"\x40\x02\x00\x01"
PUBACK_2 = b"\x40\x02\x00\x02"
PINGRESP = b"\xd0\x00"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    peer = Upstream()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    yield peer
    server.close()
    await server.wait_closed()
    for writer in peer.writers:
        writer.transport.abort()
    await peer.until(lambda: len(peer.ended) == len(peer.heard))


@pytest.fixture
async def link(upstream: Upstream) -> AsyncIterator[Link]:
    async with Link("127.0.0.1", upstream.port, seed=7) as relay:
        yield relay


@pytest.fixture
async def connect(link: Link):
    clients: list[Client] = []

    async def open_one() -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", link.port))
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        client.writer.transport.abort()
    await asyncio.sleep(0)


async def test_a_restored_link_forwards_every_byte_both_ways_and_counts_it(link, upstream, connect):
    """Everything else is a departure from this."""
    client = await connect()
    sent = bytes(range(256)) * 4000

    client.say(sent)
    await upstream.hears(sent)
    upstream.writers[0].write(b"answer")

    assert await client.hears(6) == b"answer"
    assert (link.up.forwarded_bytes, link.down.forwarded_bytes) == (len(sent), 6)
    assert link.up.swallowed_bytes == link.down.swallowed_bytes == 0


async def test_a_fin_travels_through_to_the_other_side(link, upstream, connect):
    """A gateway that hangs up must be seen to hang up."""
    client = await connect()
    client.say(b"bye")

    client.writer.close()

    await upstream.until(lambda: upstream.ended == ["fin"])
    assert bytes(upstream.heard[0]) == b"bye"


async def test_in_a_black_hole_nobody_hears_anything_and_nobody_is_hung_up_on(link, upstream, connect):
    """The fault that a closed socket cannot imitate: only time-outs can notice it."""
    client = await connect()
    client.say(b"before")
    await upstream.hears(b"before")

    link.cut()
    client.say(b"swallowed")
    upstream.writers[0].write(b"also swallowed")

    assert await client.is_silent()
    assert bytes(upstream.heard[0]) == b"before"
    assert upstream.ended == []
    assert (link.up.swallowed_bytes, link.down.swallowed_bytes) == (9, 14)


async def test_a_new_connection_into_a_black_hole_is_accepted_and_never_answered(link, upstream, connect):
    """A gateway that reconnects during an outage must run into its own connect time-out."""
    link.cut()

    client = await connect()
    client.say(b"hello?")

    assert await client.is_silent()
    assert upstream.heard == []


async def test_after_a_black_hole_what_lost_bytes_is_reset_and_what_was_silent_goes_on(link, upstream, connect):
    """A stream with a hole in it would be a fault that no network produces."""
    talker, quiet = await connect(), await connect()
    talker.say(b"t")
    quiet.say(b"q")
    await upstream.until(lambda: [bytes(heard) for heard in upstream.heard] in ([b"t", b"q"], [b"q", b"t"]))
    link.cut()
    newcomer = await connect()
    talker.say(b"lost")
    await _until(lambda: link.up.swallowed_bytes == 4)

    link.restore()
    quiet.say(b"!")

    assert await talker.end() == "reset"
    assert await newcomer.end() == "reset"
    await upstream.until(lambda: b"q!" in (bytes(heard) for heard in upstream.heard) and upstream.ended == ["reset"])


async def test_a_client_that_leaves_during_a_black_hole_is_not_seen_to_leave(link, upstream, connect):
    """The broker keeps the dead session until its own keep-alive ends; takeover tests need that."""
    client = await connect()
    client.say(b"x")
    await upstream.hears(b"x")
    link.cut()

    client.writer.transport.abort()
    await _until(lambda: next(iter(link._pairs)).has_lost_bytes)
    assert upstream.ended == []

    link.restore()
    await upstream.until(lambda: upstream.ended == ["reset"])


async def test_one_direction_can_be_cut_alone(link, upstream, connect):
    """Half-open: what the gateway sends arrives, what it should hear does not."""
    client = await connect()
    link.cut("down")

    client.say(b"heard")
    await upstream.hears(b"heard")
    upstream.writers[0].write(b"unheard")

    assert await client.is_silent()


async def test_a_stalled_link_loses_nothing(link, upstream, connect):
    """Back-pressure is not loss: every byte comes out in order once the peer reads again."""
    client = await connect()
    sent = bytes(range(256)) * 8000
    link.stall()
    client.say(sent)
    upstream.writers[0].write(b"later") if upstream.writers else None
    assert await client.is_silent()
    assert not upstream.heard or not upstream.heard[0]

    link.restore()

    await upstream.hears(sent)
    assert link.up.swallowed_bytes == 0


async def test_a_refusing_link_refuses_new_connections_and_keeps_the_old(link, upstream, connect):
    """A broker's host that is up while the broker is down answers with RST at once."""
    client = await connect()
    client.say(b"a")
    await upstream.hears(b"a")

    link.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect()
    client.say(b"b")
    await upstream.hears(b"ab")

    link.restore()
    again = await connect()
    again.say(b"c")
    await upstream.hears(b"c", connection=1)


async def test_a_deaf_link_lets_connecting_hang(link, upstream, connect):
    """A firewall that drops SYNs; only the caller's own connect time-out ends it."""
    link.deafen()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await connect()

    link.restore()
    client = await connect()
    client.say(b"hello")
    await upstream.hears(b"hello")


async def test_reset_ends_both_sides_with_rst_and_lets_new_ones_in(link, upstream, connect):
    """RST, not FIN: what the peer had not read yet is gone."""
    client = await connect()
    client.say(b"x")
    await upstream.hears(b"x")

    link.reset()

    assert await client.end() == "reset"
    await upstream.until(lambda: upstream.ended == ["reset"])
    (await connect()).say(b"y")
    await upstream.hears(b"y", connection=1)


async def test_a_delayed_link_delivers_late_in_order_and_the_same_for_a_seed(link, upstream, connect):
    """Jitter must never reorder a TCP stream."""
    loop = asyncio.get_running_loop()
    client = await connect()
    link.delay(0.1, jitter_s=0.1, direction="up")
    began_s = loop.time()

    for number in range(20):
        client.say(b"%02d" % number)
        await asyncio.sleep(0)
    await upstream.hears(b"".join(b"%02d" % number for number in range(20)))

    assert 0.1 <= loop.time() - began_s < 2.0


async def test_a_rate_limited_link_takes_the_time_that_its_rate_says(link, upstream, connect):
    """64 kbit/s lines exist; keep-alive must survive them."""
    loop = asyncio.get_running_loop()
    client = await connect()
    link.limit_rate(100_000, direction="up")
    began_s = loop.time()

    client.say(bytes(40_000))
    await upstream.hears(bytes(40_000))

    assert 0.35 <= loop.time() - began_s < 4.0


async def test_swallow_after_lets_exactly_so_many_bytes_pass_then_goes_dark(link, upstream, connect):
    """A link that dies silently in the middle of a resent backlog."""
    client = await connect()
    link.swallow_after(5)

    client.say(b"12345678")

    await upstream.hears(b"12345")
    assert await client.is_silent()
    assert link.up.swallowed_bytes == 3


async def test_cut_mid_packet_forwards_a_part_and_drops_that_connection_once(link, upstream, connect):
    """The receiver is left with half a packet; the sender must send all of it again."""
    client = await connect()
    link.cut_mid_packet(5)

    client.say(b"12345678")

    await upstream.until(lambda: upstream.ended == ["fin"])
    assert bytes(upstream.heard[0]) == b"12345"
    assert await client.end() == "reset"
    (await connect()).say(b"12345678")
    await upstream.hears(b"12345678", connection=1)


@pytest.mark.parametrize("chunk_bytes", [1, 3, 1000])
async def test_chosen_packets_are_swallowed_whole_however_the_stream_is_cut(link, upstream, connect, chunk_bytes):
    """A lost PUBACK must leave a well-formed stream, or the test would be of the decoder."""
    client = await connect()
    client.say(b"x")
    await upstream.hears(b"x")
    link.swallow_packets(PacketKind.PUBACK, direction="down", count=1)
    stream = PINGRESP + PUBACK_1 + PINGRESP + PUBACK_2

    for at in range(0, len(stream), chunk_bytes):
        upstream.writers[0].write(stream[at : at + chunk_bytes])
        await asyncio.sleep(0.001)

    assert await client.hears(8) == PINGRESP + PINGRESP + PUBACK_2
    assert link.down.swallowed_packets == {PacketKind.PUBACK: 1}
    assert link.down.packets == {PacketKind.PINGRESP: 2, PacketKind.PUBACK: 1}


async def test_every_third_packet_can_be_swallowed(link, upstream, connect):
    """A share of lost PUBACKs, repeatable without chance."""
    client = await connect()
    client.say(b"x")
    await upstream.hears(b"x")
    link.swallow_packets(PacketKind.PUBACK, every=3)

    upstream.writers[0].write(PUBACK_1 * 9 + PINGRESP)

    assert await client.hears(26) == PUBACK_1 * 6 + PINGRESP


async def test_a_flapping_link_drops_every_connection_again_and_again(link, upstream, connect):
    """Progress must be possible between two drops."""
    link.flap(0.05)

    for _ in range(3):
        assert await (await connect()).end() == "reset"

    link.restore()
    client = await connect()
    assert await client.is_silent()


async def test_a_link_to_nothing_resets_its_clients(connect, link, upstream):
    """A broker that is down behind the link must be noticed at once."""
    async with Link("127.0.0.1", _free_port(), seed=1) as dead:
        client = Client(*await asyncio.open_connection("127.0.0.1", dead.port))

        assert await client.end() == "reset"
        client.writer.close()


@pytest.mark.parametrize("seed", range(5))
async def test_any_mix_of_delay_rate_and_stall_keeps_every_byte_in_order(link, upstream, connect, seed):
    """The link may be slow in any way without being a fault of its own."""
    rng = Random(seed)
    client = await connect()
    sent = bytearray()
    for _ in range(30):
        match rng.randrange(5):
            case 0:
                link.delay(rng.uniform(0, 0.02), jitter_s=rng.uniform(0, 0.02))
            case 1:
                link.limit_rate(rng.uniform(200_000, 2_000_000))
            case 2:
                link.stall()
            case 3:
                link.restore()
        chunk = rng.randbytes(rng.randrange(1, 20_000))
        sent += chunk
        client.say(chunk)
        await asyncio.sleep(rng.uniform(0, 0.003))
    link.restore()

    await upstream.hears(bytes(sent))

    assert link.up.swallowed_bytes == 0


def _free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def _until(claim) -> None:
    async with asyncio.timeout(20):
        while not claim():
            await asyncio.sleep(0.001)
