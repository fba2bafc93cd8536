"""`edge-report`: the report of a finished run, written again. Torch is imported only once there is one."""

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
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, as edge-train wrote it.")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write, instead of RUN/report.html.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the photographs of RUN are now, if they moved; they must be the same.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Write the report of RUN as one HTML file that needs nothing else, and print where it is."""
    if not (run / "run.json").is_file():
        raise DataError(f"{run} is not a run: it has no run.json")
    if out is not None and not out.parent.is_dir():
        raise DataError(f"no such folder: {out.parent}")

    from train.report.page import write_report

    written = write_report(run, out, data)
    if as_json:
        result = {"run": str(run), "report": str(written.file), "verdict": asdict(written.verdict)}
        print(json.dumps(result, ensure_ascii=False))
        return
    print(written.file)


def main() -> NoReturn:
    """The entry point."""
    run_app(app)
