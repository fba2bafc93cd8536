"""`edge-train`: from a recipe and a folder of photographs to a run. Torch is imported only when training begins."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edge.cli import new_app, run_app
from edge.errors import DataError, RecipeError
from edge.photographs.mask_meaning import MaskMeaning
from edge.text import counted

if TYPE_CHECKING:
    from train.data.split import LeakPolicy
    from train.run import Run, RunRecord

app = new_app()


@app.command()
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE", help="Name of a recipe (see --list), path of a .toml file, or auto (see auto --help)."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs: good/ and bad/, with mask/ or without; MVTec, VisA, COCO, YOLO, a CSV of "
            "labels, and others: docs/guide/pictures.md."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run to write.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a key of the recipe, as in train.epochs=3. Repeatable."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Where the network starts, model.weights of the recipe: a checkpoint, published or random.",
            show_default="that of the recipe",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="How the threshold is chosen: balanced, specificity=0.95, cost=10,1 and others.",
            show_default="that of the recipe",
        ),
    ] = None,
    weights_key: Annotated[
        str | None,
        typer.Option(
            help="Which state dict of the checkpoint to take, model.weights_key of the recipe.",
            show_default="averaged weights, if there are any",
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Split the photographs again, by a column of parts.csv or by the (group) of a regular expression in "
            "the path.",
            show_default="as the folders say",
        ),
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Seed of the split by --group-by.")] = 0,
    split: Annotated[
        Path | None, typer.Option(help="Split the photographs as this CSV file says, as in split.csv of another run.")
    ] = None,
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
    accelerator: Annotated[
        str, typer.Option(help="Kind of device, by Lightning's name: auto, cpu, gpu and others.")
    ] = "auto",
    devices: Annotated[int, typer.Option(help="Devices of each machine. They share each batch.", min=1)] = 1,
    nodes: Annotated[int, typer.Option(help="Machines. Start the same command on each.", min=1)] = 1,
    strategy: Annotated[
        str, typer.Option(help="How devices work together, by Lightning's name: auto, ddp, ddp_spawn and others.")
    ] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted training in --out.")] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List the recipes, what each needs and how long it takes, and exit.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Train RECIPE on the photographs in DATA and write a run to OUT, for edge-export."""
    from train.recipe import ThresholdChoice, called, load_recipe

    if list_:
        list_recipes(as_json)
        return
    if recipe is None or data is None or out is None:
        raise RecipeError(
            "give a recipe, --data and --out: edge-train inspector --data photographs/ --out run/; --list shows recipes"
        )
    given = {"weights": weights, "weights_key": weights_key}
    overrides = [f"model.{key}={json.dumps(value)}" for key, value in given.items() if value]
    chosen = load_recipe(recipe, [*(set_ or []), *overrides])
    if threshold is not None:
        chosen = chosen.model_copy(update={"threshold": ThresholdChoice.parse(threshold)})
    if not data.is_dir():
        raise DataError(f"no such data folder: {data}")
    if allow_leaks and drop_leaks:
        raise DataError("--allow-leaks and --drop-leaks: give one of them")

    from edge.pictures.contract import checked_bits
    from edge.terminal.progress import Progress
    from train.devices import Devices
    from train.imports import uncollected

    leaks: LeakPolicy = "allow" if allow_leaks else "drop" if drop_leaks else "refuse"
    used = Devices(accelerator, devices, nodes, strategy)
    with Progress(used.rank == 0) as progress:
        progress.begin("loading PyTorch")
        with uncollected():
            from train.data.split import SplitChoice
            from train.fit import fit
            from train.report.page import write_report
            from train.run import NETWORK_FILE

        choice = SplitChoice(group_by, split_seed, split, leaks, masks, checked_bits(bits))
        run = fit(called(recipe), chosen, data, out, resume, choice, used, progress)
    if run is None:  # this process trained for the one that writes the run
        return
    report(run, as_json)
    with Progress() as progress:
        network_file = run.path / NETWORK_FILE if run.recipe.model.is_own else None
        written = write_report(run.path, stage=progress.begin, network_file=network_file)
    print(f"report in {written.file}", file=sys.stderr)


