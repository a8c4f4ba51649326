"""The topic on which an uplink hears commands: a template, what it may hold, and the filter that takes all of it."""

from __future__ import annotations

from typing import Any, Final

from fieldgate.config.texts import check_template

__all__ = [
    "COMMAND_TOPIC",
    "OFF",
    "answer_filter",
    "check_command_topic",
    "command_filter",
    "true_is_the_default",
    "true_too",
]

COMMAND_TOPIC: Final = "fieldgate/{gateway}/{device}/command/{name}"
"""Where an uplink listens with ``commands: true``."""
OFF: Final = "off"
_PLACEHOLDERS: Final = ("gateway", "device", "name")
_WHOLE_LEVELS: Final = ("{device}", "{name}")


def true_is_the_default(written: object) -> object:
    """``commands: true`` needs no topic, and ``false`` says what 'off' says."""
    if isinstance(written, bool):
        return COMMAND_TOPIC if written else OFF
    return written


def true_too(schema: dict[str, Any]) -> None:
    """What `true_is_the_default` takes, for editors."""
    schema["type"] = ["string", "boolean"]


def check_command_topic(text: str) -> str:
    """A topic in which ``{device}`` and ``{name}`` are a level each, once; or the word 'off'."""
    if text == OFF:
        return text
    check_template(text, _PLACEHOLDERS)
    levels = text.split("/")
    for wanted in _WHOLE_LEVELS:
        if levels.count(wanted) != 1 or text.count(wanted) != 1:
            raise ValueError(
                f"{text!r} must have {wanted} as one whole level of the topic, once, as {COMMAND_TOPIC} has; "
                "allowed: such a topic, true for that one, or 'off'"
            )
    return text


def command_filter(template: str, gateway: str) -> str:
    """Return the topic filter to subscribe to: of all commands for all devices of ``gateway``."""
    return "/".join(
        "+" if level in _WHOLE_LEVELS else level.replace("{gateway}", gateway) for level in template.split("/")
    )


def answer_filter(template: str, gateway: str) -> str:
    """Return a filter of the topics of answers, where a command names none: one level below the command's."""
    return f"{command_filter(template, gateway)}/answer"
