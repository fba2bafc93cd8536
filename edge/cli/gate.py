"""edge-gate: the reference controller as a command, which prints one line for each part that it passes or rejects."""

import json
import logging
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.channel.endpoints import STATION, VERDICTS
from edge.cli import new_app, run_app
from edge.cli.log_options import with_log_options
from edge.gate import TRANSIT_MS
from edge.terminal.logs import lines_through
from edge.terminal.output import Display

if TYPE_CHECKING:
    from edge.gate.client import Controller
    from edge.gate.gate import Gate

logger = logging.getLogger("edge.gate")

PATIENCE_S = 2.0
"""Longest wait for a slow reader of the output when the command ends. Before that the gate never waits for output."""

UNAUTHENTIC = (
    "no keys: any process that reaches it can speak as the station; drive a real output with --keys, or over ipc://"
)

station_option = partial(typer.Option, rich_help_panel="Station")
timing_option = partial(typer.Option, rich_help_panel="Timing")
decision_option = partial(typer.Option, rich_help_panel="Decisions")
output_option = partial(typer.Option, rich_help_panel="Output")

app = new_app()


@app.command()
@with_log_options
def gate(
    connect: Annotated[
        list[str] | None,
        station_option(
            metavar="ENDPOINT",
            help="Endpoint of the station's verdicts. May be repeated: a second station of the same name is a fault. "
            f"[default: {VERDICTS}]",
        ),
    ] = None,
    control: Annotated[
        list[str] | None,
        station_option(
            metavar="ENDPOINT",
            help="Control endpoint of each --connect. [default: one port above it]",
        ),
    ] = None,
    station: Annotated[str, station_option(metavar="NAME", help="Name of the station.")] = STATION,
    name: Annotated[str, station_option(metavar="NAME", help="Name of this controller.")] = "gate1",
    travel_ms: Annotated[
        float,
        timing_option(
            metavar="MS",
            help="Time from the camera to the gate on a belt of constant speed.",
            min=1,
            max=3_600_000,
        ),
    ] = 1000.0,
    lead_ms: Annotated[
        float,
        timing_option(
            metavar="MS",
            help="Time before a part's arrival at which the gate decides, for the actuator to move.",
            min=1,
            max=60_000,
        ),
    ] = 50.0,
    transit_ms: Annotated[
        float,
        timing_option(
            metavar="MS",
            help="Time that a verdict may take on the network; the station's budget and this have to end before the "
            "gate decides: budget + transit <= travel - lead.",
            min=0,
            max=60_000,
        ),
    ] = TRANSIT_MS,
    travel_pulses: Annotated[
        int | None,
        timing_option(
            metavar="N",
            help="Encoder pulses from the camera to the gate, instead of --travel-ms.",
            min=1,
        ),
    ] = None,
    pulses_per_s: Annotated[
        float,
        timing_option(metavar="X", help="Speed of the simulated encoder for --travel-pulses.", min=0.001),
    ] = 1000.0,
    keys: Annotated[
        list[Path] | None,
        station_option(
            metavar="FILE",
            help="Key file from edge-keys export, one for each --connect. [default: no encryption]",
        ),
    ] = None,
    insecure: Annotated[
        bool,
        station_option("--insecure", help="Accept a station on the network without keys."),
    ] = False,
    allow_simulated: Annotated[
        bool,
        decision_option("--allow-simulated", help="Pass parts of a simulated line, for trials."),
    ] = False,
    once: Annotated[bool, decision_option("--once", help="Exit when the station's run ends.")] = False,
    wait_s: Annotated[
        float | None,
        decision_option(
            metavar="S",
            help="Exit after this many seconds without a message. [default: never]",
            min=0.1,
            max=86_400,
        ),
    ] = None,
    actuator: Annotated[
        list[str] | None,
        decision_option(
            metavar="NAME",
            help="Output that the decisions drive: terminal, modbus:FILE or gpio:FILE. May be repeated. "
            "[default: terminal]",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        output_option(
            metavar="FILE",
            help="Append each decision as a line of JSON before the actuator moves. [default: no log]",
        ),
    ] = None,
    as_json: Annotated[bool, output_option("--json", help="Print each decision as a line of JSON.")] = False,
) -> None:
    """Pass the parts that an in-time good verdict names, and reject all others with the reason.

    Runs until Ctrl-C or SIGTERM. Exit code 1: a fault, a lost output, or the station was silent. Exit code 2: nothing
    was heard.
    """
    from edge.cli.gate_controller import Asked, endpoints_of, open_controller
    from edge.errors import ChannelError
    from edge.gate.decision import Why

    asked = Asked(
        connect=connect or [VERDICTS], control=control or [], keys=keys or [], insecure=insecure,
        station=station, name=name, travel_ms=travel_ms, travel_pulses=travel_pulses, pulses_per_s=pulses_per_s,
        lead_ms=lead_ms, transit_ms=transit_ms, allow_simulated=allow_simulated, log=log,
        actuators=actuator or ["terminal"], as_json=as_json,
    )  # fmt: skip
    endpoints = endpoints_of(asked)
    display, remarks = Display(1), Display(2)
    with ExitStack() as at_end, ExitStack() as before_it:
        controller = open_controller(asked, endpoints, display.show, before_it)
        at_end.callback(_say_how_it_went, controller.gate, display, remarks, as_json)
        before_it.enter_context(lines_through(remarks.show))
        for endpoint in endpoints:
            if not endpoint.is_authentic:
                logger.warning("%s: %s", endpoint.verdicts, UNAUTHENTIC, extra={"station": station})
        _run(controller, _Watch(station), once, wait_s)
    gate = controller.gate
    if gate.epoch is None and gate.fault is None:
        raise ChannelError(f"nothing heard from {station!r} at {', '.join(one.verdicts for one in endpoints)}")
    sys.exit(1 if gate.fault or gate.failure or gate.outages or gate.counts[Why.HEARTBEAT_LOST] else 0)


def _run(controller: "Controller", watch: "_Watch", once: bool, wait_s: float | None) -> None:
    """Run the controller until a signal, with `once` until the station's run ends, or until no message arrived for
    `wait_s` seconds.
    """
    from edge.station.signals import Signals

    with Signals() as signals:
        while not (signals.came or (once and controller.gate.has_ended)):
            controller.turn()
            watch.look(controller)
            if wait_s is not None and time.monotonic_ns() - controller.heard_ns > wait_s * 1e9:
                break


UNHEARD_S = 5.0
"""How long nothing is heard from the station before that is logged."""


class _Watch:
    """Logs faults, alarms, refusals and remarks of a controller, each line once."""

    def __init__(self, station: str) -> None:
        self._about = {"station": station}
        self._alarms = 0
        self._epoch: str | None = None
        self._said: set[str] = set()
        self._outage: str | None = None
        self._ended: set[str | None] = set()
        self._begun_ns = time.monotonic_ns()

    def look(self, controller: "Controller") -> None:
        gate = controller.gate
        if gate.epoch is None and time.monotonic_ns() - self._begun_ns > UNHEARD_S * 1e9:
            self._say(
                f"waiting for station {self._about['station']}: nothing heard for {UNHEARD_S:.0f} s; is edge-run "
                "running, with this station name and the address of --connect?"
            )
        if gate.epoch != self._epoch:
            self._epoch = gate.epoch
            logger.debug("epoch %s of the station began", gate.epoch, extra=self._about)
        if gate.alarms > self._alarms:
            self._alarms = gate.alarms
            logger.warning("ALARM: %d parts in a row were late", gate.late_in_a_row, extra=self._about)
        for fault in (gate.fault, gate.failure):
            if fault:
                self._say(f"FAULT: {fault}; everything is rejected until this command is started again")
        if gate.outage != self._outage:
            self._outage = gate.outage
            if gate.outage is None:
                logger.info("the output is back; parts can pass", extra=self._about)
            else:
                logger.warning("OUTPUT LOST: %s; every part is rejected meanwhile", gate.outage, extra=self._about)
        for line in (*controller.refusals, *controller.remarks):
            self._say(line)
        if gate.end_cause is not None and gate.epoch not in self._ended:
            self._ended = {gate.epoch}
            logger.info("station %s stopped: %s", self._about["station"], gate.end_cause, extra=self._about)

    def _say(self, line: str) -> None:
        if line not in self._said and len(self._said) < 1_000:
            self._said.add(line)
            logger.warning("%s", line, extra=self._about)


def _say_how_it_went(gate: "Gate", display: "Display", remarks: "Display", as_json: bool) -> None:
    (remarks if as_json else display).show(_report(gate, as_json))
    display.close(PATIENCE_S)
    remarks.close(PATIENCE_S)


def _report(gate: "Gate", as_json: bool) -> str:
    """A line with counts and reasons; without `as_json` also a line with the meaning of each reason except defect."""
    from edge.gate.decision import Why
    from edge.text import counted

    rejects = {why.value: count for why, count in gate.counts.most_common() if why is not Why.CLEAR}
    counts = {"passed": gate.counts[Why.CLEAR], "rejected": sum(rejects.values())}
    if as_json:
        fault = gate.fault or gate.failure
        more = {"repeated": gate.repeated, "foreign": gate.foreign, "alarms": gate.alarms, "outages": gate.outages}
        return json.dumps({**counts, "reasons": rejects, **more, "fault": fault}) + "\n"
    reasons = ", ".join(f"{count} {why}" for why, count in rejects.items())
    said = f"decided: {counts['passed']} passed, {counts['rejected']} rejected"
    lines = [said + (f" ({reasons})" if reasons else "")]
    for why, count in gate.counts.most_common():
        if why not in (Why.CLEAR, Why.DEFECT):
            lines.append(f"{why}, {counted(count, 'part')}: {why.meaning}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Entry point."""
    run_app(app, "plc")


if __name__ == "__main__":
    main()
