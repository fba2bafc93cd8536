"""`python -m benchmarks.results`: trains what the plan says and is not there yet, then writes
docs/reports/results.md.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.results.plan import PLAN
from edge.cli import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def results(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", hidden=True)] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME…", help="Train these rows, folders or recipes alone.")
    ] = None,
    table_only: Annotated[bool, typer.Option("--table-only", help="Train nothing; write the page anew.")] = False,
    latency: Annotated[bool, typer.Option("--latency", help="Export and measure the first seed of each row.")] = False,
    data: Annotated[Path, typer.Option(envvar="EDGE_DATA", help="Folder of the magnetic tiles.")] = Path(
        "magnetic-tile"
    ),
    demo_data: Annotated[
        Path, typer.Option(help="Folder of the rendered photographs; rendered if it is not there.")
    ] = Path("build/demo-data"),
    runs: Annotated[Path, typer.Option(help="Where the run folders lie.")] = Path("build/results"),
    plan: Annotated[Path, typer.Option(help="What to train.")] = PLAN,
    page: Annotated[Path, typer.Option(help="The page to write; its picture lies beside it.")] = Path(
        "docs/reports/results.md"
    ),
) -> None:
    """Train every row of the plan that is not trained yet, one after another, and write the page of all results.

    Ends with exit code 1 if a training failed or lies there with other settings than the plan's.
    """
    from benchmarks.results.chart import write_chart
    from benchmarks.results.page import render
    from benchmarks.results.plan import read_plan
    from benchmarks.results.runs import measure_all, photographs_of, train_all

    whole = read_plan(plan)
    chosen = whole.only([*(only or []), *(names or [])])
    trainings = chosen.trainings()
    failed = []
    if not table_only:
        given = {"magnetic-tile": data, "demo-line": demo_data}
        wanted = dict.fromkeys(entry.data for entry in chosen.entry)
        folders = {name: photographs_of(name, whole.photographs[name], given, _say) for name in wanted}
        failed += train_all(trainings, folders, runs, _say)
    if latency:
        failed += measure_all(trainings, runs, _say)
    page.parent.mkdir(parents=True, exist_ok=True)
    picture = page.with_suffix(".svg")
    drawn = write_chart(whole, runs, picture)
    page.write_text(render(whole, runs, picture.name if drawn else None), encoding="utf-8")
    _say(f"written: {page}{f' and {picture}' if drawn else ''}")
    if failed:
        _say(f"{len(failed)} not as planned: {'; '.join(failed)}")
        sys.exit(1)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_app(app)
