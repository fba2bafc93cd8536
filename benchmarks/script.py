"""What the benchmarks of docs/reports/performance.md have in common: their options, their progress, their result."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.bench import machine
from edge.bundle import Bundle, load_bundle
from edge.bundle.shipped import found_bundle

BundleOption = Annotated[Path, typer.Option("--bundle", help="Bundle to measure, or the name of a shipped one.")]
ThreadsOption = Annotated[int, typer.Option("--threads", help="Threads of every inference.", min=1, max=256)]
QuickOption = Annotated[bool, typer.Option("--quick", help="A few frames: to see that it works, not how fast.")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the result there, as JSON.")]

DEFAULT_BUNDLE = Path("demo")


def opened(bundle: Path) -> Bundle:
    """The bundle at a path, or the shipped bundle of that name. Raises BundleError."""
    return load_bundle(found_bundle(bundle))


def about(threads: int, quick: bool) -> dict[str, Any]:
    """The head of every result, made before the measurements."""
    return {"machine": _machine(), "threads": threads, "quick": quick}


def _machine() -> dict[str, Any]:
    found: Any = machine()
    words: dict[str, Any] = found if isinstance(found, dict) else found.model_dump(mode="json")
    return words


def finish(result: dict[str, Any], page: str, out: Path | None) -> None:
    """Print the page's section, and write the result as JSON to `out`."""
    print(page)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f"{out.name}.part")
        part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(out)


class Steps:
    """A progress bar; each call advances it and names the next measurement."""

    def __init__(self, progress: Any, task: Any) -> None:
        """Made by `steps`."""
        self._progress, self._task, self._begun = progress, task, False

    def __call__(self, what: str) -> None:
        """End the current step, if any, and begin the step `what`."""
        self._progress.update(self._task, advance=1 if self._begun else 0, description=what)
        self._begun = True


@contextmanager
def steps(total: int | None) -> Iterator[Steps]:
    """A bar of `total` steps on the standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from edge.terminal.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Steps(progress, progress.add_task("preparing", total=total))


def say(message: str) -> None:
    """Write a message to the standard error."""
    print(message, file=sys.stderr, flush=True)
