"""edge-run: run one line, from a source to verdicts on a socket."""

import json
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app, run_app
from edge.errors import ConfigError
from edge.station.config.layout import Layout, layout, layout_as_toml
from edge.station.config.settings import Settings, about, parse_camera, parse_region, source_request, to_config
from edge.terminal.output import Display
from edge.text import printable

if TYPE_CHECKING:
    from edge.drill.siege import Siege
    from edge.station.config.resolved import StationConfig
    from edge.station.supervisor import Station
    from edge.verdict import State

SIEGE_S = 6.0
"""Of each attack in the drill."""

app = new_app()


def _about(key: str) -> str:
    """Help of a flag: that of the configuration's key, with its default."""
    default = Settings.model_fields[key].default
    said = about(key)
    return said if default in (None, False, ()) else f"{said} [default: {default}]"


@app.command()
def run(
    source: Annotated[str | None, typer.Option(help=_about("source"))] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration in TOML; flags override it.")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help=_about("bundle"))] = None,
    station: Annotated[str | None, typer.Option(help=_about("station"))] = None,
    bind: Annotated[str | None, typer.Option(help=_about("bind"))] = None,
    control: Annotated[str | None, typer.Option(help=_about("control"))] = None,
    viewers: Annotated[str | None, typer.Option(help=_about("viewers"))] = None,
    keys: Annotated[Path | None, typer.Option(metavar="DIR", help=_about("keys"))] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help=_about("insecure"))] = False,
    require: Annotated[list[str] | None, typer.Option(metavar="NAME", help=_about("require"))] = None,
    trigger: Annotated[str | None, typer.Option(metavar="free|external|presence", help=_about("trigger"))] = None,
    policy: Annotated[str | None, typer.Option(metavar="every|latest", help=_about("policy"))] = None,
    budget_ms: Annotated[float | None, typer.Option(help=_about("budget_ms"))] = None,
    stale_ms: Annotated[float | None, typer.Option(help=_about("stale_ms"))] = None,
    envelope: Annotated[Path | None, typer.Option(metavar="FILE", help=_about("envelope"))] = None,
    region: Annotated[list[str] | None, typer.Option(metavar="LEFT,TOP,WIDTHxHEIGHT", help=_about("regions"))] = None,
    camera: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=_about("camera"))] = None,
    resume_frames: Annotated[int | None, typer.Option(help=_about("resume_frames"))] = None,
    backend: Annotated[str | None, typer.Option(help=_about("backend"))] = None,
    threads: Annotated[int | None, typer.Option(help=_about("threads"))] = None,
    spinning: Annotated[bool, typer.Option("--spinning", help=_about("spinning"))] = False,
    keep_warm: Annotated[bool, typer.Option("--keep-warm", help=_about("keep_warm"))] = False,
    streams: Annotated[int | None, typer.Option(help=_about("streams"))] = None,
    size: Annotated[str | None, typer.Option(help=_about("size"))] = None,
    bits: Annotated[int | None, typer.Option(metavar="10|12|14|16", help=_about("bits"))] = None,
    rate: Annotated[str | None, typer.Option(metavar="RATE|file", help=_about("rate"))] = None,
    limit: Annotated[int | None, typer.Option(help=_about("limit"))] = None,
    loop: Annotated[bool, typer.Option("--loop", help=_about("loop"))] = False,
    watch: Annotated[bool, typer.Option("--watch", help=_about("watch"))] = False,
    seed: Annotated[int | None, typer.Option(help=_about("seed"))] = None,
    wait_subscribers: Annotated[int | None, typer.Option(help=_about("wait_subscribers"))] = None,
    trust: Annotated[list[Path] | None, typer.Option(metavar="FILE", help=_about("trust"))] = None,
    records: Annotated[Path | None, typer.Option(metavar="DIR", help=_about("records"))] = None,
    no_records: Annotated[bool, typer.Option("--no-records", help="keep no journal and no images")] = False,
    keep_goods: Annotated[int | None, typer.Option(help=_about("keep_goods"))] = None,
    keep_gib: Annotated[float | None, typer.Option(help=_about("keep_gib"))] = None,
    keep_days: Annotated[float | None, typer.Option(help=_about("keep_days"))] = None,
    metrics: Annotated[str | None, typer.Option(metavar="[HOST:]PORT", help=_about("metrics"))] = None,
    no_tuned: Annotated[bool, typer.Option("--no-tuned", help="ignore what edge-bench tune found")] = False,
    list_sources: Annotated[bool, typer.Option("--list-sources", help="list the sources of this machine")] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="print the configuration, and where each value came from")
    ] = False,
    commission: Annotated[
        int | None, typer.Option(metavar="N", help="learn brightness and sharpness from N frames", min=2)
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="break the demo line, one thing after another, and show what the gate saw")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON on standard output")] = False,
) -> None:
    """Inspect every part a source shows and publish one verdict for each.

    Ends when the source ends, or in order on Ctrl-C and SIGTERM. Exit code 1 if a stored source came to its end and
    some of its frames are corrupt: damaged, missing, or not as they must be; 2 if something must be put right first.

    A configuration with several [[stations]] tables runs them all in one process, on one loaded model; --station takes
    one of them.
    """
    if no_records and (records, keep_goods, keep_gib, keep_days) != (None,) * 4:
        raise ConfigError(
            "--no-records keeps nothing, so --records and --keep-… make no sense beside it; leave one out"
        )
    flags = {
        "source": source, "bundle": bundle, "station": station, "bind": bind, "control": control, "viewers": viewers,
        "keys": keys, "insecure": insecure or None, "require": require or None, "trigger": trigger, "policy": policy,
        "budget_ms": budget_ms, "stale_ms": stale_ms, "envelope": envelope,
        "regions": [parse_region(text) for text in region or ()] or None, "backend": backend, "threads": threads,
        "spinning": spinning or None, "keep_warm": keep_warm or None, "tuned": False if no_tuned else None,
        "streams": streams, "size": size, "bits": bits, "rate": rate, "limit": limit,
        "loop": loop or None, "watch": watch or None,
        "seed": seed, "wait_subscribers": wait_subscribers, "trust": trust or None,
        "records": False if no_records else records, "keep_goods": keep_goods,
        "keep_gib": keep_gib, "keep_days": keep_days, "metrics": metrics,
        "camera": parse_camera(camera) if camera else None, "resume_frames": resume_frames,
    }  # fmt: skip
    if list_sources:
        _print_sources(as_json)
    elif drill:
        _drill(bundle, as_json)
    elif print_config:
        said, lines = _with_tuned(layout(config, flags))
        print("".join(f"# {line}\n" for line in lines) + layout_as_toml(said), end="")
    elif commission is not None:
        _commission(_one(layout(config, flags)), commission, config)
    else:
        _serve(*_with_tuned(layout(config, flags)), as_json)


