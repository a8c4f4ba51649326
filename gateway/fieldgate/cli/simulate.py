"""``fieldgate simulate``: a fleet of simulated devices against any broker.

The fleet is not part of the gateway: it is found by entry point.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Annotated

import typer

__all__ = ["load_simulator", "register"]

GROUP = "fieldgate.simulators"


def load_simulator(name: str) -> object:
    """Return what is installed as ``name`` among the simulators; end the command if nothing is."""
    found = entry_points(group=GROUP, name=name)
    if not found:
        typer.echo(
            f"error: the simulators are not installed with this fieldgate (no entry point {GROUP}:{name})", err=True
        )
        raise typer.Exit(1)
    return next(iter(found)).load()


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(short_help="Publish readings of simulated devices to any broker.")
    def simulate(
        target: Annotated[str, typer.Option(help="The broker or gateway: mqtt://[user[:password]@]host[:port].")],
        devices: Annotated[
            int, typer.Option(min=1, max=10_000, help="Devices, each with a connection of its own.")
        ] = 50,
        rate: Annotated[float, typer.Option(help="Events per second of the whole fleet together.")] = 10.0,
        seed: Annotated[int, typer.Option(help="The same seed makes the same readings.")] = 0,
        topic: Annotated[
            str, typer.Option(help="Topic of each device; {device} stands for its name.")
        ] = "sensors/{device}/telemetry",
        minutes: Annotated[
            float | None, typer.Option(min=0, help="Stop after this many minutes. Default: Ctrl-C.")
        ] = None,
        seconds: Annotated[float | None, typer.Option(min=0, help="Stop after this many seconds.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    ) -> None:
        """Publish readings of simulated devices to a broker (MQTT 3.1.1, QoS 1) and count what it acknowledges.

        Ends with 1 if a reading was not acknowledged within 5 seconds of the end.
        """
        if minutes is not None and seconds is not None:
            raise typer.BadParameter("give --minutes or --seconds, not both")
        run = load_simulator("simulate")
        assert callable(run)
        raise typer.Exit(
            run(
                target=target,
                devices=devices,
                rate=rate,
                seed=seed,
                topic=topic,
                seconds=minutes * 60 if minutes is not None else seconds,
                as_json=as_json,
            )
        )
