"""`python -m benchmarks.damage`: 10,000 damaged files in every format that a station reads, and the fate of each of
their frames. Writes docs/reports/damage.md. Exit code 1 if a frame was judged although a checksum proves its damage, or
if one was left out.
"""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.damage.cost import costs
from benchmarks.damage.formats import FORMATS, VIDEO_FRAMES
from benchmarks.damage.page import render
from benchmarks.damage.trial import KINDS, OUTCOMES, trials
from edge.bench import machine
from edge.cli import run_app
from edge.demo.line import DemoLine
from edge.frame import Frame

PARTS = 3
"""Damaged files per format, each of other parts."""

SIZE = (360, 640)

ROUNDS = 40
"""Number of times that each file is read to measure the cost."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def damage(
    files: Annotated[int, typer.Option(help="Damaged files in all.", min=len(FORMATS))] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the damage.")] = 1,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write damage.md there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Damage files of every format, and read them as a station does."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from edge.terminal.console import Console

    parts, result = rendered_parts(), {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress, _folder() as folder:
        task = progress.add_task("", total=files)
        for form in FORMATS:
            progress.update(task, description=form.name)
            found: Counter[str] = Counter()
            for one in trials(form, parts, files // len(FORMATS), Path(folder), seed):
                found += one
                progress.advance(task)
            result[form.name] = {"has_checksum": form.has_checksum, "counts": form.counts} | {
                kind: {outcome: found[f"{kind}: {outcome}"] for outcome in OUTCOMES} for kind in KINDS
            }
    cost = costs(ROUNDS)
    page = render(result, files, SIZE, cost, machine())
    if docs is not None:
        docs.mkdir(parents=True, exist_ok=True)
        (docs / "damage.md").write_text(page, encoding="utf-8")
    print(json.dumps({"formats": result, "cost": cost}) if as_json else page)
    if failed(result):
        sys.exit(1)


def rendered_parts(size: tuple[int, int] = SIZE) -> list[list[Frame]]:
    """Frames of parts of the demonstration line, enough for a video each."""
    line = DemoLine(size=size)
    return [[line.render(VIDEO_FRAMES * part + n).frame for n in range(VIDEO_FRAMES)] for part in range(PARTS)]


def failed(result: dict[str, Any]) -> list[str]:
    """Failures: frames that passed in spite of a checksum, and frames without any capture."""
    found = []
    for name, form in result.items():
        slipped, left_out = (sum(form[kind][outcome] for kind in KINDS) for outcome in ("slipped", "left out"))
        found += [f"{name}: {slipped} frames slipped through its checksum"] if form["has_checksum"] and slipped else []
        found += [f"{name}: {left_out} frames were left out"] if form["counts"] and left_out else []
    return found


def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="damage-")


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