def _with_tuned(said: Layout) -> tuple[Layout, list[str]]:
    """What was tuned for each station's bundle, where nobody said anything, and lines about it."""
    from edge.bundle.shipped import DEMO, found_bundle, shipped_bundle
    from edge.station.config.tuned import with_tuned

    stations, lines = [], []
    for one in said.stations:
        bundle, name = one.settings.bundle, one.settings.station
        station, remarks = with_tuned(one, found_bundle(bundle) if bundle else shipped_bundle(DEMO))
        stations.append(station)
        lines += [f"{name}: {remark}" for remark in remarks]
    return Layout(said.common if said.has_tables else stations[0], tuple(stations), said.has_tables), lines


def _serve(layout: Layout, remarks: list[str], as_json: bool) -> None:
    """Run the stations to their end; `remarks` are said as they start."""
    from edge.cli.summary import describe, summary
    from edge.station.cell import Cell
    from edge.station.signals import ENDING_SIGNALS

    all_settings = [station.settings for station in layout.stations]
    configs = [_config(settings) for settings in all_settings]
    insecure = frozenset(settings.station for settings in all_settings if settings.insecure)
    for remark in remarks:
        _say(remark)
    progress = Progress(shows_demo_bundle=any(settings.bundle is None for settings in all_settings))
    cell = Cell(configs, progress.show, insecure, progress.say)
    for number in ENDING_SIGNALS:  # while it runs the stations take them; after that there is nothing left to end
        signal.signal(number, signal.SIG_IGN)
    try:
        cell.run()
    finally:
        progress.close()
    if as_json:
        results = [station.result() | summary(station.books) for station in cell.stations]
        print(json.dumps({"stations": results} if layout.has_tables else results[0]))
    else:
        for station in cell.stations:
            for text in describe(station.books):
                _say(f"{station.config.station}: {text}")
    incomplete = [line for station in cell.stations if (line := _not_judged(station)) is not None]
    for line in incomplete:
        _say(line)
    for name, error in cell.failures.items():
        raise type(error)(f"{name}: {error}")
    if incomplete:
        sys.exit(1)


