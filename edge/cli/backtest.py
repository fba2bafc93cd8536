"""edge-backtest: judges recorded frames again with one or several bundles."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app, run_app
from edge.errors import ConfigError, EdgeError
from edge.text import printable

if TYPE_CHECKING:
    from edge.backtest.plan import Judge
    from edge.backtest.result import Result

EXTRA = {"pyarrow": ("pyarrow", "parquet"), "scipy": ("scipy", "verify"), "jinja2": ("jinja2", "verify")}
"""Distributions and extras that are needed beyond the runtime, by module name."""

app = new_app()


@app.command()
def backtest(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE…", help="Bundles, or names of shipped ones.")],
    records: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="Folder of a station's records, or of labelled photographs. Repeatable."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the result; an interrupted backtest goes on in its own.")
    ],
    backend: Annotated[
        str | None, typer.Option(help="Artifact of every bundle.", show_default="the fastest of each on this machine")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of an inference.", min=1, max=256)] = 1,
    workers: Annotated[
        int | None, typer.Option(help="Processes at work.", min=1, max=256, show_default="cores / threads")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Judge on this Ray cluster instead; its nodes see the same paths."),
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Public key. Only bundles that one of these signed are run. Repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Judge every kept image again, and compare with the verdict then and with what people said of the part.

    Writes table.parquet with every score and report.html with the picture of each flip.
    """
    _require_extras()
    if ray is not None and workers is not None:
        raise ConfigError("--workers counts processes of this machine, --ray has a cluster judge: give one of them")
    from functools import partial

    from edge.backtest import judging, local, on_ray, table
    from edge.backtest.items import read_items
    from edge.backtest.page import write_page
    from edge.backtest.plan import begin, locked
    from edge.backtest.result import by_item, result_of
    from edge.machine import cores
    from edge.terminal.progress import Progress

    remarks: list[str] = []
    with Progress() as progress:
        progress.begin("loading the bundles")
        judges = [_judge(bundle, backend, threads, trust or []) for bundle in bundles]
        if len({judge.digest for judge in judges}) < len(judges):
            raise ConfigError("one bundle is given twice; give each once")
        for folder in records:
            if not folder.is_dir():
                raise ConfigError(f"--records {folder}: no such folder")
        with locked(out):
            progress.begin("reading the records")
            plan, items = begin(out, judges, records, threads, lambda: read_items(records, remarks.append))
            judging.check(plan)
            todo = table.missing(out, plan.chunks)
            advance = progress.begin("judging chunks", plan.chunks)
            advance(plan.chunks - len(todo))

            def store(number: int, content: bytes) -> None:
                table.store(out, number, content)
                advance()

            if ray is not None:
                on_ray.run(plan, items, todo, ray, store)
            else:
                local.run(plan, items, todo, workers or max(1, cores() // threads), store)
            progress.begin("joining the chunks")
            rows = table.read_rows(table.join(out, plan.chunks))
            judged = [*by_item(rows, len(plan.judges))]
            result = result_of(plan, judged)
            page = write_page(out, plan, judged, result, partial(progress.begin))
    for remark in remarks:
        print(printable(remark), file=sys.stderr)
    print(result.model_dump_json() if as_json else _told(result))
    print(f"page in {page}", file=sys.stderr)


def _judge(bundle: Path, backend: str | None, threads: int, trust: list[Path]) -> "Judge":
    """A bundle with the artifact that judges. Raises BundleError."""
    from edge.backends.auto import fastest_artifact
    from edge.backtest.plan import Judge
    from edge.bundle import load_bundle
    from edge.bundle.shipped import found_bundle
    from edge.bundle.signature import Trust

    opened = load_bundle(found_bundle(bundle), Trust.read(trust))
    name = backend or fastest_artifact(opened, threads, None)
    return Judge(
        label=opened.label,
        folder=str(opened.folder.absolute()),
        digest=opened.digest,
        backend=name,
        threshold=opened.artifact(name).threshold.value,
    )


def _told(result: "Result") -> str:
    lines = [f"{result.frames} frames, {result.compared} with a verdict of then, {result.known} with a known truth"]
    if result.then is not None:
        lines.append(f"then: recall {result.then.recall}, specificity {result.then.specificity}")
    for one in result.bundles:
        lines.append(f"{one.label}, {one.backend}: {one.good} good, {one.reject} reject, {one.unknown} unknown")
        lines.append(f"  flips: {one.to_good} rejects would pass, {one.to_reject} goods would be rejected")
        if one.truth is not None:
            lines.append(f"  recall {one.truth.recall}, specificity {one.truth.specificity}")
        if one.p50_ms is not None:
            lines.append(f"  inference p50 {one.p50_ms:.2f}, p99 {one.p99_ms:.2f} ms")
        lines += [f"  {count} unknown: {fault}" for fault, count in one.faults.items()]
    return "\n".join(lines)


def _require_extras() -> None:
    """Raise EdgeError, naming the extra, if one of its packages is not installed."""
    from importlib import import_module

    for module, (distribution, extra) in EXTRA.items():
        try:
            import_module(module)
        except ImportError as error:
            remedy = f"pip install 'edge-inspect[{extra}]'"
            raise EdgeError(f"edge-backtest needs {distribution}, which is not installed: {remedy}") from error


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
