"""edge-plc: the handshake of stations with a PLC, over Modbus TCP."""

import json
import logging
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge.channel.endpoints import STATION, VERDICTS
from edge.cli import new_app, run_app
from edge.cli.log_options import with_log_options
from edge.terminal.logs import lines_through
from edge.terminal.output import Display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.plc.bridge import Bridge, Line
    from edge.plc.process_image import Entry
    from edge.plc.settings import PlcSettings

logger = logging.getLogger("edge.plc")

PATIENCE_S = 2.0
"""With a slow reader of what is printed, at the end."""

UNHEARD_S = 5.0
"""How long nothing is heard from a station before that is logged."""

SWITCH_S = 0.0005
"""How long the loop may keep the interpreter while the Modbus server waits for it; Python's own is 5 ms."""

UNAUTHENTIC = (
    "no keys: any process that reaches it can speak as the station; give --keys, or connect over ipc:// on this machine"
)
OPEN = "Modbus has no authentication: keep this network to the PLC and this machine alone"

station_option = partial(typer.Option, rich_help_panel="Station")
timing_option = partial(typer.Option, rich_help_panel="Timing")
bus_option = partial(typer.Option, rich_help_panel="PLC")
output_option = partial(typer.Option, rich_help_panel="Output")

app = new_app()


@app.command()
@with_log_options
def plc(
    config: Annotated[
        Path | None,
        station_option(
            metavar="FILE",
            help="Configuration of edge-run in TOML with a [plc] table; options override it. Without [[plc.stations]] "
            "the stations of the file are meant.",
        ),
    ] = None,
    connect: Annotated[
        str | None,
        station_option(metavar="ENDPOINT", help="Endpoint of the station's verdicts.", show_default=VERDICTS),
    ] = None,
    control: Annotated[
        str | None,
        station_option(metavar="ENDPOINT", help="Control endpoint of the station.", show_default="one port above it"),
    ] = None,
    station: Annotated[
        str | None, station_option(metavar="NAME", help="Name of the station.", show_default=STATION)
    ] = None,
    name: Annotated[
        str | None, station_option(metavar="NAME", help="Name of this controller.", show_default="plc1")
    ] = None,
    keys: Annotated[
        Path | None,
        station_option(metavar="FILE", help="Key file from edge-keys export.", show_default="no encryption"),
    ] = None,
    insecure: Annotated[
        bool | None, station_option("--insecure", help="Accept a station without keys, for trials.")
    ] = None,
    numbers: Annotated[
        Literal["order", "plc"] | None,
        bus_option(
            help="Numbers of the parts: order for the verdicts' sequence numbers, plc for those of the PLC's triggers.",
            show_default="order",
        ),
    ] = None,
    modbus: Annotated[
        str | None,
        bus_option(
            metavar="HOST:PORT",
            help="Where the Modbus TCP server listens, or its port on loopback.",
            show_default="5020",
        ),
    ] = None,
    insecure_modbus: Annotated[
        bool | None,
        bus_option("--insecure-modbus", help="Listen on an address of the network, where Modbus authenticates nobody."),
    ] = None,
    allow_simulated: Annotated[
        bool | None, bus_option("--allow-simulated", help="Pass parts of a simulated line, for trials.")
    ] = None,
    hold_ms: Annotated[
        float | None,
        timing_option(
            metavar="MS",
            help="Time after the station's budget at which a pass bit falls that was not acknowledged.",
            show_default="100",
            min=0,
            max=60_000,
        ),
    ] = None,
    transit_ms: Annotated[
        float | None,
        timing_option(
            metavar="MS", help="Time that a verdict may take on the network.", show_default="50", min=0, max=60_000
        ),
    ] = None,
    log: Annotated[
        Path | None,
        output_option(
            metavar="FILE",
            help="Append each result as a line of JSON before the PLC can read it.",
            show_default="no log",
        ),
    ] = None,
    once: Annotated[
        bool, output_option("--once", help="Exit when the run of every station has ended and the PLC has every result.")
    ] = False,
    print_map: Annotated[
        Literal["md", "csv"] | None,
        output_option("--print-map", help="Print the register map as Markdown or CSV, and exit."),
    ] = None,
    as_json: Annotated[bool, output_option("--json", help="Print what happens to each result as JSON lines.")] = False,
) -> None:
    """Show the verdicts of stations to a PLC, with a pass bit for the part whose number stands beside it.

    Runs until Ctrl-C or SIGTERM. Exit code 1: two stations had the same name.
    """
    from edge.cli.plc_bridge import open_bridge, read_settings
    from edge.plc.map_pages import map_page

    flags = {
        "connect": connect, "control": control, "station": station, "name": name, "keys": keys, "insecure": insecure,
        "numbers": numbers, "modbus": modbus, "insecure_modbus": insecure_modbus, "allow_simulated": allow_simulated,
        "hold_ms": hold_ms, "transit_ms": transit_ms, "log": log,
    }  # fmt: skip
    settings = read_settings(config, flags)
    if print_map is not None:
        print(map_page([one.station for one in settings.stations], print_map), end="")
        return
    sys.setswitchinterval(SWITCH_S)
    display, remarks = Display(1), Display(2)
    with ExitStack() as at_end, ExitStack() as before_it:
        bridge = open_bridge(settings, partial(_show, display, settings, as_json), _say_where, before_it)
        at_end.callback(_say_how_it_went, bridge, display, remarks, as_json)
        before_it.enter_context(lines_through(remarks.show))
        _warn(settings)
        _run(bridge, once)
    sys.exit(1 if any(handshake.fault for handshake in bridge.handshakes) else 0)


