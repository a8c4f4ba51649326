"""`fieldgate run` in which a stand-in for rules routes events by the first level of their topic; for `Gateway.start`.

``to-cloud/…``, ``to-site/…`` and ``to-nobody/…`` go there alone, ``alert/…`` tells ``pager``, ``siren/…`` is a message
for ``cloud``; all others go where they go without rules.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fieldgate.cli import main
from fieldgate.journal.outbox import Outbox
from fieldgate_devices.event import Event, Extra, Publish

SCRIPT: Final = (sys.executable, __file__)

_EXTRAS: Final = {
    "to-cloud": Extra(uplinks=("cloud",)),
    "to-site": Extra(uplinks=("site",)),
    "to-nobody": Extra(uplinks=("gone",)),
    "alert": Extra(notify=("pager",)),
    "siren": Extra(uplinks=("cloud",), publish=Publish("house/siren", 1, True)),
}

_accept = Outbox.accept


def accept(self: Outbox, events: Sequence[Event], *args: Any, **how: Any) -> None:
    extras = [_EXTRAS.get(event.address.topic.split("/")[0]) for event in events]
    for event, extra in zip(events, extras, strict=True):
        if extra is not None:
            event.extra = extra
            if extra.publish is not None:
                event.address = msgspec.structs.replace(event.address, type="publish")
    _accept(self, events, *args, is_routed=any(extras), **how)


if __name__ == "__main__":
    Outbox.accept = accept  # type: ignore[method-assign]  # what the host of rules does with what they say
    sys.argv = ["fieldgate", *sys.argv[sys.argv.index("fieldgate") + 1 :]]
    main()
