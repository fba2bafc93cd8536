"""`python -m benchmarks.cameras`: cameras that lose packets, lose power and freeze, and the fate of each frame.

Faults are injected into Aravis' fake GigE Vision camera and GStreamer's RTSP server while a station uses them. Writes
docs/reports/cameras.md if every trial ran.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID
from rich.table import Table

from benchmarks.cameras.page import render
from benchmarks.cameras.trials import TRIALS, holds, in_words
from edge.bench import machine
from edge.cli import run_app
from edge.errors import EdgeError
from edge.terminal.console import Console

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def cameras(
    frames: Annotated[int, typer.Option(help="Frames of the trials that count them.", min=10)] = 1000,
    rounds: Annotated[int, typer.Option(help="How often a camera loses power.", min=1)] = 5,
    only: Annotated[list[str] | None, typer.Option(help=f"Run this alone: {', '.join(TRIALS)}.")] = None,
    page: Annotated[Path, typer.Option(help="The page to write.")] = Path("docs/reports/cameras.md"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Run the trials one after another. Exit code 1 if a frame was skipped silently, or scored that must not be."""
    for name in only or ():
        if name not in TRIALS:
            raise EdgeError(f"--only {name}: there are {', '.join(TRIALS)}")
    where, found = machine(), {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for name in only or TRIALS:
            task = progress.add_task(name, total=1.0)
            found[name] = TRIALS[name](frames, rounds, partial(_show, progress, task))
            progress.update(task, completed=1.0)
    if not only:
        page.write_text(render(found, where), encoding="utf-8")
    if as_json:
        print(json.dumps({"machine": where, "trials": found}))
    else:
        table = Table("what was done", "what was found", title="cameras", show_lines=True)
        for name, one in found.items():
            table.add_row(*in_words(name, one))
        Console().print(table)
    sys.exit(0 if all(map(holds, found.values())) else 1)


def _show(progress: Progress, task: TaskID, share: float) -> None:
    progress.update(task, completed=share)


if __name__ == "__main__":
    run_app(app)