def list_recipes(as_json: bool) -> None:
    """Print the recipes of the package: what each needs, what it starts from and how long it takes."""
    from train.recipe_list import entries, lines

    listed = entries()
    if as_json:
        print(json.dumps([one.as_json() for one in listed], ensure_ascii=False))
        return
    for line in lines(listed):
        print(line)


def report(run: "Run", as_json: bool) -> None:
    """Print the choice and its metrics, with a clear warning if it is no better than guessing."""
    from train.kinds import lines_on
    from train.report.verdict import aim, blindness, promise_on_test, said_of_asked

    record, blind, promise = run.record, blindness(run), promise_on_test(run)
    asked = None if promise is None else promise.asked
    if as_json:
        told = None if asked is None else asked.model_dump(mode="json") | {"kept": asked.kept}
        print(json.dumps(record.model_dump(mode="json") | {"warning": blind, "asked": told}, ensure_ascii=False))
        return
    selection = record.selection
    assert selection is not None
    why = f"the {selection.best} {selection.criterion}, {selection.value:.4f}"
    print(f"epoch {selection.epoch + 1} of {record.recipe.train.epochs} is kept: {why}")
    chosen = aim(selection.threshold).replace("\u00a0", " ")  # which is for the page
    print(f"threshold {selection.threshold.value:.6g}: on val, {chosen}")
    print(f"figures with their 95 % intervals, after {record.minutes} minutes of training:")
    for split, judged in record.metrics.items():
        figures, counts = judged.figures, judged.figures.confusion
        print(f"{split:5} recall {figures.recall}  specificity {figures.specificity}")
        ranking = "-" if figures.auroc is None else f"{figures.auroc:.4f}"
        missed, stopped = counted(counts.fn, "miss", "misses"), counted(counts.fp, "false reject")
        print(f"      {missed}, {stopped}, AUROC {ranking}")
        if judged.by_part:
            whole = judged.by_part
            ranking = "-" if whole.auroc is None else f"{whole.auroc:.4f}"
            print(f"      whole parts: recall {whole.recall}  specificity {whole.specificity}  AUROC {ranking}")
        if judged.overlap:
            covered = judged.overlap
            print(f"      overlap of map and masks (Dice) {covered.dice:.3f} [{covered.low:.3f}, {covered.high:.3f}]")
    for line in lines_on(record.kinds) if record.kinds else ():
        print(line)
    for line in said_of_asked(promise):
        print(line.replace("\u00a0", " "))
    if record.last:
        print(last_epoch(record))
    for warning in (blind, record.data.leaks.warning if record.data.leaks else None):
        if warning:
            print(f"warning: {warning}")
    if record.data.leaks and record.data.leaks.remark:
        print(f"note: {record.data.leaks.remark}")
    print(f"run written to {run.path}", file=sys.stderr)


def last_epoch(record: "RunRecord") -> str:
    """One line with the metrics of the last epoch instead of the kept one, on test, or on val without test."""
    assert record.last is not None
    split = "test" if "test" in record.metrics else "val"
    kept, last = record.metrics[split].figures, record.last.metrics[split].figures
    pairs = {name: (getattr(last, name).value, getattr(kept, name).value) for name in ("recall", "precision")}
    pairs["AUROC"] = last.auroc, kept.auroc
    covered = [one[split].overlap for one in (record.last.metrics, record.metrics)]
    if covered[0] and covered[1]:
        pairs["Dice"] = covered[0].dice, covered[1].dice
    said = [
        f"{name} {there:.3f} instead of {here:.3f}"
        for name, (there, here) in pairs.items()
        if there is not None and here is not None
    ]
    would = ", ".join(said) or "no figures, for want of bad photographs"
    return f"the last epoch, {record.last.epoch + 1}, would have on {split}: {would}"


def main() -> NoReturn:
    """The entry point."""
    run_app(app, extra="train")
