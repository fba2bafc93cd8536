"""edge-demo: renders photographs of a built-in production line for training."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.cli import new_app, run_app
from edge.demo.line_names import LINE_NAMES, LineName
from edge.demo.lines import PLANS, Split
from edge.sources.size import parse_size

app = new_app()


def _usual(split: Split) -> str:
    return ", ".join(f"{PLANS[name][split].count} of {name}" for name in LINE_NAMES)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write. It must be missing or empty.")],
    line: Annotated[
        LineName, typer.Option(help="Line to render: plates on a belt, printed codes, or what a mould pours.")
    ] = "plates",
    train: Annotated[
        int | None, typer.Option(min=0, help="Number of parts to learn from.", show_default=_usual("train"))
    ] = None,
    val: Annotated[
        int | None, typer.Option(min=0, help="Number of parts to choose the threshold on.", show_default=_usual("val"))
    ] = None,
    test: Annotated[
        int | None, typer.Option(min=0, help="Number of parts to judge the result on.", show_default=_usual("test"))
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the parts.")] = 0,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Size of the photographs of plates, pixels.", show_default="1280x720"),
    ] = None,
    defect_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of bad parts.",
            show_default="0.4 of plates, 0.2 of codes, 0.2 in val and 0.034 in test of pour",
        ),
    ] = None,
    shift: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=3.0,
            help="How far the light of the test part of pour differs. 0 is not at all.",
            show_default="1",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Render parts of a demo line to DIR/{train,val,test}/{good,bad}/, with masks of the defects and parts.csv.

    The splits show different parts: they have the seeds 1000·(SEED + 1) + 1, + 2 and + 3. The source demo of edge-run
    has seed 0 by default, so it never shows a part that was learnt from. The training part of the line pour has good
    parts only.
    """
    from dataclasses import asdict

    from edge.demo.lines import split_lines
    from edge.demo.photographs import write_photographs
    from edge.terminal.progress import Progress

    lines = split_lines(line, seed, None if size is None else parse_size(size), defect_rate, shift)
    asked: dict[Split, int | None] = {"train": train, "val": val, "test": test}
    counts = {split: PLANS[line][split].count if count is None else count for split, count in asked.items()}
    with Progress() as progress:
        written = write_photographs(folder, lines, counts, progress.begin("rendering", sum(counts.values())))
    if as_json:
        print(json.dumps({"folder": str(folder), "splits": {name: asdict(row) for name, row in written.items()}}))
        return
    for name, row in written.items():
        print(f"{folder / name}: {row.good} good, {row.bad} bad", file=sys.stderr)


def main() -> None:
    """Entry point of edge-demo."""
    run_app(app)


if __name__ == "__main__":
    main()
