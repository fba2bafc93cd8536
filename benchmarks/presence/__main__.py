"""`python -m benchmarks.presence`: each rendered part that passes is inspected once, and as well as in isolation.

Runs the moving belt with three speeds and two densities at 30, 60 and 120 frames a second, frame by frame without a
clock; then a few hundred parts pass a real station in real time. Writes presence.md and presence.jpg in docs/reports.
"""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.presence.judge import BACKEND, Case, Run, judge
from benchmarks.presence.live import run_live
from benchmarks.presence.page import render
from benchmarks.presence.result import Row, as_dict, claims, flips, row
from benchmarks.presence.strip import write_strip
from edge.bench import machine
from edge.bundle import load_bundle
from edge.cli import run_app
from edge.sources.size import parse_size

SPEEDS = ((30.0, 0.5), (60.0, 1.5), (120.0, 4.0))
"""(frames a second, frame widths a second)."""

PITCHES = (1.2, 0.65)
"""Pitch in frame widths: parts one at a time, and the densest at which parts of 0.52 widths do not touch."""

PORTION = 200
"""Parts of one run; a run begins with an empty belt."""

SEED = 9000
BUNDLE = Path("models/demo.edge")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def presence(
    parts: Annotated[int, typer.Option(help="Parts in all.", min=12)] = 5000,
    live: Annotated[int, typer.Option(help="Parts through a real station after that; 0: none.", min=0)] = 300,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Frames of the belt.")] = "640x360",
    frames: Annotated[int, typer.Option(help="Frames of each part that are scored.", min=1)] = 1,
    processes: Annotated[int, typer.Option(help="Runs side by side.", min=1)] = 2,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write presence.md and presence.jpg there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Judge the finder. Exit code 1 if something that it is to show does not hold."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from edge.terminal.console import Console

    about = machine()
    threshold = load_bundle(BUNDLE).artifact(BACKEND).threshold.value
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("parts", total=parts)
        runs = _judge_all(cases(parts, parse_size(size), frames), processes, lambda n: progress.advance(task, n))
        said = None
        if live:
            task = progress.add_task("through a station", total=live)
            said = run_live(live, BUNDLE, lambda came: progress.update(task, completed=min(came, live)))
    result = _result(runs, threshold, said) | {"machine": about, "asked": parts, "size": size.replace("x", "×")}
    if docs is not None:
        docs.mkdir(parents=True, exist_ok=True)
        (docs / "presence.md").write_text(render(result), encoding="utf-8")
        write_strip(docs / "presence.jpg")
    if as_json:
        print(json.dumps(result))
    else:
        _print(result)
    if False in result["claims"].values():
        sys.exit(1)


def cases(parts: int, size: tuple[int, int], frames: int) -> list[Case]:
    """Cases with `parts` parts in all, the same number on each belt, in portions.

    `size` is the (width, height) of the frames in pixels, `frames` the number of scored frames of a part.
    """
    made = []
    kinds = [(rate, speed, pitch) for rate, speed in SPEEDS for pitch in PITCHES]
    for number, (rate, speed, pitch) in enumerate(kinds):
        left = parts // len(kinds) + (number < parts % len(kinds))
        whole = Case(rate, speed, pitch, left, SEED + 100 * number, size, frames=frames)
        portions = [min(PORTION, left - first) for first in range(0, left, PORTION)]
        made += [replace(whole, parts=portion, seed=whole.seed + order) for order, portion in enumerate(portions)]
    return made


def _judge_all(every: list[Case], processes: int, tick: Any) -> list[Run]:
    """The runs in the order of the cases, independent of the order in which they end."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        futures = {pool.submit(judge, case, BUNDLE): case for case in every}
        done = {}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            tick(futures[future].parts)
    return [done[case] for case in every]


def _result(runs: list[Run], threshold: float, live: dict[str, Any] | None) -> dict[str, Any]:
    kinds = dict.fromkeys((run.case.rate, run.case.speed, run.case.pitch) for run in runs)
    rows: list[Row] = [
        row([run for run in runs if (run.case.rate, run.case.speed, run.case.pitch) == kind], threshold)
        for kind in kinds
    ]
    total = row(runs, threshold)
    return {
        "rows": as_dict(rows),
        "total": as_dict([total])[0],
        "flips": flips([part for run in runs for part in run.parts], threshold),
        "claims": claims(total, live),
        "live": live,
    }


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    from edge.terminal.console import Console

    table = Table(title=f"parts that pass, frames of {result['size']} pixels, {result['machine']['cpu']}")
    names = ("frames/s", "widths/s", "pitch", "parts", "once", "missing", "twice", "recall", "by itself", "spec.")
    for name in (*names, "by itself", "off px", "finder ms"):
        table.add_column(name, justify="right")
    for one in (*result["rows"], result["total"]):
        is_total = one is result["total"]
        belt = ("all", "", "") if is_total else (f"{one['rate']:g}", f"{one['speed']:g}", f"{one['pitch']:g}")
        counts = (str(one[name]) for name in ("parts", "once", "missing", "twice"))
        rates = (f"{one[n]:.4f}" for n in ("recall", "recall_alone", "specificity", "specificity_alone"))
        table.add_row(*belt, *counts, *rates, f"{one['off_px']:.0f}", f"{one['see_ms']:.2f}")
    console = Console()
    console.print(table) if console.is_terminal else Console(width=140).print(table)
    for claim, holds in result["claims"].items():
        print(f"{'not seen' if holds is None else 'yes' if holds else 'NO':9} {claim}")
    if result["live"]:
        print(json.dumps(result["live"]))


if __name__ == "__main__":
    run_app(app)
