"""``fieldgate simulate``: simulated devices against any broker, or on a serial port that is none.

They are not part of the gateway: they are found by entry point.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
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
    """Add the command, and those for serial and Modbus devices below it."""
    group = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
    group.callback(invoke_without_command=True)(_simulate)
    group.command("serial", short_help="Be a device on a serial port that is none (a pty).")(_serial)
    group.command("modbus", short_help="Be energy meters that speak Modbus, on a TCP port or a serial bus.")(_modbus)
    app.add_typer(group, name="simulate", short_help="Publish readings of simulated devices to any broker.")


def _simulate(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The broker or gateway: mqtt://[user[:password]@]host[:port]. Needed."),
    ] = None,
    devices: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Devices, each with a connection of its own.")
    ] = 50,
    rate: Annotated[float, typer.Option(metavar="N", help="Events per second of the whole fleet together.")] = 10.0,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same readings.")] = 0,
    topic: Annotated[
        str, typer.Option(metavar="TOPIC", help="Topic of each device; {device} stands for its name.")
    ] = "sensors/{device}/telemetry",
    minutes: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="Stop after this many minutes. Default: Ctrl-C.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(metavar="N", min=0, help="Stop after this many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Publish readings of simulated devices to a broker (MQTT 3.1.1, QoS 1) and count what it acknowledges.

    Ends with 1 if a reading was not acknowledged within 5 seconds of the end. A device on a serial port is
    'fieldgate simulate serial'.
    """
    if context.invoked_subcommand is not None:
        return
    if target is None:
        raise typer.BadParameter("--target is needed: mqtt://host[:port]; or a command: 'fieldgate simulate serial'")
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


def _serial(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="What it is: scale, gnss, p1 (smart meter), sml (smart meter), cobs (sensor)."
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of a device: the bytes of this file, once, from when it is opened."),
    ] = None,
    link: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Name of the port, which stays. Default: fieldgate-KIND in the temporary folder."
        ),
    ] = None,
    baud: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Speed of a replay; 0 is as fast as it is read. Default: 9600."),
    ] = None,
    rate: Annotated[
        float, typer.Option(metavar="N", min=0, help="Readings per second; 0: only answers to what is written to it.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same readings and faults.")] = 0,
    corrupt: Annotated[
        float, typer.Option(metavar="N", min=0, max=1, help="Share of bytes of which a bit flips.")
    ] = 0.0,
    noise: Annotated[
        float, typer.Option(metavar="N", min=0, max=1, help="Share of frames with noise before them.")
    ] = 0.0,
    pause: Annotated[
        float,
        typer.Option(
            metavar="N", min=0, max=1, help="Share of pieces (16 bytes at most) after which it halts for 50 ms."
        ),
    ] = 0.0,
    replug_every: Annotated[
        float,
        typer.Option(
            metavar="N", min=0, help="Unplug it in mid-frame after so many seconds, again and again. 0: never."
        ),
    ] = 0.0,
    seconds: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="Stop after this many seconds. Default: Ctrl-C.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Be a device on a serial port that is none: a pty with a name that stays, as an adapter's under by-id.

    Says what to write into fieldgate.yaml, and counts what it sent. A scale answers TARE, ZERO and READ.
    """
    if (kind is None) == (replay is None):
        raise typer.BadParameter("name a device (scale, gnss, p1, sml, cobs) or a file with --replay")
    if replay is None and baud is not None:
        raise typer.BadParameter("--baud is the speed of a --replay; a device has its --rate")
    if replay is not None and replug_every:
        raise typer.BadParameter("--replug-every is for devices; a replay loses nothing")
    run = load_simulator("simulate-serial")
    assert callable(run)
    raise typer.Exit(
        run(
            kind=kind,
            replay=replay,
            link=link,
            baud=baud,
            rate=rate,
            seed=seed,
            seconds=seconds,
            corrupt=corrupt,
            noise=noise,
            pause=pause,
            replug_every=replug_every,
            as_json=as_json,
        )
    )


def _modbus(
    units: Annotated[
        int, typer.Option(metavar="N", min=1, max=247, help="How many meters (sdm120), from unit 1 on.")
    ] = 1,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="TCP port; 0 is any that is free.")
    ] = 5020,
    link: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="In place of a TCP port: name of a serial port that is none (Modbus RTU)."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same readings.")] = 0,
    silent: Annotated[
        list[int] | None, typer.Option(metavar="UNIT", help="A unit that does not answer; may be given again.")
    ] = None,
    corrupt: Annotated[
        list[int] | None, typer.Option(metavar="UNIT", help="A unit whose answers are damaged; may be given again.")
    ] = None,
    slow: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Seconds before each answer.")] = 0.0,
    exception: Annotated[
        int | None,
        typer.Option(metavar="CODE", min=1, max=11, help="Answer everything with this exception, such as 6 for busy."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="Stop after this many seconds. Default: Ctrl-C.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Be energy meters that speak Modbus; says what to write into fieldgate.yaml, and counts what was asked."""
    run = load_simulator("simulate-modbus")
    assert callable(run)
    raise typer.Exit(
        run(
            units=units,
            host=host,
            port=port,
            link=link,
            seed=seed,
            silent=silent or [],
            slow=slow,
            corrupt=corrupt or [],
            exception=exception,
            seconds=seconds,
            as_json=as_json,
        )
    )
