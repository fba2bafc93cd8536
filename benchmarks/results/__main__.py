"""`python -m benchmarks.results`: makes the missing trainings of a plan, then writes its page, pictures and numbers."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.results.plan import PLAN
from edge.cli import run_app
from edge.errors import ConfigError
from edge.rates import per_second
from edge.terminal.progress import Progress

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def results(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", hidden=True)] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME…", help="Train these rows, folders or recipes alone.")
    ] = None,
    table_only: Annotated[bool, typer.Option("--table-only", help="Train nothing; write the page anew.")] = False,
    latency: Annotated[bool, typer.Option("--latency", help="Export and measure the first seed of each row.")] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="For the first seed of each row of a rendered line, measure masks, reasons, live parts and pictures.",
        ),
    ] = False,
    parts: Annotated[int, typer.Option(help="With --measure: live parts of each row.", min=1)] = 1000,
    rate: Annotated[
        str, typer.Option(help="With --measure: rate of the live parts; halved where some are unknown.")
    ] = "600/min",
    data: Annotated[Path, typer.Option(envvar="EDGE_DATA", help="Folder of the magnetic tiles.")] = Path(
        "magnetic-tile"
    ),
    demo_data: Annotated[
        Path, typer.Option(help="Folder of the rendered photographs; rendered if it is not there.")
    ] = Path("build/demo-data"),
    photographs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR", help="Folder of a set of photographs of the plan, instead of build/NAME. Repeatable."
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where the run folders lie.")] = Path("build/results"),
    plan: Annotated[Path, typer.Option(help="What to train.")] = PLAN,
    archive: Annotated[
        Path | None,
        typer.Option(metavar="FILE.tar.xz", help="Records of runs trained elsewhere; written anew at the end."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="The page to write; its pictures and numbers lie beside it.", show_default="the plan's"),
    ] = None,
) -> None:
    """Train every row of the plan that is not trained yet, one after another, and write the page of all results.

    Ends with exit code 1 if a training failed or lies there with other settings than the plan's.
    """
    from benchmarks.results.archive import restore, store
    from benchmarks.results.chart import write_chart
    from benchmarks.results.measure import LivePace, measure_lines
    from benchmarks.results.numbers import write_numbers
    from benchmarks.results.page import render
    from benchmarks.results.plan import read_plan
    from benchmarks.results.runs import measure_all, photographs_of, train_all

    whole = read_plan(plan)
    page = page or whole.page
    chosen = whole.only([*(only or []), *(names or [])])
    trainings = chosen.trainings()
    pace = LivePace(parts, _per_second(rate))
    named = dict(map(_named, photographs or []))
    failed = []
    if archive is not None and (restored := restore(archive, runs)):
        _say(f"records of {', '.join(restored)} come from {archive}")
    if not table_only:
        given = {"magnetic-tile": data, "demo-line": demo_data} | named
        wanted = dict.fromkeys(entry.data for entry in chosen.entry)
        folders = {name: photographs_of(name, whole.photographs[name], given, _say) for name in wanted}
        failed += train_all(trainings, folders, runs, _say)
    if latency:
        failed += measure_all(trainings, runs, _say)
    if measure:
        with Progress() as progress:
            failed += measure_lines(trainings, runs, named, page, _say, pace, progress.begin)
    page.parent.mkdir(parents=True, exist_ok=True)
    picture = page.with_suffix(".svg")
    drawn = write_chart(whole, runs, picture)
    page.write_text(render(whole, runs, picture.name if drawn else None, page), encoding="utf-8")
    numbers = page.with_suffix(".json")
    write_numbers(whole, runs, numbers)
    if archive is not None:
        store(archive, whole.trainings(), runs)
    _say(f"written: {page}, {numbers}{f' and {picture}' if drawn else ''}")
    if failed:
        _say(f"{len(failed)} not as planned: {'; '.join(failed)}")
        sys.exit(1)


def _per_second(rate: str) -> float:
    try:
        return per_second(rate)
    except ValueError as error:
        raise ConfigError(f"--rate {rate}: {error}") from None


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not folder:
        raise ConfigError(f"--photographs {text}: give NAME=DIR, as in codes=build/codes")
    return name, Path(folder)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_app(app)
