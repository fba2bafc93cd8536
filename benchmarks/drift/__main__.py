"""`python -m benchmarks.drift`: false alarms of the watch on drift over simulated weeks, and when it notices faults.

The demonstration line is rendered as it is, with a lamp that gets weaker, with a lens that gets smeared, and with
another material, and its bundle scores the frames. Lines of 600 parts a minute are resampled from these, minute by
minute, and watched by the watch of a station. Writes drift.md, drift.json and drift.svg in docs/reports.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.drift.page import fault_result, render, weeks_result
from benchmarks.drift.rendering import PERIOD, Effect, Eye, Fault, Seen, effects
from benchmarks.drift.simulation import Lots, Plant, false_alarms, notice
from benchmarks.script import say
from edge.bench import machine
from edge.cli import run_app

FIRST_LINE = 77
"""Seed of the rendered line for `--seed 0`; the demonstration bundle has not seen the parts of it or of later ones."""

FAULTY = 10_000
"""Number of the first simulated line that has a fault."""

SIZE = (360, 640)
DEFECT_RATE = 0.02

USUAL = Lots("lots of 8 minutes", 8)
LINES = (
    Lots("all parts alike", 0, day=0.0),
    USUAL,
    Lots("lots of 8 minutes, that differ more", 8, spread=0.5),
    Lots("lots of 30 minutes", 30),
    Lots("lots of an hour", 60),
)

LAMP = [(loss, Fault(light=1 - loss)) for loss in (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4)]
LENS = [(sigma, Fault(blur=sigma)) for sigma in (0.5, 1.0, 1.5, 2.0, 3.0)]
MATERIAL = [(1.0, Fault(material=True))]

FAULTS: dict[str, tuple[list[tuple[float, Fault]], float, int]] = {
    "lamp": (LAMP, 0.1 / 240, 960),
    "lens": (LENS, 1 / 60, 180),
    "material": (MATERIAL, 0.0, 180),
}
"""By name: the severities that are rendered, what is added to the severity each minute, and the minutes watched."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def drift(
    base: Annotated[int, typer.Option(help="Parts rendered of the unchanged line.", min=PERIOD)] = 4 * PERIOD,
    parts: Annotated[int, typer.Option(help="Parts rendered of each severity of a fault.", min=50)] = 2 * PERIOD,
    lines: Annotated[int, typer.Option(help="Unchanged lines simulated, of each kind of lots.", min=1)] = 100,
    weeks: Annotated[float, typer.Option(help="Weeks of each after its commissioning.", min=0.1)] = 1.0,
    repeats: Annotated[int, typer.Option(help="Lines on which each fault is simulated.", min=1)] = 40,
    seed: Annotated[
        int,
        typer.Option(help="Of the lines; the limits were tuned with 0.", min=0),
    ] = 1,
    docs: Annotated[Path, typer.Option(metavar="DIR", help="Where the page goes.")] = Path("docs/reports"),
) -> None:
    """Simulate the watch on drift."""
    from rich.progress import Progress

    from edge.terminal.console import Console

    about = machine()
    with Progress(console=Console(stderr=True)) as progress:
        frames = base + parts * sum(len(faults) for faults, _, _ in FAULTS.values())
        task = progress.add_task("rendering and scoring", total=frames)
        seen, found = _rendered(seed, base, parts, lambda: progress.advance(task))
        task = progress.add_task("unchanged lines", total=len(LINES) * lines)
        unchanged = []
        for lots in LINES:
            alarms = []
            for number in range(lines):
                alarms.append(false_alarms(Plant(seen, found["lamp"], lots, (seed, number)), weeks))
                progress.advance(task)
            unchanged.append(weeks_result(lots.name, alarms, weeks))
        task = progress.add_task("faults", total=len(FAULTS) * repeats)
        faults = []
        for name, (_, pace, minutes) in FAULTS.items():
            noticed = []
            for number in range(repeats):
                plant = Plant(seen, found["lamp"], USUAL, (seed, FAULTY + number))
                noticed.append(notice(plant, found[name], pace, minutes))
                progress.advance(task)
            faults.append(fault_result(name, found[name], pace, minutes, noticed))
    result: dict[str, Any] = {
        "machine": about if isinstance(about, dict) else about.model_dump(mode="json"),
        "seed": seed,
        "base": {"parts": base, "rejects": float(seen.rejects.mean()), "parts_of_each_severity": parts},
        "repeats": repeats,
        "lots": [asdict(lots) for lots in LINES],
        "unchanged": unchanged,
        "faults": faults,
    }
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "drift.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (docs / "drift.md").write_text(page := render(result), encoding="utf-8")
    from benchmarks.drift.chart import write_chart

    write_chart(result, docs / "drift.svg")
    say(f"written: {docs / 'drift.md'}, drift.json, drift.svg")
    print(page)


def _rendered(seed: int, base: int, parts: int, step: Any) -> tuple[Seen, dict[str, list[Effect]]]:
    """The unchanged line, and the effects of each fault."""
    eye = Eye(FIRST_LINE + seed, SIZE, DEFECT_RATE)
    seen = eye.see(Fault(), range(base), step)
    return seen, {name: [*effects(eye, seen, faults, parts, step)] for name, (faults, _, _) in FAULTS.items()}


if __name__ == "__main__":
    run_app(app)
