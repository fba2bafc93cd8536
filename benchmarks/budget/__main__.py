"""`python -m benchmarks.budget`: what a station with records spends on a frame, by process, thread and step.

Each round runs the graph alone, OpenVINO's benchmark_app and the station, in turns; with `--against` also the station
of another checkout of this project, which says what a change brings. Linux counts processor time and context switches
of each thread, which disturbs nothing. The steps are timed in further runs, whose figures stand in no other table,
because timing a step costs a microsecond.
"""

import statistics
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.benchmark_app import APP_S, benchmark_app, openvino_artifact, write_graph
from benchmarks.budget.measuring import Line, Spent, run
from benchmarks.budget.page import render
from benchmarks.budget.processes import Usage, usage_of
from benchmarks.budget.tracing import Traced
from benchmarks.comparison import Contestant, figures, set_up
from benchmarks.contestants.__main__ import AWAKE
from edge.cli import run_app
from edge.sources.size import parse_size

PAGE = Path("docs/reports/budget.md")
THIS, OTHER = "this", "other"
ARCHIVE = "edge-archive"
STATIONS = {THIS: "station", OTHER: "the other station"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def budget(
    bundle: script.BundleOption = script.DEFAULT_BUNDLE,
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT.")] = "1280x720",
    threads: script.ThreadsOption = 2,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 30,
    frames: Annotated[int, typer.Option(min=50, help="Frames of a measurement.")] = 400,
    traced: Annotated[int, typer.Option(min=1, help="Of the rounds, those in which the steps are timed, too.")] = 3,
    against: Annotated[Path | None, typer.Option(help="Another checkout of this project, measured in turns.")] = None,
    page: Annotated[Path, typer.Option(help="The page to write.")] = PAGE,
    out: script.OutOption = None,
) -> None:
    """Measure, and write the page."""
    result = measure(bundle, size, threads, rounds, frames, traced, against)
    page.write_text(text := render(result), encoding="utf-8")
    script.finish(result, text, out)


def measure(
    bundle: Path, size: str, threads: int, rounds: int, frames: int, traced: int, against: Path | None
) -> dict[str, Any]:
    """All measurements of a round in turns. Raises EdgeError if a station or benchmark_app does not run."""
    opened, shape = script.opened(bundle), parse_size(size)
    artifact = openvino_artifact(opened)
    line = Line(opened.path, shape, artifact, threads, frames)
    folders = {THIS: None} | ({} if against is None else {OTHER: against})
    result = script.about(threads, quick=False) | {"size": size, "frames": frames, "rounds": rounds}
    spent: dict[str, list[Spent]] = {who: [] for who in folders}
    timed: dict[str, list[Spent]] = {who: [] for who in folders}
    graph_ms, graph_cpu_ms, app_per_s = list[list[float]](), list[float](), list[float]()
    steps = rounds * (2 + len(folders)) + min(traced, rounds) * len(folders)
    with TemporaryDirectory() as folder, script.steps(steps) as step:
        setup = set_up(opened, shape, threads, Path(folder))
        written = write_graph(opened, shape, Path(folder))
        with Contestant(replace(setup, name="ours")) as bare:
            for number in range(rounds):
                step("the graph alone")
                pid = {bare.pid: "graph"}
                before = sum(used.cpu_ns for used in usage_of(pid).values())
                graph_ms.append(bare(frames))
                cpu_ns = sum(used.cpu_ns for used in usage_of(pid).values()) - before
                graph_cpu_ms.append(cpu_ns / 1e6 / (frames + AWAKE))
                step("benchmark_app")
                app_per_s.append(benchmark_app(written, threads, APP_S, Path(folder), {})["throughput"])
                for who, checkout in folders.items():
                    step(STATIONS[who])
                    spent[who].append(run(line, checkout))
                for who, checkout in folders.items() if number < traced else ():
                    step(f"{STATIONS[who]}, traced")
                    timed[who].append(run(line, checkout, is_traced=True))
    by_round = {f"{name[:3]}_by_round": [figures([one])[name] for one in graph_ms] for name in ("p50_ms", "p99_ms")}
    result["graph"] = figures(graph_ms) | {"cpu_ms": graph_cpu_ms} | by_round
    result["app_frames_per_s"] = app_per_s
    result["stations"] = {who: _station(spent[who], timed[who]) for who in folders}
    return result


def _station(spent: list[Spent], timed: list[Spent]) -> dict[str, Any]:
    """The runs of one station: by round where they are compared, else medians over the rounds, for each frame."""
    threads = {key: None for one in spent for key in one.threads}
    steps = {key: None for one in timed for key in one.steps}
    return {
        "cpu_ms": [sum(used.cpu_ns for used in one.threads.values()) / 1e6 / one.frames for one in spent],
        "archive_ms": [_archive_ms(one) for one in spent],
        "frames_per_s": [one.frames_per_s for one in spent],
        "p50_ms": [figures([one.whole_ms])["p50_ms"] for one in spent],
        "p99_ms": [figures([one.whole_ms])["p99_ms"] for one in spent],
        "threads": [
            {
                "process": process,
                "thread": thread,
                "cpu_ms": statistics.median(_of(one, process, thread).cpu_ns / 1e6 / one.frames for one in spent),
                "switches": statistics.median(_of(one, process, thread).switches / one.frames for one in spent),
            }
            for process, thread in threads
        ],
        "steps": [
            {
                "process": process,
                "step": step,
                "calls": statistics.median(_step(one, process, step).calls / one.frames for one in timed),
                "cpu_us": statistics.median(_step(one, process, step).cpu_ns / 1e3 / one.frames for one in timed),
                "wall_us": statistics.median(_step(one, process, step).wall_ns / 1e3 / one.frames for one in timed),
            }
            for process, step in steps
        ],
    }


def _archive_ms(spent: Spent) -> float:
    return sum(used.cpu_ns for (process, _), used in spent.threads.items() if process == ARCHIVE) / 1e6 / spent.frames


def _of(spent: Spent, process: str, thread: str) -> Usage:
    return spent.threads.get((process, thread), Usage(0, 0))


def _step(spent: Spent, process: str, step: str) -> Traced:
    return spent.steps.get((process, step), Traced(0, 0, 0))


if __name__ == "__main__":
    run_app(app)
