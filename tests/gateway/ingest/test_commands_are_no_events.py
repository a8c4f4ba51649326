"""What local clients publish where a profile names a command is meant for the device, and is no event (DESIGN 3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import aiomqtt
import pytest

from access_kit import knock, users_text, write_private
from fieldgate.ingest.event_filter import EventFilter
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import PubAck, Publish, SubAck, Subscribe, Subscription
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.commands import Commands
from fieldgate_devices.topic_pattern import TopicPattern
from gateway_kit import Gateway, eventually, running
from listener_kit import RawClient, SettlingIntake, serving
from profile_kit import BOILER, contract

SET = "site/a/boiler/b1/set"
COMMANDS = 'commands: {set_target: {publish: "site/a/boiler/{device}/set", payload: {target: {type: float}}}}\n'


def profiles(*, has_command: bool) -> Catalogue:
    return Catalogue([contract(BOILER + (COMMANDS if has_command else ""))])


def test_a_catalogue_knows_whose_command_a_topic_is() -> None:
    """Captures stand for what a level, or a part of it, may be; one may stand twice."""
    tap = (
        'profile: tap\nmatch: {mqtt: "taps/{house}-{device}/state"}\nother_fields: keep\n'
        'commands: {open: {publish: "taps/{house}-{device}/{device}/open"}}\n'
    )
    catalogue = Catalogue([contract(BOILER + COMMANDS), contract(tap)])
    asked = [SET, "site/a/boiler/b1/set/x", "site/b/boiler/b1/set", "taps/h-1/1/open", "taps/h1/1/open", "set"]

    assert [catalogue.command_of(topic) for topic in asked] == ["boiler", "", "", "tap", "", ""]


def test_a_new_topic_costs_the_same_however_many_commands_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that invents topics must not hold up the others: of 1,000 commands one pattern at most is asked."""
    asked: list[str] = []
    match = TopicPattern.match
    monkeypatch.setattr(TopicPattern, "match", lambda self, topic: (asked.append(self.text), match(self, topic))[1])
    commands = Commands((f"site/{{device}}/p{number}/set", f"p{number}") for number in range(1000))

    assert [commands.profile_of(topic) for topic in ("site/b1/p999/set", "site/b1/p999/get", "x")] == ["p999", "", ""]
    assert (len(asked), commands.count) == (1, 1000)


@pytest.mark.parametrize(
    ("filters", "is_event"),
    [
        (("#",), False),
        (("site/#",), False),
        (("site/#", "#"), False),
        (("site/a/boiler/+/set",), True),
        (("#", "site/+/boiler/+/set"), True),
        ((SET,), True),
    ],
)
def test_a_filter_that_writes_all_levels_takes_commands_too(filters: tuple[str, ...], is_event: bool) -> None:
    """An auditor may want them; asked twice, because answers are remembered."""
    events = EventFilter(filters)
    events.use(lambda topic: topic == SET)

    assert [events.seed(SET) is not None for _ in range(2)] == [is_event] * 2
    assert EventFilter(filters).seed(SET) is not None


@pytest.mark.parametrize("is_known_by_name", [False, True], ids=["anybody", "a user with rights"])
async def test_a_command_reaches_subscribers_only_from_the_moment_its_profile_is_in_use(
    tmp_path: Path, is_known_by_name: bool
) -> None:
    """One connection over three sets of profiles: what was remembered of the topic counts no longer than its set."""
    assert await _heard_over_three_sets(tmp_path, is_known_by_name=is_known_by_name) == [b"0", b"2"]


@pytest.mark.parametrize("is_known_by_name", [False, True], ids=["anybody", "a user with rights"])
async def test_a_listener_that_remembers_topics_over_a_reload_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known_by_name: bool
) -> None:
    """The mutant: without dropping what is remembered the first set would count for ever."""

    def use(self: EventFilter, is_command: Callable[[str], bool]) -> None:
        self._is_command = is_command

    monkeypatch.setattr(EventFilter, "use", use)

    assert await _heard_over_three_sets(tmp_path, is_known_by_name=is_known_by_name) == [b"0", b"1", b"2"]


async def _heard_over_three_sets(folder: Path, *, is_known_by_name: bool) -> list[bytes]:
    settings: dict[str, object] = {}
    if is_known_by_name:
        acl = write_private(folder / "acl.yaml", 'all_users:\n  - {allow: all, topic: "#"}\n')
        settings["auth"] = {"users": write_private(folder / "users", users_text(amy="a")), "acl": acl}
    intake = SettlingIntake()
    async with serving(intake, LocalBroker(), **settings) as listener:
        if is_known_by_name:
            _, client = await knock(listener.port, "amy", "a", client_id="amy")
        else:
            client = await RawClient.connect(listener.port)
        client.write(Subscribe(1, (Subscription("#"),)))
        assert isinstance(await client.receive(), SubAck)
        routed = []
        for number, has_command in enumerate((False, True, False)):
            listener.use(profiles(has_command=has_command))
            client.publish(number + 1, b"%d" % number, topic=SET)
            for _ in range(2):
                packet = await client.receive()
                assert isinstance(packet, Publish | PubAck)
                if isinstance(packet, Publish):
                    routed.append(packet.payload)
    assert routed == [b"0", b"1", b"2"]
    return intake.payloads


async def test_a_running_gateway_follows_the_profiles_in_its_folder(tmp_path: Path) -> None:
    """Hot reload: the next command of a profile just written is no event, without a restart."""
    (tmp_path / "devices.d").mkdir()
    file = tmp_path / "devices.d" / "boiler.yaml"
    file.write_text(BOILER, encoding="utf-8")
    gateway = Gateway(tmp_path, uplinks={})
    async with running(gateway), aiomqtt.Client("127.0.0.1", gateway.port) as client:
        await client.subscribe("site/#")

        async def is_event() -> bool:
            before = (await gateway.status())["events_in"]
            await client.publish(SET, b'{"target": 20}', qos=1)
            message = await anext(client.messages)
            assert json.loads(message.payload) == {"target": 20}
            return bool((await gateway.status())["events_in"] > before)

        async def is_no_event() -> bool:
            return not await is_event()

        assert await is_event()
        built_in = (await gateway.status())["profiles"]["commands"]
        file.write_text(BOILER + COMMANDS, encoding="utf-8")
        await eventually("the command is none", is_no_event)
        assert (await gateway.status())["profiles"]["commands"] == built_in + 1
        file.write_text(BOILER, encoding="utf-8")
        await eventually("it is one again", is_event)
