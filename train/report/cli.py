"""`edge-report`: writes the report of a finished run again. Torch is imported only if there is a run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edge.cli import new_app, run_app
from edge.errors import DataError

app = new_app()


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as edge-train wrote it.")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write.", show_default="RUN/report.html")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the photographs of RUN, if it moved. They must be the same ones.",
            show_default="where they were",
        ),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File of the network, if RUN was trained with one of your own. Its code runs."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Write the report of RUN as one HTML file that needs nothing else, and print where it is."""
    if not (run / "run.json").is_file():
        raise DataError(f"{run} is not a run: it has no run.json")
    if out is not None and not out.parent.is_dir():
        raise DataError(f"no such folder: {out.parent}")

    from edge.terminal.progress import Progress
    from train.imports import uncollected

    with Progress() as progress:
        progress.begin("loading PyTorch")
        with uncollected():
            from train.report.page import write_report

        written = write_report(run, out, data, progress.begin, network)
    if as_json:
        result = {"run": str(run), "report": str(written.file), "verdict": asdict(written.verdict)}
        print(json.dumps(result, ensure_ascii=False))
        return
    print(written.file)


def main() -> NoReturn:
    """The entry point."""
    run_app(app, extra="train")
