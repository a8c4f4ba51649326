"""``fieldgate demo``: the whole gateway at work, with an outage in the middle and a verdict at the end.

The world around the gateway is not part of it: it is found by entry point and starts the gateway as a child process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fieldgate.cli.simulate import load_simulator
from fieldgate.control import ask, socket_path
from fieldgate.errors import FieldgateError

__all__ = ["gateway_status", "register"]

_MINUTES = 0.7
_SERIAL = 3


async def gateway_status(state_folder: Path) -> dict[str, Any] | None:
    """Return what the gateway with this state folder says of itself; None while it cannot be asked."""
    try:
        return await ask(socket_path(state_folder), {"do": "status"})
    except (FieldgateError, OSError):
        return None


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(short_help="See an outage that loses nothing; takes less than a minute.")
    def demo(
        minutes: Annotated[float, typer.Option(metavar="N", min=0.05, help="How long the devices send.")] = _MINUTES,
        devices: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Simulated devices.")] = 50,
        rate: Annotated[float, typer.Option(metavar="N", help="Events per second of all devices together.")] = 100.0,
        serial: Annotated[
            int,
            typer.Option(
                metavar="N", min=0, max=3, help="Simulated devices on serial ports: scale, smart meter, sensor."
            ),
        ] = _SERIAL,
        modbus: Annotated[bool, typer.Option(help="A simulated Modbus unit, an energy meter that is asked.")] = True,
        seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same readings.")] = 7,
        plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live picture.")] = False,
    ) -> None:
        """Show an outage that loses nothing: devices, the gateway, and an upstream broker behind a link that is cut.

        The link becomes a black hole at 10 s for 10 s (in longer runs once a minute; in short ones for a quarter of
        the time), and a scale on a serial port is unplugged in the middle of a frame. The verdict is counted at the
        upstream broker. Ends with 1 if anything was lost or out of order.
        """
        run = load_simulator("demo")
        assert callable(run)
        raise typer.Exit(
            run(
                seconds=minutes * 60,
                devices=devices,
                rate=rate,
                serial=serial,
                modbus=modbus,
                seed=seed,
                plain=plain,
                status=gateway_status,
            )
        )
