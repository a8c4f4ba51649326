"""From topics that were heard to the pattern of a profile, and to which level names the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["TopicGuess", "guess_topics"]

_KINDS: Final = frozenset({
    "telemetry", "state", "status", "data", "sensor", "sensors", "event", "events", "up", "uplink", "values", "value",
    "json", "attributes", "info", "reading", "readings", "measurement", "measurements", "report", "message", "messages",
    "result", "rx",
})  # fmt: skip
_MAX_DEVICE: Final = 200


@dataclass(frozen=True, slots=True)
class TopicGuess:
    """``pattern`` takes all topics; ``has_device``: it catches ``{device}``. ``notes`` are for the author."""

    pattern: str
    has_device: bool
    notes: tuple[str, ...] = ()


def guess_topics(topics: Sequence[str], listened: str | None = None) -> TopicGuess:
    """Return the pattern of ``topics``, at least one; ``listened`` is the filter under which they were heard.

    Levels that differ are wildcards, and so is what the filter has as one; the level with the most different names is
    the device, else, where all topics are one, the level before the last or the last.
    """
    split = [topic.split("/") for topic in dict.fromkeys(topics)]
    if len({len(levels) for levels in split}) > 1:
        return _of_different_lengths(split)
    asked = (listened or "").split("/")
    names = [list(dict.fromkeys(levels[place] for levels in split)) for place in range(len(split[0]))]
    is_open = [
        len(found) > 1 or not _is_plain(found[0]) or (place < len(asked) and asked[place] == "+")
        for place, found in enumerate(names)
    ]
    device = _device_level(names, is_open)
    levels = [
        "{device}" if place == device else "+" if is_open[place] else found[0] for place, found in enumerate(names)
    ]
    notes = []
    for place, found in enumerate(names):
        if is_open[place] and place != device and 1 < len(found) <= 4:
            notes.append(
                f"level {place + 1} of the topic is {', '.join(found)}: are these different kinds of messages?"
            )
    return TopicGuess("/".join(levels), device is not None, tuple(notes))


def _of_different_lengths(split: list[list[str]]) -> TopicGuess:
    shared: list[str] = []
    for levels in zip(*split, strict=False):
        if len(set(levels)) > 1 or not _is_plain(levels[0]):
            break
        shared.append(levels[0])
    note = "the topics have different numbers of levels: one profile for each kind is better"
    return TopicGuess("/".join([*shared, "#"]), False, (note,))


def _is_plain(level: str) -> bool:
    """Whether a level can stand in a pattern as it is."""
    return level.isprintable() and not set(level) & set("{}+#")


def _is_name(level: str) -> bool:
    return bool(level) and len(level) <= _MAX_DEVICE and level.isprintable() and not set(level) & set("+#")


def _device_level(names: list[list[str]], is_open: list[bool]) -> int | None:
    able = [place for place, found in enumerate(names) if all(map(_is_name, found))]
    varying = [place for place in able if len(names[place]) > 1]
    if varying:
        return max(varying, key=lambda place: (len(names[place]), place))
    asked = [place for place in able if is_open[place]]
    if asked:
        return asked[-1]
    if any(is_open) or len(names) == 1:
        return None
    last = len(names) - 1
    is_kind = names[last][0].lower() in _KINDS
    place = last - 1 if is_kind and last > 1 else last
    return place if place in able and place > 0 and not (is_kind and place == last) else None
