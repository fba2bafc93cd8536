"""edge-export rethreshold: what other thresholds would have done with reviewed parts, and a bundle with one of them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.errors import BundleError

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.review.candidates import Judgement
    from export.rethreshold import Change


def rethreshold(
    bundle: Annotated[Path, typer.Argument(help="Bundle that the station ran, or the name of a shipped one.")],
    reviewed: Annotated[
        list[Path],
        typer.Option(metavar="RECORDS", help="Folder of the station's records, with reviewed parts. Repeatable."),
    ],
    threshold: Annotated[
        str | None,
        typer.Option(
            help="The new threshold, a number, or how it is chosen: specificity=0.99, recall=0.95 and others.",
            show_default="print the table and write nothing",
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why the threshold is changed, in a sentence; it stands in the new bundle.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Bundle to write, NAME.edge. It must not exist yet.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Give a bundle another threshold, by what people said of the parts that it judged. Nothing is trained.

    Prints what every threshold would have done with the reviewed parts. The new bundle is not signed.
    """
    from edge.bundle import load_bundle
    from edge.bundle.shipped import found_bundle
    from edge.review.candidates import read_judgement
    from edge.terminal.progress import Progress

    _check_together(threshold, reason, out)
    with Progress() as progress:
        loaded = load_bundle(found_bundle(bundle))
        progress.begin("reading the records")
        judgement = read_judgement(reviewed, loaded.label)
        change = None if threshold is None else _change(judgement, threshold, reason or "")
        if change is None or out is None:
            result: dict[str, Any] = _table(judgement)
        else:
            result = _write(loaded, change, out, progress)
    if as_json:
        print(json.dumps(result))
        return
    _show(judgement, None if change is None else change.threshold)
    if change is None:
        print("nothing is written; --threshold, --reason and --out write a bundle", file=sys.stderr)
    else:
        proof = result["proof"]
        print(
            f"{out}: threshold {change.judgement.old:.6g} becomes {change.threshold:.6g} ({change.how}); "
            f"{proof['pictures scored again']} pictures scored again, largest difference from the record "
            f"{proof['largest difference from the record']:.2g}; not signed: edge-keys sign-bundle {out}",
            file=sys.stderr,
        )


def _check_together(threshold: str | None, reason: str | None, out: Path | None) -> None:
    given = {"--threshold": threshold, "--reason": reason, "--out": out}
    missing = [option for option, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise BundleError(f"--threshold, --reason and --out go together; {missing[0]} is missing")
    if reason is not None and not (reason.strip() and reason.isprintable() and len(reason) <= 500):
        raise BundleError("--reason is a sentence of at most 500 printable characters")
    if out is not None and out.suffix != ".edge":
        raise BundleError(f"--out {out}: a bundle is called NAME.edge; say --out {out if out.name else 'NAME'}.edge")
    if out is not None and out.exists():
        raise BundleError(f"{out} exists; remove it or choose another name with --out")


def _change(judgement: "Judgement", text: str, reason: str) -> "Change":
    """The change that `--threshold` asks for. Raises EdgeError if it is none, or if the data do not support it."""
    from edge.evaluation.thresholds import strategy_parameters
    from edge.review.candidates import checked, choose
    from export.rethreshold import Change
    from train.recipe import ThresholdChoice

    try:
        value = float(text)
    except ValueError:
        choice = ThresholdChoice.parse(text)
        parameters = strategy_parameters(choice.strategy, choice.options)
        how = " ".join([choice.strategy, *(f"{name}={value:g}" for name, value in parameters.items())])
        return Change(judgement, choose(judgement, choice.strategy, **choice.options), how, reason.strip())
    if value != value or value in (float("inf"), float("-inf")):
        raise BundleError(f"--threshold {text} is not a finite number")
    return Change(judgement, checked(judgement, value), "given by hand", reason.strip())


def _table(judgement: "Judgement") -> dict[str, Any]:
    from export.rethreshold import table_of

    return {"artifact": judgement.artifact, "old": judgement.old, "thresholds": table_of(judgement)}


def _write(bundle: "Bundle", change: "Change", out: Path, progress: Any) -> dict[str, Any]:
    from export.rethreshold import FIGURES, check_threshold, score_again, write_bundle

    check_threshold(bundle, change.judgement)
    scored = score_again(bundle, change.judgement, progress.begin)
    written = write_bundle(bundle, change, scored, out, progress.begin)
    figures: dict[str, Any] = json.loads((written.path / FIGURES).read_text(encoding="utf-8"))
    return {"path": str(out), "written": written.label} | figures


def _show(judgement: "Judgement", new: float | None) -> None:
    from rich.markup import escape
    from rich.table import Table

    from edge.terminal.console import Console
    from export.rethreshold_page import HEAD, cells, remarks, table_rows

    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(caption="each estimate with its 95 % interval; numbers are of the whole record")
    for name in HEAD:
        table.add_column(name, justify="right" if name else "left")
    for row in table_rows(judgement, new):
        table.add_row(
            *map(escape, cells(row, judgement, new)), style="bold" if row.threshold in (new, judgement.old) else ""
        )
    console.print(table)
    for text in remarks(judgement):
        console.print(escape(text), highlight=False, soft_wrap=True)