def _not_judged(station: "Station") -> str | None:
    """What is to be said of a stored source that came to its end with frames that are no pictures of parts."""
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
    """One station, checked as far as that goes before it is made."""
    from edge.bundle.shipped import DEMO, found_bundle, shipped_bundle
    from edge.channel.control_messages import check_name
    from edge.errors import SourceError

    if settings.source is None:
        raise SourceError("no source given; say --source camera0, or --source demo for the built-in line")
    for name in settings.require:
        check_name(name)  # one that nobody can have would be waited for for ever
    is_demo = settings.bundle is None
    path = found_bundle(settings.bundle) if settings.bundle else shipped_bundle(DEMO)
    if settings.insecure:
        _say(
            f"WARNING: --insecure: anyone who reaches {settings.bind} reads the verdicts and can pretend to be this "
            "station"
        )
    return to_config(settings, path, is_demo)


def _one(layout: Layout) -> Settings:
    """The settings of the one station that is meant. Raises ConfigError if there are several."""
    if len(layout.stations) > 1:
        names = ", ".join(station.settings.station for station in layout.stations)
        raise ConfigError(f"--commission is for one station at a time; say --station NAME, one of {names}")
    return layout.stations[0].settings


def _commission(settings: Settings, frames: int, config: Path | None) -> None:
    """Learn from so many frames of the source what they look like, and write it where the station reads it."""
    from rich.progress import track

    from edge.errors import SourceError
    from edge.pictures.blank import sample
    from edge.sources import open_source
    from edge.station.capture.frame_checks import Envelope
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
                seen.append(sample(capture.frame))
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
    from edge.sources import list_sources

    rows = list_sources()
    if as_json:
        print(json.dumps([{"source": name, "description": about} for name, about in rows]))
        return
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}}  {about}" for name, about in rows))


def _drill(bundle: Path | None, as_json: bool) -> None:
    """Run the drill, show its table; exit code 1 if something escaped, was not noticed, or did not come back."""
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
    """How the line stood against attackers, a row for each of their floods."""
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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Says on standard error what state the station is in, and on a terminal how far it is.

    It never waits: a terminal that nobody reads, or that is gone, holds up no verdict.
    """

    def __init__(self, shows_demo_bundle: bool) -> None:
        """Nothing is shown before the station is ready, so that a failure to start is one line."""
        self._shows_demo_bundle = shows_demo_bundle
        self._last: dict[str, tuple[State, str | None]] = {}  # by station, as all that follows
        self._alarms: dict[str, tuple[str, ...]] = {}
        self._counts: dict[str, str] = {}
        self._is_terminal = sys.stderr.isatty()
        self._width = 0
        self._display = Display(2, most_waiting=100)

    def show(self, station: "Station") -> None:
        """Called at each heartbeat, ten times a second; never waits."""
        if station.ready_after_s is None:
            return
        text, name = "", station.config.station
        current = (station.state, station.cause)
        if current != self._last.get(name):
            if not self._last and self._shows_demo_bundle:
                text += "WARNING: no --bundle given: the DEMONSTRATION bundle runs, every verdict is marked simulated\n"
            self._last[name] = current
            cause = f": {printable(station.cause)}" if station.cause else ""
            text += f"{name}: {station.state}{cause}\n"
        alarms = station.records.alarms if station.records else ()
        text += "".join(f"{name}: ALARM: {printable(alarm)}\n" for alarm in _news(alarms, self._alarms.get(name, ())))
        self._alarms[name] = alarms
        if self._is_terminal:
            text = self._erased() + text + self._counted(station)
        if text:
            self._display.show(text)

    def say(self, line: str) -> None:
        """A line for the log; never waits."""
        self._display.show(f"{self._erased()}{printable(line)}\n")

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

    def close(self) -> None:
        """Write what is left, for a fifth of a second at the most."""
        self._display.show(self._erased())
        self._display.close(0.2)


def _news(alarms: tuple[str, ...], before: tuple[str, ...]) -> list[str]:
    """The alarms that were not there before; another number in one is no news."""
    known = {re.sub(r"\d+", "#", alarm) for alarm in before}
    return [alarm for alarm in alarms if re.sub(r"\d+", "#", alarm) not in known]


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
