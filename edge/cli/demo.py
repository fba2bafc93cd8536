"""edge-demo: photographs of the built-in production line, to train on."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.cli import new_app, run_app
from edge.sources.size import parse_size

app = new_app()


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; must be missing or empty.")],
    train: Annotated[int, typer.Option(min=0, help="Parts to learn from.")] = 600,
    val: Annotated[int, typer.Option(min=0, help="Parts to choose the threshold on.")] = 300,
    test: Annotated[int, typer.Option(min=0, help="Parts to judge the result on.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds give other parts.")] = 0,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the photographs, pixels.")] = "1280x720",
    defect_rate: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of bad parts.")] = 0.4,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Render parts of the demo line to DIR/{train,val,test}/{good,bad}/, with masks of the defects and parts.csv.

    The splits show different parts: their lines run with the seeds 1000·(SEED + 1) + 1, + 2 and + 3. A run's
    source demo has seed 0 unless told otherwise, so it never shows a part that was learnt from.
    """
    from dataclasses import asdict

    from rich.progress import Progress

    from edge.demo.photographs import write_photographs
    from edge.terminal.console import Console

    height_width = parse_size(size)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("rendering", total=train + val + test)
        written = write_photographs(
            folder,
            {"train": train, "val": val, "test": test},
            seed,
            height_width,
            defect_rate,
            lambda: bar.advance(task),
        )
    if as_json:
        print(json.dumps({"folder": str(folder), "splits": {name: asdict(row) for name, row in written.items()}}))
        return
    for name, row in written.items():
        print(f"{folder / name}: {row.good} good, {row.bad} bad", file=sys.stderr)


def main() -> None:
    """Entry point of edge-demo."""
    run_app(app)
