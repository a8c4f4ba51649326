"""The clocks of a gateway in a test: CLOCK_BOOTTIME, the wall clock, and whether anybody knows that this is right."""

from __future__ import annotations

from typing import Final

from fieldgate_devices.event import Stamp, TimeQuality

__all__ = ["VirtualClock"]

_NS: Final = 10**9
_FIRST_BOOT_NS: Final = 1_000 * _NS
_LATER_BOOT_NS: Final = 20 * _NS  # how long a machine is up when the gateway starts
_USUAL_NS: Final = 1_767_225_600 * _NS  # 2026-01-01T00:00:00Z


class VirtualClock:
    """Moves only when it is told to. ``start_ns`` is the wall clock at the beginning, None while nobody knows it.

    ``at_ns`` is the time since the test began, whatever the other clocks say.
    """

    def __init__(self, start_ns: int | None) -> None:
        self.at_ns = 0
        self.run = 1
        self.boot = 1
        self.is_known = start_ns is not None
        self._right_ns = _USUAL_NS if start_ns is None else start_ns  # the true time when the test began
        self._error_ns = 0
        self._up_ns = _FIRST_BOOT_NS  # boot time when the test began, of this boot

    @property
    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return self._up_ns + self.at_ns

    @property
    def os_boot(self) -> str:
        """The kernel's boot id."""
        return f"00000000-0000-4000-8000-{self.boot:012}"

    @property
    def stamp(self) -> Stamp:
        """The present moment, as events bear it."""
        if not self.is_known:
            return Stamp(self.run, self.boot_ns, self.boot_ns, TimeQuality.UNSYNCED)
        return Stamp(self.run, self.wall_ns, self.boot_ns, TimeQuality.SYNCED)

    @property
    def wall_ns(self) -> int:
        """What the wall clock shows, or would show if it were known."""
        return self._right_ns + self.at_ns + self._error_ns

    def at_of(self, boot_s: float) -> int:
        """Return when CLOCK_BOOTTIME is ``boot_s`` or just past it, in ns since the test began; never in the past."""
        boot_ns = round(boot_s * _NS)
        while boot_ns / _NS < boot_s:
            boot_ns += 1
        return max(self.at_ns, boot_ns - self._up_ns)

    def step(self, by_ns: int) -> None:
        """The wall clock jumps."""
        self._error_ns += by_ns

    def set(self, wall_ns: int | None) -> None:
        """The wall clock becomes known; None: as if it had always been right."""
        self._error_ns = 0 if wall_ns is None else wall_ns - self._right_ns - self.at_ns
        self.is_known = True

    def unset(self) -> None:
        """Nobody knows the time any more."""
        self.is_known = False

    def restart(self, *, is_other_boot: bool, is_known: bool | None) -> None:
        """The gateway starts anew at the present moment; None: it knows the time if it did before."""
        self.run += 1
        if is_other_boot:
            self.boot += 1
            self._up_ns = _LATER_BOOT_NS - self.at_ns
        if is_known is not None:
            self.is_known = is_known
