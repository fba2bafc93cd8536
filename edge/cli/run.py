"""edge-run: runs a line, from a source to verdicts on a socket."""

import json
import logging
import re
import shutil
import signal
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from edge.cli import new_app, run_app
from edge.cli.log_options import with_log_options
from edge.cli.station_flags import keys_of, with_station_flags
from edge.errors import ConfigError
from edge.station.config.conversion import bundle_of, is_demo, source_request, to_config
from edge.station.config.layout import Layout, layout, layout_as_toml
from edge.station.config.settings import Settings
from edge.station.config.toml_writing import as_line
from edge.terminal.logs import LogFormat, chosen_logging, lines_through
from edge.terminal.output import Display
from edge.text import counted, printable

if TYPE_CHECKING:
    from edge.drill.siege import Siege
    from edge.station.config.resolved import StationConfig
    from edge.station.supervisor import Station
    from edge.verdict import State

log = logging.getLogger("edge.station")

STANDING_STILL = ("held", "suspended")
"""States of a station that judges no parts because of a problem."""

other_option = partial(typer.Option, rich_help_panel="Instead of running a line")

SIEGE_S = 6.0
"""Duration of each attack in the drill."""

app = new_app()


@app.command()
@with_log_options
@with_station_flags
def run(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Configuration in TOML; flags override it. --print-config writes one.",
            rich_help_panel="Source",
        ),
    ] = None,
    list_sources: Annotated[
        bool, other_option("--list-sources", help="List the kinds of sources and the devices.")
    ] = False,
    print_config: Annotated[
        bool,
        other_option(
            "--print-config",
            help="Print the configuration as TOML, with the origin of each value.",
        ),
    ] = False,
    commission: Annotated[
        int | None,
        other_option(
            metavar="N",
            help="Measure brightness and sharpness over N good frames and write the file for --envelope.",
            min=2,
        ),
    ] = None,
    drill: Annotated[
        bool,
        other_option(
            "--drill",
            help="Inject faults and attacks on the demonstration line and report what the gate did.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output.", rich_help_panel="Output")
    ] = False,
    **values: Any,
) -> None:
    """Judge each part that a source shows and publish one verdict for it.

    Runs until the source ends, Ctrl-C or SIGTERM. Exit code 1: a stored source ended, and some of its frames could not
    be judged. Exit code 2: the line could not start; one line says why.

    Each option is also a key of the file of --config: budget_ms for --budget-ms. Several stations in one process share
    one loaded model; each has a [[stations]] table in the file, and --station NAME runs only that one.
    """
    kept = ("records", "keep_goods", "keep_gib", "keep_days", "keep_journal_gib", "keep_verdicts_days")
    if values["no_records"] and any(values[key] is not None for key in kept):
        raise ConfigError(
            "--no-records keeps nothing, and --records and --keep-… say where and what to keep; leave one out"
        )
    flags = keys_of(values)
    if list_sources:
        _print_sources(as_json)
    elif drill:
        _drill(flags.get("bundle"), as_json)
    elif print_config:
        said, lines = _with_tuned(layout(config, flags))
        print("".join(f"# {line}\n" for line in lines) + layout_as_toml(said), end="")
    elif commission is not None:
        _commission(_one(layout(config, flags)), commission, config)
    else:
        _serve(*_with_tuned(layout(config, flags)), as_json)


def _with_tuned(said: Layout) -> tuple[Layout, list[str]]:
    """The layout with the tuned settings of each station's bundle where no setting was given, and lines about them."""
    from edge.station.config.tuned import with_tuned

    stations, lines = [], []
    for one in said.stations:
        name = one.settings.station
        station, remarks = with_tuned(one, bundle_of(one.settings))
        stations.append(station)
        lines += [f"{name}: {remark}" for remark in remarks]
    return Layout(said.common if said.has_tables else stations[0], tuple(stations), said.has_tables), lines


