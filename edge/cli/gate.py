"""edge-gate: the reference controller in a terminal, one line for each part that it passes or rejects."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from edge.cli import new_app, run_app
from edge.terminal.output import Display
from edge.text import printable

if TYPE_CHECKING:
    from edge.gate.belt import Belt
    from edge.gate.client import Controller, Endpoint
    from edge.gate.decision import Decision
    from edge.gate.gate import Gate

    ReadEncoder = Callable[[int], None] | None

PATIENCE_S = 2.0
"""With a slow reader of what is printed, at the end; nothing waits for one before."""

UNAUTHENTIC = (
    "no keys: any process that reaches it can speak as the station; drive a real output with --keys, or over ipc://"
)

app = new_app()


@app.command()
def gate(
    connect: Annotated[
        list[str] | None,
        typer.Option(help="Verdict endpoint; may be repeated, to see a second station of the same name."),
    ] = None,
    control: Annotated[
        list[str] | None, typer.Option(help="Control endpoint of each --connect; else one port above it.")
    ] = None,
    station: Annotated[str, typer.Option(help="Name of the station.")] = "line1",
    name: Annotated[str, typer.Option(help="Name of this controller.")] = "gate1",
    travel_s: Annotated[
        float,
        typer.Option(help="Seconds from the camera to the gate, of a belt that never stops.", min=0.001, max=3600),
    ] = 1.0,
    travel_pulses: Annotated[
        int | None, typer.Option(help="Encoder pulses from the camera to the gate, instead of seconds.", min=1)
    ] = None,
    pulses_per_s: Annotated[
        float, typer.Option(help="Speed of the simulated encoder that --travel-pulses is tried with.", min=0.001)
    ] = 1000.0,
    lead_ms: Annotated[
        float, typer.Option(help="How long before a part is there the gate decides, ms.", min=1, max=60_000)
    ] = 50.0,
    transit_ms: Annotated[
        float, typer.Option(help="How long after the budget a verdict may come, ms.", min=0, max=60_000)
    ] = 50.0,
    keys: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Key file from edge-keys export, one for each --connect."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Believe a station on the network that has no keys.")
    ] = False,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append each decision as a line of JSON, before the gate moves.")
    ] = None,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Pass parts of a demonstration, for trials.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Leave when the station's run ends.")] = False,
    wait_s: Annotated[
        float | None, typer.Option(help="Leave after so many seconds without any message.", min=0.1, max=86_400)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each decision as a line of JSON.")] = False,
) -> None:
    """Pass the parts that an in-time good names, reject all others, and say why.

    Ends in order on Ctrl-C and SIGTERM. Exit code 1 if there was a fault or a silence, 2 if nothing was heard at all.
    """
    from edge.channel.control_messages import check_name, check_station_name
    from edge.errors import ChannelError
    from edge.gate.client import Controller
    from edge.gate.decision import Why
    from edge.gate.gate import Rules
    from edge.gate.log import GateLog, fields
    from edge.station.signals import Signals

    endpoints = _endpoints(connect or ["tcp://127.0.0.1:5570"], control or [], keys or [])
    _check_keys(endpoints, insecure)
    check_name(name)
    check_station_name(station)
    if travel_pulses is None and lead_ms / 1e3 >= travel_s:
        raise ChannelError(
            f"--lead-ms {lead_ms:g} is not less than the {travel_s:g} s of --travel-s: no part could pass"
        )
    belt, read_encoder = _belt(travel_s, travel_pulses, pulses_per_s, lead_ms / 1e3)

    def show(decision: "Decision") -> None:
        display.show((json.dumps(fields(decision)) if as_json else _line(decision)) + "\n")

    display, remarks = Display(1), Display(2)
    book = GateLog(log) if log else None
    rules = Rules(transit_ms=transit_ms, allow_simulated=allow_simulated)
    controller = Controller(endpoints, station, name, belt, show, rules, book, read_encoder, allow_insecure=True)
    for endpoint in endpoints:
        if not endpoint.is_authentic:
            remarks.show(f"{printable(endpoint.verdicts)}: {UNAUTHENTIC}\n")
    watch = _Watch(remarks)
    try:
        with Signals() as signals:
            while not (signals.came or (once and controller.gate.has_ended)):
                controller.turn()
                watch.look(controller)
                if wait_s is not None and time.monotonic_ns() - controller.heard_ns > wait_s * 1e9:
                    break
    finally:
        controller.close()
        if book:
            book.close()
        (remarks if as_json else display).show(_report(controller.gate, as_json))
        display.close(PATIENCE_S)
        remarks.close(PATIENCE_S)
    if controller.gate.epoch is None and controller.gate.fault is None:
        raise ChannelError(f"nothing heard from {station!r} at {', '.join(one.verdicts for one in endpoints)}")
    sys.exit(1 if controller.gate.fault or controller.gate.counts[Why.HEARTBEAT_LOST] else 0)


def _endpoints(connect: list[str], control: list[str], keys: list[Path]) -> "list[Endpoint]":
    from edge.channel.client_security import read_client_keys
    from edge.errors import ChannelError
    from edge.gate.client import Endpoint

    if control and len(control) != len(connect):
        raise ChannelError(f"{len(control)} --control for {len(connect)} --connect; give one for each, or none")
    if keys and len(keys) != len(connect):
        raise ChannelError(f"{len(keys)} --keys for {len(connect)} --connect; give one for each, or none")
    return [
        Endpoint.of(
            verdicts,
            control[index] if control else None,
            read_client_keys(keys[index]) if keys else None,
        )
        for index, verdicts in enumerate(connect)
    ]


def _check_keys(endpoints: "list[Endpoint]", insecure: bool) -> None:
    """Raise ChannelError if somebody on the network could speak as the station and that is not meant."""
    from edge.channel.endpoints import is_loopback
    from edge.errors import ChannelError

    for endpoint in endpoints:
        urls = [urlsplit(one) for one in (endpoint.verdicts, endpoint.control)]
        is_local = all(url.scheme == "ipc" or is_loopback(url.hostname or "") for url in urls)
        if not (endpoint.is_authentic or insecure or is_local):
            raise ChannelError(
                f"{endpoint.verdicts}: without keys anybody on the network can speak as the station; say --keys FILE, "
                "or --insecure if that is meant"
            )


def _belt(travel_s: float, pulses: int | None, pulses_per_s: float, lead_s: float) -> "tuple[Belt, ReadEncoder]":
    """The belt, and what reads its encoder if it has one."""
    from edge.gate.belt import EncoderBelt, SteadyBelt

    if pulses is None:
        return SteadyBelt(travel_s, lead_s), None
    belt = EncoderBelt(pulses, int(lead_s * pulses_per_s))
    began = time.monotonic_ns()
    return belt, lambda now: belt.sample(now, int((now - began) / 1e9 * pulses_per_s))


def _line(decision: "Decision") -> str:
    number = "" if decision.seq is None else str(decision.seq)
    if decision.to_seq is not None:
        number += f"-{decision.to_seq}"
    said = f"{number:>6}  {'pass' if decision.passes else 'REJECT':6}  {decision.why:17}  {decision.part or ''}"
    return printable((said + (f"  {decision.detail}" if decision.detail else "")).rstrip())


class _Watch:
    """Says on standard error what a person should see, once."""

    def __init__(self, remarks: "Display") -> None:
        self._remarks = remarks
        self._alarms = 0
        self._said: set[str] = set()

    def look(self, controller: "Controller") -> None:
        gate = controller.gate
        if gate.alarms > self._alarms:
            self._alarms = gate.alarms
            self._remarks.show(f"ALARM: {gate.late_in_a_row} parts in a row were late\n")
        if gate.fault:
            self._say(f"FAULT: {gate.fault}; everything is rejected until this command is started again")
        for refusal in controller.refusals:
            self._say(refusal)

    def _say(self, line: str) -> None:
        if line not in self._said and len(self._said) < 1_000:
            self._said.add(line)
            self._remarks.show(f"{printable(line)}\n")


def _report(gate: "Gate", as_json: bool) -> str:
    """Counts and reasons, a line."""
    from edge.gate.decision import Why

    rejects = {why.value: count for why, count in gate.counts.most_common() if why is not Why.CLEAR}
    counts = {"passed": gate.counts[Why.CLEAR], "rejected": sum(rejects.values())}
    if as_json:
        more = {"repeated": gate.repeated, "foreign": gate.foreign, "alarms": gate.alarms, "fault": gate.fault}
        return json.dumps({**counts, "reasons": rejects, **more}) + "\n"
    reasons = ", ".join(f"{count} {why}" for why, count in rejects.items())
    said = f"decided: {counts['passed']} passed, {counts['rejected']} rejected"
    return said + (f" ({reasons})" if reasons else "") + "\n"


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
