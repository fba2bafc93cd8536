"""edge-run: run one line, from a source to verdicts on a socket."""

import contextlib
import json
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge.cli import run_app
from edge.cli.size import parse_size

if TYPE_CHECKING:
    from edge.station.supervisor import Station
    from edge.verdict import State

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    source: Annotated[
        str | None, typer.Option(help="demo, camera0, /dev/v4l/by-id/…, a video file or a folder of pictures.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle to run, or the name of a shipped one; without it the demonstration.")
    ] = None,
    station: Annotated[str, typer.Option(help="Name of the station, part of every topic.")] = "line1",
    bind: Annotated[str, typer.Option(help="Endpoint for verdicts.")] = "tcp://127.0.0.1:5570",
    control: Annotated[
        str | None, typer.Option(help="Endpoint for what controllers ask; the port after that for verdicts.")
    ] = None,
    viewers: Annotated[
        str | None, typer.Option(help="Endpoint where viewers hear the same; the second port after that for verdicts.")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Controller, may be repeated: suspended while it is silent for 500 ms."),
    ] = None,
    trigger: Annotated[
        Literal["free", "external"],
        typer.Option(help="A part for each frame, or for each trigger message on the control socket."),
    ] = "free",
    backend: Annotated[
        str, typer.Option(help="Artifact of the bundle to run; auto: the fastest here, measured once.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads of an inference; all cores if not given.", min=1, max=256)
    ] = None,
    policy: Annotated[
        Literal["every", "latest"] | None,
        typer.Option(help="Every frame in order, or the latest one. Cameras: latest; all else: every."),
    ] = None,
    budget_ms: Annotated[
        float, typer.Option(help="Longest time from capture to verdict, ms.", min=1, max=600_000)
    ] = 500.0,
    limit: Annotated[int | None, typer.Option(help="Stop after so many pictures of the source.", min=1)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Pictures a second of a source that can be paced.", min=0.01)
    ] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT of a source that can choose, as 1280x720.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a folder or video again at its end.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the demo line.", min=0)] = 0,
    wait_subscribers: Annotated[
        int, typer.Option(help="Hold the source until so many subscriptions to verdicts are there.", min=0)
    ] = 0,
    list_sources: Annotated[bool, typer.Option("--list-sources", help="List the sources of this machine.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow an endpoint that the network can reach, unencrypted.")
    ] = False,
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Public key, may be repeated: run only a bundle that one of these signed."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of edge-keys: encrypt, and let in only the clients it names."),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Journal and images; in ~/.local/state/edge-inspect if not given."),
    ] = None,
    no_records: Annotated[bool, typer.Option("--no-records", help="Keep no journal and no images.")] = False,
    keep_goods: Annotated[
        int, typer.Option(help="Keep the image of one good in so many, of none if 0. Rejects and unknowns: all.", min=0)
    ] = 100,
    keep_gib: Annotated[
        float, typer.Option(help="Room for images, GiB; the oldest goods go first, rejects last.", min=0.001)
    ] = 50.0,
    keep_days: Annotated[float | None, typer.Option(help="Days that images are kept; for ever.", min=0.01)] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT", help="Serve a page for Prometheus; the host is loopback.")
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="Break the demo line, one thing after another, and show what the gate saw.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Inspect every part a source shows and publish one verdict for each.

    Ends when the source ends, or in order on Ctrl-C and SIGTERM. Exit code 2 if something must be put right first.
    """
    if list_sources:
        _print_sources(as_json)
        return
    if drill:
        _drill(bundle, as_json)
        return
    from edge.cli.summary import describe, summary
    from edge.errors import SourceError
    from edge.shipped import DEMO, found_bundle, shipped_bundle
    from edge.station.config import StationConfig, default_records
    from edge.station.signals import ENDING_SIGNALS
    from edge.station.supervisor import Station

    if source is None:
        raise SourceError("no source given; say --source camera0, or --source demo for the built-in line")
    config = StationConfig(
        bundle=found_bundle(bundle) if bundle else shipped_bundle(DEMO),
        source=source,
        station=station,
        bind=bind,
        control=control,
        viewers=viewers,
        required=tuple(require or ()),
        trigger=trigger,
        backend=backend,
        threads=threads,
        policy=policy,
        budget_ms=budget_ms,
        wait_subscribers=wait_subscribers,
        limit=limit,
        rate=rate,
        size=None if size is None else parse_size(size),
        loop=loop,
        seed=seed,
        simulated=bundle is None,
        trust=tuple(trust or ()),
        keys=keys,
        records=None if no_records else records or default_records(station),
        keep_goods=keep_goods,
        keep_bytes=int(keep_gib * 2**30),
        keep_days=keep_days,
        metrics=metrics,
    )
    if insecure:
        _say(f"WARNING: --insecure: anyone who reaches {bind} reads the verdicts and can pretend to be this station")
    progress = Progress(shows_demo_bundle=bundle is None)
    line = Station(config, progress.show, insecure, progress.say)
    for number in ENDING_SIGNALS:  # while it runs the station takes them; after that there is nothing left to end
        signal.signal(number, signal.SIG_IGN)
    try:
        line.run()
    finally:
        progress.close()
    if as_json:
        print(json.dumps(line.result() | summary(line.books)))
    else:
        for text in describe(line.books):
            _say(f"{station}: {text}")


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
    from rich.console import Console
    from rich.table import Table

    from edge.drill import drill
    from edge.shipped import DEMO, found_bundle, shipped_bundle

    path = found_bundle(bundle) if bundle else shipped_bundle(DEMO)
    with Console(stderr=True).status("drill") as status:
        outcomes, problems = drill.drill(path, lambda what: status.update(f"drill: {what}"))
    if as_json:
        print(json.dumps(drill.as_json(outcomes, problems)))
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
    sys.exit(0 if drill.has_passed(outcomes, problems) else 1)


def _ms(value: float | None) -> str:
    return "NEVER" if value is None else f"{value:.0f}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Says on standard error what state the station is in, and on a terminal how far it is.

    A thread of its own writes, and what it cannot write in time is dropped: a terminal that nobody reads, or that is
    gone, never holds up a verdict.
    """

    def __init__(self, shows_demo_bundle: bool) -> None:
        """Nothing is shown before the station is ready, so that a failure to start is one line."""
        self._shows_demo_bundle = shows_demo_bundle
        self._last: tuple[State, str | None] | None = None
        self._is_terminal = sys.stderr.isatty()
        self._width = 0
        self._texts: queue.Queue[str | None] = queue.Queue(maxsize=100)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def show(self, station: "Station") -> None:
        """Called at each heartbeat, ten times a second; never waits."""
        if station.ready_after_s is None:
            return
        text = ""
        current = (station.state, station.cause)
        if current != self._last:
            if self._last is None and self._shows_demo_bundle:
                text += "WARNING: no --bundle given: the DEMONSTRATION bundle runs, every verdict is marked simulated\n"
            self._last = current
            cause = f": {station.cause}" if station.cause else ""
            text += f"{station.config.station}: {station.state}{cause}\n"
        if self._is_terminal:
            text = self._erased() + text + self._counts(station)
        if text:
            with contextlib.suppress(queue.Full):
                self._texts.put_nowait(text)

    def say(self, line: str) -> None:
        """A line for the log; never waits."""
        with contextlib.suppress(queue.Full):
            self._texts.put_nowait(f"{self._erased()}{line}\n")

    def _counts(self, station: "Station") -> str:
        ledger, opened = station.books.ledger(), station.intake.opened
        of = f" of {opened.length}" if opened and opened.length else ""
        line = f"{ledger.accepted}{of}: {ledger.good} good, {ledger.reject} reject, {ledger.unknown} unknown"
        self._width = len(line)
        return line

    def _erased(self) -> str:
        return "\r" + " " * self._width + "\r" if self._width else ""

    def _write(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # standard error is gone: nobody listens any more
            while (text := self._texts.get()) is not None:
                sys.stderr.write(text)
                sys.stderr.flush()

    def close(self) -> None:
        """Write what is left, for a fifth of a second at the most."""
        with contextlib.suppress(queue.Full):
            self._texts.put_nowait(self._erased())
            self._texts.put_nowait(None)
        self._writer.join(0.2)


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