def _serve(layout: Layout, remarks: list[str], as_json: bool) -> None:
    """Run the stations until all have ended. `remarks` are logged at the start."""
    from edge.cli.summary import describe, summary
    from edge.station.cell import Cell
    from edge.station.signals import ENDING_SIGNALS

    all_settings = [station.settings for station in layout.stations]
    configs = [_config(settings) for settings in all_settings]
    insecure = frozenset(settings.station for settings in all_settings if settings.insecure)
    for one in layout.stations:
        name = one.settings.station
        for key in (key for key, origin in one.origins.items() if origin != "default"):
            log.debug("%s: %s", name, as_line(one, key), extra={"station": name})
    for remark in remarks:
        log.info("%s", remark)
    with Progress(shows_demo_bundle=any(map(is_demo, all_settings))) as progress:
        cell = Cell(configs, progress.show, insecure)
        for number in ENDING_SIGNALS:  # the cell handles them while it runs; afterwards they are ignored
            signal.signal(number, signal.SIG_IGN)
        cell.run()
    if as_json:
        results = [station.status.result() | summary(station.books) for station in cell.stations]
        print(json.dumps({"stations": results} if layout.has_tables else results[0]))
    else:
        for station in cell.stations:
            name, skipped = station.config.station, station.status.images_skipped
            for text in describe(station.books, station.codes.counts if station.codes else None):
                log.info("%s: %s", name, text, extra={"station": name})
            if skipped:
                log.warning("%s: %s not kept", name, counted(skipped, "image"), extra={"station": name})
    incomplete = [line for station in cell.stations if (line := _not_judged(station)) is not None]
    for line in incomplete:
        log.warning("%s", line)
    for name, error in cell.failures.items():
        raise type(error)(f"{name}: {error}")
    if incomplete:
        sys.exit(1)


def _not_judged(station: "Station") -> str | None:
    """A message about the corrupt frames of a stored source that has ended; None if there are none."""
    from edge.verdict import Reason

    opened, count = station.intake.opened, station.books.reasons[Reason.CORRUPT]
    if opened is None or opened.device or not station.intake.has_ended or not count:
        return None
    named = "; ".join(station.books.corrupt) + ("; …" if count > len(station.books.corrupt) else "")
    return (
        f"{station.config.station}: {count} of {station.books.accepted} frames of {opened.name} could not be judged: "
        f"{printable(named)}"
    )


def _config(settings: Settings) -> "StationConfig":
    """The configuration of one station, checked as far as possible before the station is created."""
    from edge.channel.control_messages import check_name
    from edge.errors import SourceError

    if settings.source is None:
        raise SourceError("no source given; say --source camera0, or --source demo for the built-in line")
    for name in settings.require:
        check_name(name)  # the station would wait for ever for a name that no controller can have
    path = bundle_of(settings)
    if settings.insecure:
        log.warning(
            "WARNING: --insecure: anyone who reaches %s reads the verdicts and can pretend to be this station",
            settings.bind,
            extra={"station": settings.station},
        )
    return to_config(settings, path, is_demo(settings))


def _one(layout: Layout) -> Settings:
    """The settings of the only station. Raises ConfigError if there are several."""
    if len(layout.stations) > 1:
        names = ", ".join(station.settings.station for station in layout.stations)
        raise ConfigError(f"--commission is for one station at a time; say --station NAME, one of {names}")
    return layout.stations[0].settings


