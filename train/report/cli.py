"""`edge-report`: the report of a finished run, written again. Torch is imported only once there is one."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edge.cli import run_app
from edge.errors import DataError

app = typer.Typer(add_completion=False)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, as edge-train wrote it.")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write, instead of RUN/report.html.")] = None,
) -> None:
    """Write the report of RUN as one HTML file that needs nothing else, and print where it is."""
    if not (run / "run.json").is_file():
        raise DataError(f"{run} is not a run: it has no run.json")
    if out is not None and not out.parent.is_dir():
        raise DataError(f"no such folder: {out.parent}")

    from train.report.page import write_report

    print(write_report(run, out))


def main() -> NoReturn:
    """The entry point."""
    run_app(app)
