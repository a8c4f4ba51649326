"""What `BrokerConnection` and who speaks over it, an uplink or a source, agree on: states, times, who calls whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from fieldgate.mqtt.client_happenings import Announced, Rejected, Subscribed
from fieldgate.mqtt.endings import End

__all__ = ["VERSION_NAMES", "ConnectionOwner", "ConnectionState", "Timing"]

ConnectionState = Literal["connecting", "connected", "backoff", "refused"]
"""``backoff`` mends itself when the far side or the link does; ``refused`` needs a person (and is retried as well)."""

VERSION_NAMES: Final[dict[int, Literal["3.1.1", "5"]]] = {4: "3.1.1", 5: "5"}


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast to try again; a connection was stable if it lasted ``stable_s`` and made progress."""

    base_s: float = 0.5
    cap_s: float = 60.0
    stable_s: float = 5.0


class ConnectionOwner(Protocol):
    """Who speaks over the connection."""

    def version_changed(self) -> None:
        """The next connection speaks another protocol version: nothing encoded so far is of use."""

    def connected(self, *, is_session_present: bool) -> None:
        """The server has accepted the connection."""

    def happened(self, happening: Rejected | Subscribed | Announced) -> End | None:
        """Something came; an `End` is why to leave the server alone for a while."""

    def fill(self, now_s: float) -> float | None:
        """Send through the session what may be sent now.

        Returns in how many seconds to ask again even if nothing happens, or None.
        """

    def lost(self, end: End) -> bool:
        """The connection is over, or did not come about; return whether it made any progress."""

    def gave_way(self, end: End, *, was_connected: bool, is_news: bool, wait_s: float) -> None:
        """There is no connection for ``wait_s`` (0: another version is tried at once).

        ``is_news``: for another reason than the last time.
        """