def _commission(settings: Settings, frames: int, config: Path | None) -> None:
    """Measure brightness and sharpness of `frames` frames of the source, and write the envelope for the station."""
    from rich.progress import track

    from edge.errors import SourceError
    from edge.pictures.blank import sample, sampled_rows
    from edge.sources import open_source
    from edge.station.capture.envelope import Envelope
    from edge.terminal.console import Console

    if settings.source is None:
        raise SourceError("no source given; say --source camera0")
    path = settings.envelope or (config or Path(settings.station)).with_suffix(".envelope.json")
    source = open_source(source_request(settings, limit=frames))
    console, seen = Console(stderr=True), []
    try:
        captures = source.captures()
        for capture in track(
            captures, "looking", frames, transient=True, console=console, disable=not console.is_terminal
        ):
            if capture is not None and capture.frame is not None:
                seen.append(sample(sampled_rows(capture.frame)))
    finally:
        source.close()
    if len(seen) < frames:
        raise SourceError(
            f"{settings.source} gave {len(seen)} sound frames of {frames}; give it more, or ask for fewer"
        )
    envelope = Envelope.learn(seen)
    envelope.write(path)
    for name in ("brightness", "sharpness"):
        low, high = getattr(envelope, name)
        print(f"{name} {low:.1f} to {high:.1f}")
    print(f"written: {path}; the station reads it with --envelope, or where its configuration names it")


def _print_sources(as_json: bool) -> None:
    """Print each kind of source: its syntax, a description, the devices found, and what its use still requires."""
    from edge.sources import list_sources

    kinds = list_sources()
    if as_json:
        here = [[{"source": name, "description": about} for name, about in one.here] for one in kinds]
        rows = [asdict(one) | {"here": found} for one, found in zip(kinds, here, strict=True)]
        print(json.dumps(rows))
        return
    for one in kinds:
        print(f"{', '.join(one.written)}\n    {one.about}")
        for name, about in one.here:
            print(f"    here: {name}  {about}")
        if one.missing is not None:
            print(f"    missing: {one.missing}")


def _drill(bundle: Path | None, as_json: bool) -> None:
    """Run the drill and print its tables. The exit code is 1 if a part escaped, a fault was not detected, the line did
    not recover, or the line did not withstand an attack.
    """
    from rich.table import Table

    from edge.bundle.shipped import DEMO, found_bundle, shipped_bundle
    from edge.drill import drill, siege
    from edge.terminal.console import Console

    path = found_bundle(bundle) if bundle else shipped_bundle(DEMO)
    with Console(stderr=True).status("drill") as status:
        outcomes, problems = drill.drill(path, lambda what: status.update(f"drill: {what}"))
        tell = status.update
        with_keys = siege.siege(path, lambda what: tell(f"with keys: {what}"), SIEGE_S)
        without = siege.siege(path, lambda what: tell(f"without keys: {what}"), SIEGE_S, keyed=False)
    sieges = {"with keys": with_keys, "without keys": without}
    if as_json:
        told = {name: siege.as_json(found) for name, found in sieges.items()}
        print(json.dumps(drill.as_json(outcomes, problems) | {"sieges": told}))
    else:
        table = Table(title="fault drill on the demo line", caption="times in ms")
        columns = "fault", "escapes", "passed", "rejected", "unknown", "past budget", "lost", "noticed", "recovered"
        for name in columns:
            table.add_column(name, justify="left" if name == "fault" else "right")
        for o in outcomes:
            noticed = "not felt" if not o.is_felt else _ms(o.noticed_ms)
            past = "" if o.past_budget_ms is None else f"{max(0.0, o.past_budget_ms):.0f}"
            counts = (o.escapes, o.passed, o.rejected, o.unknown, past, o.lost)
            table.add_row(o.fault, *map(str, counts), noticed, _ms(o.recovered_ms))
        console = Console()
        console.print(table) if console.is_terminal else Console(width=120).print(table)
        for text in problems:
            print(text)
        for name, found in sieges.items():
            _show_siege(name, found)
    sys.exit(0 if drill.has_passed(outcomes, problems) and all(one.has_held for one in sieges.values()) else 1)


