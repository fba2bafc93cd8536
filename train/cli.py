"""`edge-train`: from a recipe and a folder of photographs to a run. Torch is imported only once training begins."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edge.cli import new_app, run_app
from edge.errors import DataError, RecipeError
from edge.photographs.mask_meaning import MaskMeaning

if TYPE_CHECKING:
    from train.run import Run, RunRecord

app = new_app()


@app.command()
def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe's name (see --list) or a .toml file.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of photographs: good/ bad/ mask/, one-class or MVTec.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change one key of the recipe, such as train.epochs=3.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="A checkpoint to start from, or published, or random; as --set model.weights=.")
    ] = None,
    weights_key: Annotated[
        str | None, typer.Option(help="Which state dict of --weights, such as model; as --set model.weights_key=.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Split anew by a column of parts.csv, or by the (group) of a regular expression in the path."
        ),
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Another number, another split by --group-by.")] = 0,
    split: Annotated[Path | None, typer.Option(help="Split as this CSV file says, such as split.csv of a run.")] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Train although different splits show the same thing.")
    ] = False,
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Leave out of the earlier split what a later one shows too.")
    ] = False,
    masks: Annotated[
        MaskMeaning | None,
        typer.Option(help="What in a mask is defect; found from all masks together if not given."),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(metavar="10|12|14|16", help="Significant bits of photographs of 16 bits; else they fill 16."),
    ] = None,
    accelerator: Annotated[
        str, typer.Option(help="Where to train, as Lightning names it: auto, cpu, gpu …; always one device.")
    ] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in --out.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes and leave.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Train RECIPE on the photographs in DATA and write a run to OUT, for edge-export."""
    from train.recipe import called, load_recipe

    if list_:
        list_recipes(as_json)
        return
    if recipe is None or data is None or out is None:
        raise RecipeError("give a recipe, --data and --out: edge-train demo-line --data photos/ --out run/")
    given = {"weights": weights, "weights_key": weights_key}
    overrides = [f"model.{key}={json.dumps(value)}" for key, value in given.items() if value]
    chosen = load_recipe(recipe, [*(set_ or []), *overrides])
    if not data.is_dir():
        raise DataError(f"no such data folder: {data}")
    if allow_leaks and drop_leaks:
        raise DataError("--allow-leaks and --drop-leaks: give one of them")

    from edge.pictures.contract import checked_bits
    from train.data.split import LeakPolicy, SplitChoice
    from train.fit import fit
    from train.report.page import write_report

    leaks: LeakPolicy = "allow" if allow_leaks else "drop" if drop_leaks else "refuse"
    choice = SplitChoice(group_by, split_seed, split, leaks, masks, checked_bits(bits))
    run = fit(
        called(recipe),
        chosen,
        data,
        out,
        resume=resume,
        quiet=as_json,
        choice=choice,
        accelerator=accelerator,
    )
    report(run, as_json)
    written = write_report(run.path)
    if not as_json:
        print(f"report in {written.file}", file=sys.stderr)


def list_recipes(as_json: bool) -> None:
    """Print the recipes that come with the package."""
    from train.recipe import load_recipe, recipe_names

    titles = {name: load_recipe(name).title for name in recipe_names()}
    if as_json:
        print(json.dumps([{"name": name, "title": title} for name, title in titles.items()], ensure_ascii=False))
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        print(f"{name:{width}}  {title}")


def report(run: "Run", as_json: bool) -> None:
    """Print what was chosen and how good it is, and plainly where it is no better than guessing."""
    from train.report.verdict import blindness

    record, blind = run.record, blindness(run)
    if as_json:
        print(json.dumps(record.model_dump(mode="json") | {"warning": blind}, ensure_ascii=False))
        return
    selection = record.selection
    assert selection is not None
    kept = f"{selection.best} {selection.criterion} {selection.value:.4f}"
    print(f"kept epoch {selection.epoch + 1} of {record.recipe.train.epochs} ({kept}), {record.minutes} minutes")
    print(f"threshold {selection.threshold.value:.6g} ({selection.threshold.strategy}, chosen on val)")
    for split, judged in record.metrics.items():
        figures, counts = judged.figures, judged.figures.confusion
        print(f"{split:5} recall {figures.recall}  specificity {figures.specificity}")
        ranking = "-" if figures.auroc is None else f"{figures.auroc:.4f}"
        print(f"      misses {counts.fn}  false rejects {counts.fp}  AUROC {ranking}")
        if judged.by_part:
            whole = judged.by_part
            ranking = "-" if whole.auroc is None else f"{whole.auroc:.4f}"
            print(f"      by part  recall {whole.recall}  specificity {whole.specificity}  AUROC {ranking}")
        if judged.overlap:
            covered = judged.overlap
            print(f"      Dice of the map {covered.dice:.3f} [{covered.low:.3f}, {covered.high:.3f}]")
    if record.last:
        print(last_epoch(record))
    for warning in (blind, record.data.leaks.warning if record.data.leaks else None):
        if warning:
            print(f"beware: {warning}")
    print(f"run written to {run.path}", file=sys.stderr)


def last_epoch(record: "RunRecord") -> str:
    """One line: what the last epoch gives instead of the one kept, on test, or on val if that is all there is."""
    assert record.last is not None
    split = "test" if "test" in record.metrics else "val"
    kept, last = record.metrics[split].figures, record.last.metrics[split].figures
    pairs = {name: (getattr(last, name).value, getattr(kept, name).value) for name in ("recall", "precision")}
    pairs["AUROC"] = last.auroc, kept.auroc
    covered = [one[split].overlap for one in (record.last.metrics, record.metrics)]
    if covered[0] and covered[1]:
        pairs["Dice"] = covered[0].dice, covered[1].dice
    said = [
        f"{name} {there:.3f} (kept {here:.3f})"
        for name, (there, here) in pairs.items()
        if there is not None and here is not None
    ]
    return f"last epoch {record.last.epoch + 1} instead: {split} {', '.join(said) or 'has no bad photographs'}"


def main() -> NoReturn:
    """The entry point."""
    run_app(app)
