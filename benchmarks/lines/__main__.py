"""`python -m benchmarks.lines`: draws contact sheets of the lines codes and pour, and measures their photographs.

Writes docs/guide/demo-lines.md, and lines-*.jpg in docs/reports.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.lines.figures import Figures, measure
from benchmarks.lines.page import render
from benchmarks.lines.sheets import write_faint, write_sheet
from edge.cli import run_app
from edge.demo.line_names import LineName
from edge.demo.lines import PLANS, open_line

RENDERED: tuple[LineName, ...] = ("codes", "pour")
SEED = 77
"""A seed that neither a run nor the written photographs have by default."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def lines(
    parts: Annotated[int, typer.Option(help="Parts of each line that are measured.", min=200)] = 2400,
    docs: Annotated[Path, typer.Option(metavar="DIR", help="Write guide/demo-lines.md and reports/ there.")] = Path(
        "docs"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")] = False,
) -> None:
    """Draw and measure the lines codes and pour."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from edge.terminal.console import Console

    (docs / "reports").mkdir(parents=True, exist_ok=True)
    (docs / "guide").mkdir(parents=True, exist_ok=True)
    found: dict[str, Figures] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for name in RENDERED:
            rate = PLANS[name]["val"].defect_rate
            line = open_line(name, SEED, rate)
            write_sheet(docs / "reports" / f"lines-{name}.jpg", name, line)
            write_faint(docs / "reports" / f"lines-{name}-faint.jpg", name, line)
            task = progress.add_task(name, total=parts)
            found[name] = measure(line, parts, lambda task=task: progress.advance(task))  # type: ignore[misc]
    (docs / "guide" / "demo-lines.md").write_text(render(found), encoding="utf-8")
    if as_json:
        print(json.dumps({name: figures.as_dict() for name, figures in found.items()}))


if __name__ == "__main__":
    run_app(app)