def _show_siege(name: str, found: "Siege") -> None:
    """Print the results of the attacks on the line, a row for each flood."""
    from rich.table import Table

    from edge.terminal.console import Console

    table = Table(title=f"attackers against a station {name}", caption="600 parts a minute; times in ms, memory in MB")
    columns = "attacker", "flood", "verdicts", "late", "p50", "p99", "memory", "peers joined", "slowest", "turned away"
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right")
    for s in found.stands:
        counts = str(s.joined), f"{s.joined_ms:.0f}", str(s.turned_away)
        took = f"{s.p50_ms:.1f}", f"{s.p99_ms:.1f}", f"{s.memory / 1e6:.0f}"
        table.add_row(s.who, s.flood, str(s.verdicts), str(s.late), *took, *counts)
    console = Console()
    console.print(table) if console.is_terminal else Console(width=120).print(table)
    for text in found.problems:
        print(text)
    if not found.has_held:
        print(
            f"{name}: a part escaped or was lost, an honest peer was not served, or memory grew beyond twice its rest"
        )


def _ms(value: float | None) -> str:
    return "NEVER" if value is None else f"{value:.0f}"


class Progress:
    """Logs each station's changes of state and its alarms, and shows its counts on a terminal.

    While the context is open, all log lines pass through this object. No method waits: a terminal that is not read, or
    that was closed, delays no verdict.
    """

    def __init__(self, shows_demo_bundle: bool) -> None:
        """Nothing is shown before the station is ready, so that a failed start prints one line."""
        self._shows_demo_bundle = shows_demo_bundle
        self._last: dict[str, tuple[State, str | None]] = {}  # by station, like the next two
        self._alarms: dict[str, tuple[str, ...]] = {}
        self._counts: dict[str, str] = {}
        chosen = chosen_logging()
        self._shows_counts = sys.stderr.isatty() and (chosen is None or chosen.format is LogFormat.TEXT)
        self._width = 0
        self._display = Display(2, most_waiting=100)
        self._lines = lines_through(self._write)

    def __enter__(self) -> Self:
        self._lines.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Write the remaining output, for at most 0.2 s."""
        self._lines.__exit__(None, None, None)
        self._display.show(self._erased())
        self._display.close(0.2)

    def show(self, station: "Station") -> None:
        """Show the station's status; called at each heartbeat, ten times a second. Never waits."""
        name, status = station.config.station, station.status
        if status.ready_after_s is None and status.state != "suspended":
            return
        current = (status.state, status.cause)
        if current != self._last.get(name):
            if not self._last and self._shows_demo_bundle:
                log.warning(
                    "WARNING: no --bundle given: the DEMONSTRATION bundle runs, every verdict is marked simulated"
                )
            self._last[name] = current
            level = logging.WARNING if status.state in STANDING_STILL else logging.INFO
            cause = f": {status.cause}" if status.cause else ""
            log.log(level, "%s: %s%s", name, status.state, cause, extra={"station": name})
        alarms = station.alarms
        for alarm in _news(alarms, self._alarms.get(name, ())):
            log.warning("%s: ALARM: %s", name, alarm, extra={"station": name})
        self._alarms[name] = alarms
        if self._shows_counts:
            self._display.show(self._erased() + self._counted(station))

    def _write(self, text: str) -> None:
        """Write a log line in place of the counts."""
        self._display.show(self._erased() + text)
        self._width = 0

    def _counted(self, station: "Station") -> str:
        ledger, opened = station.books.ledger(), station.intake.opened
        of = f" of {opened.length}" if opened and opened.length else ""
        counts = f"{ledger.accepted}{of}: {ledger.good} good, {ledger.reject} reject, {ledger.unknown} unknown"
        self._counts[station.config.station] = counts
        line = counts
        if len(self._counts) > 1:
            line = " | ".join(f"{name} {counts}" for name, counts in self._counts.items())
            line = line[: shutil.get_terminal_size().columns - 1]
        self._width = len(line)
        return line

    def _erased(self) -> str:
        return "\r" + " " * self._width + "\r" if self._width else ""


def _news(alarms: tuple[str, ...], before: tuple[str, ...]) -> list[str]:
    """The alarms that are not among the earlier ones; alarms that differ only in numbers count as the same."""
    known = {re.sub(r"\d+", "#", alarm) for alarm in before}
    return [alarm for alarm in alarms if re.sub(r"\d+", "#", alarm) not in known]


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
