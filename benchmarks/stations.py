"""`python -m benchmarks.stations [BUNDLE]`: several stations on one loaded model against as many `edge-run` processes.

Each station judges frames back to back and has its own subscriber. Both ways are measured in turns, in one run. Only
the time in which every station is at work counts.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from benchmarks.station import Listener, Station
from edge.channel.endpoints import free_endpoint, further
from edge.channel.subscriber import Received
from edge.cli import run_app
from edge.errors import EdgeError
from edge.station.part_counts import percentile
from edge.station.process.usage import cpu_s, resident_mib
from edge.verdict import Verdict

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Way = Literal["shared", "separate"]
WAYS: tuple[Way, ...] = get_args(Way)

STARTING_S = 120.0
MOST_UNFAIR = 1.5
"""Largest ratio of two stations' p99 that counts as fair."""


@dataclass(frozen=True)
class Run:
    """One way with one number of stations.

    Frames a second are those of all stations together. Latencies are in milliseconds by station: from acceptance to
    decoding here, and from one verdict to the next. Memory counts shared pages once.
    """

    way: Way
    stations: int
    frames_per_s: float
    verdicts: list[int]
    p50_ms: list[float]
    p99_ms: list[float]
    cycle_p99_ms: list[float]
    unknown: int
    missed: int
    cpu_ms_a_frame: float
    memory_mib: float
    model_memory_mib: float
    processes: int

    @property
    def unfairness(self) -> float:
        """Ratio of the slowest station's p99 to the fastest station's."""
        return max(self.p99_ms) / min(self.p99_ms)


@app.command()
def stations(
    bundle: Annotated[Path, typer.Argument(help="Bundle to run, or the name of a shipped one.")] = Path("demo"),
    number: Annotated[list[int] | None, typer.Option("--stations", min=1, help="How many; may be repeated.")] = None,
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT.")] = "1280x720",
    backend: Annotated[str, typer.Option(help="Artifact to run.")] = "openvino",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of an inference; else one for each core.")] = None,
    streams: Annotated[int, typer.Option(min=1, help="Frames inferred at once where a model is shared.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Length of a measurement.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often both ways are measured.")] = 2,
    way: Annotated[list[str] | None, typer.Option(metavar="shared|separate", help="Only this way.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything there.")] = None,
) -> None:
    """Measure throughput, fairness and memory of 1, 2, 4 and 8 stations, both ways."""
    from rich.progress import Progress

    from edge.bench import machine
    from edge.bundle.shipped import found_bundle
    from edge.terminal.console import Console

    counts = number or [1, 2, 4, 8]
    if unknown := [one for one in way or () if one not in WAYS]:
        raise EdgeError(f"way {unknown[0]!r}: give {' or '.join(WAYS)}")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise EdgeError(f"no such folder: {json_file.absolute().parent}")
    ways = [one for one in WAYS if way is None or one in way]
    settings: dict[str, str | int] = {"source": "replay", "bundle": str(found_bundle(bundle).resolve()), "size": size}
    settings |= {"backend": backend, "streams": streams}
    if threads is not None:
        settings["threads"] = threads
    about, runs = machine(), list[Run]()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=len(counts) * len(ways) * rounds)
        for one, count in in_turns(ways, counts, rounds):
            progress.update(task, description=f"{count} stations, {one}")
            runs.append(measure(one, count, settings, seconds))
            progress.advance(task)
    print_table(runs, f"{bundle.name}, {backend}, {size}, {about['cpu']}, {about['cores']} cores")
    if json_file is not None:
        said = {"machine": about, "settings": settings, "seconds": seconds, "runs": [asdict(run) for run in runs]}
        said |= {} if threads is None else {"threads": threads}
        json_file.write_text(json.dumps(said, indent=2) + "\n")


def in_turns(ways: Sequence[Way], counts: Sequence[int], rounds: int) -> list[tuple[Way, int]]:
    """The measurements in order.

    Every second round is reversed, so that a machine that becomes slower favours neither way and no number of stations.
    """
    there = [(way, count) for count in counts for way in ways]
    return [one for turn in range(rounds) for one in (reversed(there) if turn % 2 else there)]