def _say_where(endpoint: str) -> None:
    from urllib.parse import urlsplit

    from edge.security.loopback import is_loopback

    logger.info("Modbus TCP at %s", endpoint)
    if not is_loopback(urlsplit(f"//{endpoint}").hostname or ""):
        logger.warning("%s: %s", endpoint, OPEN)


def _warn(settings: "PlcSettings") -> None:
    for one in settings.stations:
        if one.keys is None and not one.connect.startswith("ipc://"):
            logger.warning("%s: %s", one.connect, UNAUTHENTIC, extra={"station": one.station})


def _run(bridge: "Bridge", once: bool) -> None:
    """Until a signal, or with `once` until every station's run has ended and the PLC has every result."""
    from edge.station.signals import Signals

    said: set[str] = set()
    begun = time.monotonic()
    with Signals() as signals:
        while not (signals.came or (once and all(handshake.has_ended for handshake in bridge.handshakes))):
            bridge.turn()
            for line in bridge.lines:
                for text in (*_remarks(line, time.monotonic() - begun > UNHEARD_S), *line.link.refusals):
                    if text not in said and len(said) < 1_000:
                        said.add(text)
                        logger.warning("%s", text, extra={"station": line.station})


def _remarks(line: "Line", is_unheard: bool) -> "Iterator[str]":
    handshake = line.handshake
    if is_unheard and handshake.epoch is None:
        yield (
            f"waiting for station {line.station}: nothing heard for {UNHEARD_S:.0f} s; is edge-run running, with this "
            "station name and the address of --connect?"
        )
    if handshake.fault:
        yield f"FAULT: {handshake.fault}; everything is rejected until this command is started again"
    if handshake.held is not None:
        yield f"result {handshake.held} waits: acknowledge holds {handshake.held}; the PLC must write 0 there first"


def _show(display: Display, settings: "PlcSettings", as_json: bool, station: str, entry: "Entry") -> None:
    from edge.plc.codes import Code
    from edge.plc.log import fields

    if as_json:
        display.show(json.dumps(fields(station, settings.numbers, entry)) + "\n")
    elif entry.event in ("pass", "fail", "overrun", "withdrawn"):
        name = f"{station}  " if len(settings.stations) > 1 else ""
        why = "" if entry.code is Code.CLEAR else f"  {entry.code.name.lower().replace('_', ' ')}"
        display.show(f"{name}{entry.number:>8}  {entry.event:<9}  {entry.part}{why}\n")


def _say_how_it_went(bridge: "Bridge", display: Display, remarks: Display, as_json: bool) -> None:
    for line in bridge.lines:
        one = line.handshake
        counts = {
            "station": line.station, "shown": one.shown, "passed": one.passed, "overruns": one.overruns,
            "missed_triggers": one.missed_triggers, "repeated": one.repeated, "fault": one.fault,
        }  # fmt: skip
        text = (
            f"{line.station}: {one.shown} results shown, {one.passed} with a pass bit, {one.overruns} dropped, "
            f"{one.missed_triggers} triggers missed"
        )
        (remarks if as_json else display).show((json.dumps(counts) if as_json else text) + "\n")
    display.close(PATIENCE_S)
    remarks.close(PATIENCE_S)


def main() -> None:
    """Entry point."""
    run_app(app, "plc")


if __name__ == "__main__":
    main()
