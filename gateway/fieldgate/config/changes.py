"""What a changed configuration changes in a gateway that runs: what can count at once, and what needs a restart.

Laws of this file: nothing is read or connected; two configurations in, names of keys and a third configuration out. It
is the running one with all that may count at once, so it is what the gateway has after a reload, and what the next
reload is compared with. Values are compared as they are in effect: a secret whose file has changed is a change of its
key, whose name, never the value, is told.

Keys of a place that is connected to, and of a listener, belong together: where one of them needs a restart, so do the
others. A new password is not for the old address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from fieldgate.config.model import Config
from fieldgate_devices.files.document import Loc
from fieldgate_devices.files.model_tree import dotted

__all__ = ["HOT_KEYS", "Changes", "compare"]

_LISTENER_LIMITS: Final = (
    "max_packet", "max_body", "max_head", "request_timeout", "answer_timeout", "idle_timeout", "max_clients",
    "max_clients_per_address", "max_connecting", "connect_timeout", "receive_maximum", "max_unsettled", "max_unsent",
    "max_keep_alive", "max_in_flight", "max_unreleased", "max_subscriptions", "max_filters_size", "max_user_properties",
)  # fmt: skip
_LOGIN: Final = ("username", "password", "sas.key", "ca", "certificate", "key", "headers")
HOT_KEYS: Final = (
    *(f"{place}.*.mqtt.{key}" for place in ("uplinks", "sources") for key in _LOGIN),
    *(f"listen.*.{key}" for key in _LISTENER_LIMITS),
    "listen.*.tls.certificate", "listen.*.tls.key", "listen.*.tls.client_ca", "listen.*.tls.crl",
    "listen.*.auth.users", "listen.*.auth.acl", "listen.*.auth.tokens",
    "uplinks.*.rate", "uplinks.*.max_size", "uplinks.*.max_age",
    "uplinks.*.webhook.authorization", "uplinks.*.webhook.headers",
    "uplinks.*.webhook.ca", "uplinks.*.webhook.certificate", "uplinks.*.webhook.key",
)  # fmt: skip
"""What may change while the gateway runs; ``*`` stands for a number or a name."""

_TOGETHER: Final = ("listen.*", "sources.*", "uplinks.*.mqtt", "uplinks.*.webhook")


@dataclass(frozen=True, slots=True)
class Changes:
    """``counts`` and ``needs_restart`` are dotted keys, as ``config show`` has them."""

    config: Config
    counts: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


def compare(running: Config, written: Config) -> Changes:
    """Return what ``written`` changes in a gateway that runs by ``running``."""
    changed = list(_changed((), running, written))
    cold = {loc for loc in changed if _pattern(loc) not in HOT_KEYS}
    stuck = {group for loc in cold if (group := _group(loc))}
    hot = [loc for loc in changed if loc not in cold and _group(loc) not in stuck]
    config = running
    for loc in hot:
        replaced = _with(config, loc, written)
        assert isinstance(replaced, Config)
        config = replaced
    return Changes(
        config,
        counts=tuple(dotted(loc) for loc in hot),
        needs_restart=tuple(dotted(loc) for loc in changed if loc not in hot),
    )


def _changed(loc: Loc, old: object, new: object) -> Iterator[Loc]:
    """Every place at which they differ: as deep as both have the same sections."""
    if type(old) is not type(new):
        yield loc
    elif isinstance(old, BaseModel):
        for name in type(old).model_fields:
            yield from _changed((*loc, name), getattr(old, name), getattr(new, name))
    elif _holds_sections(old) and isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changed((*loc, number), one, other)
    elif isinstance(old, dict) and isinstance(new, dict) and (_holds_sections(old) or _holds_sections(new)):
        for name in {**old, **new}:
            yield from _changed((*loc, name), old.get(name), new.get(name))
    elif old != new:
        yield loc


def _holds_sections(value: object) -> bool:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return any(isinstance(one, BaseModel) for one in below)


def _pattern(loc: Loc) -> str:
    """``("listen", 0, "tls", "key")`` as ``listen.*.tls.key``."""
    if loc[:1] in {("listen",), ("sources",), ("uplinks",)}:
        loc = (loc[0], *("*" for _ in loc[1:2]), *loc[2:])
    return ".".join(map(str, loc))


def _group(loc: Loc) -> Loc:
    """The place that must be whole, if ``loc`` is in one."""
    for length in range(len(loc), 0, -1):
        if _pattern(loc[:length]) in _TOGETHER:
            return loc[:length]
    return ()


def _with(old: object, loc: Loc, new: object) -> object:
    """``old`` with what ``new`` has at ``loc``, which is in both."""
    if not loc:
        return new
    step, rest = loc[0], loc[1:]
    if isinstance(old, BaseModel):
        return old.model_copy(update={str(step): _with(getattr(old, str(step)), rest, getattr(new, str(step)))})
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _with(below, rest, new[key]) if key == step else below for key, below in old.items()}
    assert isinstance(old, tuple)
    assert isinstance(new, tuple)
    return tuple(_with(below, rest, new[at]) if at == step else below for at, below in enumerate(old))