def measure(way: Way, count: int, settings: dict[str, str | int], seconds: float) -> Run:
    """Run `count` stations for `seconds` after all of them have begun. Raises EdgeError if a station does not begin."""
    endpoint = free_endpoint(count)
    with ExitStack() as last:
        listeners = [last.enter_context(Listener(further(endpoint, i), f"station{i}")) for i in range(count)]
        stations = last.enter_context(running(way, count, settings, endpoint))
        until = time.monotonic() + STARTING_S
        while not all(listener.verdicts for listener in listeners):
            ended = [station for station in stations if station.process.poll() is not None]
            if ended or time.monotonic() > until:
                raise EdgeError(f"{count} stations, {way}: not all began; {(ended or stations)[0].last_words()}")
            time.sleep(0.05)
        time.sleep(1.0)
        roots = [station.process.pid for station in stations]
        begin_ns, begin_cpu_s = time.monotonic_ns(), sum(map(cpu_s, roots))
        time.sleep(seconds)
        end_ns, end_cpu_s = time.monotonic_ns(), sum(map(cpu_s, roots))
        pids = {pid: name for station in stations for pid, name in station.pids().items()}
        memory = sum(resident_mib(root) or 0.0 for root in roots)
        of_models = sum(resident_mib(pid) or 0.0 for pid, name in pids.items() if name.startswith("edge-inference"))
    heard = [[r for r in listener.verdicts if begin_ns <= r.at_ns < end_ns] for listener in listeners]
    total = sum(map(len, heard))
    if not all(len(one) > 1 for one in heard):
        raise EdgeError(f"{count} stations, {way}: one of them gave no two verdicts in {seconds:.0f} s; give it longer")
    verdicts = [r.message for one in heard for r in one if isinstance(r.message, Verdict)]
    return Run(
        way=way,
        stations=count,
        frames_per_s=total / ((end_ns - begin_ns) / 1e9),
        verdicts=[len(one) for one in heard],
        p50_ms=[_percentile([_age_ms(r) for r in one], 50) for one in heard],
        p99_ms=[_percentile([_age_ms(r) for r in one], 99) for one in heard],
        cycle_p99_ms=[_percentile([(b.at_ns - a.at_ns) / 1e6 for a, b in pairwise(one)], 99) for one in heard],
        unknown=sum(verdict.verdict == "unknown" for verdict in verdicts),
        missed=sum(listener.missed for listener in listeners),
        cpu_ms_a_frame=1000 * (end_cpu_s - begin_cpu_s) / total,
        memory_mib=memory,
        model_memory_mib=of_models,
        processes=len(pids),
    )


@contextmanager
def running(way: Way, count: int, settings: dict[str, str | int], endpoint: str) -> Iterator[list[Station]]:
    """The stations, in one `edge-run` or in one each; they are stopped at the end."""
    above = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    tables = [
        f'[[stations]]\nstation = "station{i}"\nbind = "{further(endpoint, i)}"\nseed = {i}\n' for i in range(count)
    ]
    files = ["".join(tables)] if way == "shared" else tables
    with tempfile.TemporaryDirectory() as folder, ExitStack() as last:
        started = []
        for i, file in enumerate(files):
            path = Path(folder) / f"{i}.toml"
            path.write_text(above + file)
            started.append(last.enter_context(Station(config=path, bind=None, station=None, budget_ms=60_000)))
        yield started
        for one in started:  # all at once
            one.process.terminate()


def _age_ms(received: Received) -> float:
    assert isinstance(received.message, Verdict)
    timing = received.message.timing
    return (received.at_ns - max(timing.captured, timing.in_ring or 0)) / 1e6


def _percentile(samples: list[float], percent: float) -> float:
    value = percentile(sorted(samples), percent)
    assert value is not None
    return value


def print_table(runs: list[Run], title: str) -> None:
    """Print medians over the rounds; throughput is also given as a ratio to that of one shared station."""
    from rich.table import Table

    from edge.terminal.console import Console

    columns: tuple[str, ...] = (
        "stations",
        "way",
        "frames/s",
        "of one's",
        "fewest/most",
        "p50 ms",
        "p99 ms",
        "slowest/fastest p99",
    )
    columns += ("cycle p99", "CPU ms/frame", "memory MiB", "of models", "unknown", "missed")
    table = Table(title=title, caption=f"fair: slowest/fastest p99 up to {MOST_UNFAIR}")
    for column in columns:
        table.add_column(column, justify="left" if column == "way" else "right")
    groups: dict[tuple[int, Way], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.stations, run.way), []).append(run)
    ones = [run.frames_per_s for run in runs if run.stations == 1 and run.way == "shared"]
    for (count, way), group in groups.items():

        def median(values: list[float]) -> float:
            return statistics.median(values)

        speed = median([run.frames_per_s for run in group])
        table.add_row(
            str(count),
            way,
            f"{speed:.1f}",
            f"{speed / median(ones):.2f}" if ones else "",
            f"{median([min(run.verdicts) / max(run.verdicts) for run in group]):.3f}",
            f"{median([statistics.median(run.p50_ms) for run in group]):.2f}",
            f"{median([max(run.p99_ms) for run in group]):.2f}",
            f"{median([run.unfairness for run in group]):.2f}",
            f"{median([max(run.cycle_p99_ms) for run in group]):.1f}",
            f"{median([run.cpu_ms_a_frame for run in group]):.2f}",
            f"{median([run.memory_mib for run in group]):.0f}",
            f"{median([run.model_memory_mib for run in group]):.0f}",
            str(sum(run.unknown for run in group)),
            str(sum(run.missed for run in group)),
        )
    console = Console()
    console.print(table) if console.is_terminal else Console(width=160).print(table)


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
