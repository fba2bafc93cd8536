"""`python -m benchmarks.soak`: a million verdicts through the real station and the real gate, and the traces of each.

The station runs in its own processes with its records on, the gate in another process. The frames are small and back to
back and the network takes no time, so that the measurement covers everything but inference. Writes soak.md and soak.svg
in docs/reports.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.soak.chart import write_chart
from benchmarks.soak.line import SIZE, Line
from benchmarks.soak.model import mean_bundle
from benchmarks.soak.page import render
from benchmarks.soak.result import examine, failed
from edge.cli import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def soak(
    verdicts: Annotated[
        int, typer.Option(help="Verdicts; a few more come until the belt stands.", min=1000)
    ] = 1_000_000,
    every: Annotated[float, typer.Option(metavar="S", help="Seconds between samples of memory.", min=0.1)] = 2.0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything measured there, as JSON.")] = None,
    docs: Annotated[Path, typer.Option(metavar="DIR", help="Where soak.md and soak.svg go.")] = Path("docs/reports"),
    work: Annotated[
        Path, typer.Option(metavar="DIR", help="Records and logs lie here meanwhile, 0.5 KB a verdict: a real disk.")
    ] = Path("build"),
) -> None:
    """Run the soak; Ctrl-C ends it sooner and in order.

    Exit code 1 if something that it is to show does not hold, or is unknown after a full run; what was written is
    kept then.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from edge.terminal.console import Console

    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=work))
    line = Line(folder, mean_bundle(folder / "mean.edge", SIZE))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("verdicts", total=verdicts)
        said = line.run(verdicts, every, lambda came: progress.update(task, completed=min(came, verdicts)))
        progress.add_task("audit", total=None)
        result = examine(line, said)
    text = json.dumps(result, indent=1)
    if out is not None:
        out.write_text(text + "\n")
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "soak.md").write_text(render(result), encoding="utf-8")
    write_chart(result, docs / "soak.svg")
    for claim, holds in result["claims"].items():
        print(f"{'unknown' if holds is None else 'yes' if holds else 'NO':9}  {claim}")
    if failed(result):
        print(f"what was written is kept in {folder}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    run_app(app)
