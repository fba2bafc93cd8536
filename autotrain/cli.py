"""`edge-train`: a recipe by its name, or `auto`, which compares those that the photographs allow."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edge.cli import new_app, run_app
from edge.errors import DataError
from edge.photographs.mask_meaning import MaskMeaning

if TYPE_CHECKING:
    from train.data.split import LeakPolicy

app = new_app()


@app.callback()
def choose() -> None:
    """Train a recipe, or compare those that the photographs allow."""


@app.command()
def auto(
    data: Annotated[Path, typer.Option(help="Folder of photographs, in one of the layouts that edge-train reads.")],
    out: Annotated[
        Path, typer.Option(help="Folder of the run to write; the runs of the others go into OUT.candidates.")
    ],
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Longest time for all trainings; the first is run in any case.", min=0, show_default="no limit"
        ),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(
            help="Longest median time of a frame on this machine, letterbox included.", min=0, show_default="no limit"
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a key of every recipe, as in train.seed=1. Repeatable."
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="How the threshold is chosen, as specificity=0.95.", show_default="as the recipe that is kept says"
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Split the photographs again, by a column of parts.csv or by the (group) of a regular expression.",
            show_default="as the folders say",
        ),
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Seed of the split by --group-by.")] = 0,
    split: Annotated[Path | None, typer.Option(help="Split the photographs as this CSV file says.")] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Train although photographs in different splits show the same parts.")
    ] = False,
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Leave out photographs that look like one of a later split.")
    ] = False,
    masks: Annotated[
        MaskMeaning | None,
        typer.Option(help="Which values of a mask are defect.", show_default="found from all masks together"),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            metavar="10|12|14|16", help="Significant bits of photographs with 16 bits a sample.", show_default="16"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted comparison, with what is trained.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Train the recipes that the photographs in DATA allow, and write the best on validation as the run OUT."""
    if not data.is_dir():
        raise DataError(f"no such data folder: {data}")
    if allow_leaks and drop_leaks:
        raise DataError("--allow-leaks and --drop-leaks: give one of them")
    from edge.pictures.contract import checked_bits
    from edge.terminal.progress import Progress
    from train.imports import uncollected
    from train.recipe import ThresholdChoice

    leaks: LeakPolicy = "allow" if allow_leaks else "drop" if drop_leaks else "refuse"
    chosen = None if threshold is None else ThresholdChoice.parse(threshold)
    with Progress() as progress:
        progress.begin("loading PyTorch")
        with uncollected():
            from autotrain.selection import lines, select
            from train.cli import report
            from train.data.split import SplitChoice
            from train.report.page import write_report

        run = select(
            data, out, SplitChoice(group_by, split_seed, split, leaks, masks, checked_bits(bits)), progress,
            minutes=minutes, latency_ms=latency_ms, overrides=set_ or [], threshold=chosen, resume=resume,
        )  # fmt: skip
    assert run.record.comparison is not None
    if not as_json:
        print("\n".join(lines(run.record.comparison)))
    report(run, as_json)
    with Progress() as progress:
        written = write_report(run.path, stage=progress.begin)
    print(f"report in {written.file}", file=sys.stderr)


def main() -> NoReturn:
    """The entry point of edge-train."""
    if sys.argv[1:2] != ["auto"]:
        from train.cli import main as train

        train()
    run_app(app, extra="export")


if __name__ == "__main__":
    main()
