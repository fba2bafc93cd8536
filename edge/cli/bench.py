"""edge-bench: the number of parts per minute that this machine judges with a bundle, and its confidence interval.

`edge-bench compare` and `edge-bench tune` are separate commands: `edge/cli/bench_compare.py` and `bench_tune.py`.
"""

import contextlib
import os
import signal
import sys
from importlib import import_module
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer

from edge.cli import fail, new_app, run_app
from edge.errors import EdgeError
from edge.sources.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.bench.result import Pace, Result

Word = TypeVar("Word", bound=str)

SUBCOMMANDS = ("compare", "tune")

CADENCE = "600/min"
"""Default of --rate, the rate that is measured in addition to back to back."""

app = new_app()


@app.command(
    epilog="edge-bench compare BEFORE.json AFTER.json says what changed; edge-bench tune BUNDLE finds the best settings"
)
def bench(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE…", help="Bundles, or names of shipped ones.")],
    backend: Annotated[
        list[str] | None, typer.Option(help="Artifact to measure. Repeatable.", show_default="every one")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="Precision to measure: f32, bf16 or int8. Repeatable.", show_default="every one"),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(help="Number of threads. Repeatable.", min=1, max=256, show_default="one a core"),
    ] = None,
    streams: Annotated[
        list[int] | None,
        typer.Option(help="Number of inferences at the same time. Repeatable.", min=1, max=256, show_default="1"),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Graph to measure: static is compiled for one size of frame, dynamic for any. Repeatable.",
            show_default="static",
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help="Size of the frames, pixels. Repeatable.", show_default="1280x720"),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Rate of the line that is measured besides back to back, as in 600/min or 10/s.", show_default=CADENCE
        ),
    ] = None,
    jitter: Annotated[
        str, typer.Option(help="Share of the interval by which a part may be early or late, as in 20%.")
    ] = "0%",
    idle: Annotated[
        str | None,
        typer.Option(help="Pauses of the line: 5s/60s is 5 s after every 60 s of work.", show_default="no pauses"),
    ] = None,
    budget_ms: Annotated[
        float | None,
        typer.Option(
            help="Find the highest rate at which p99.9 stays within this budget, milliseconds. With --rate the exit "
            "code is 1 if that rate does not hold."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure less: under a minute, or two with --budget-ms.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Measure every setting, which takes a night.")] = False,
    frames: Annotated[int | None, typer.Option(help="Frames back to back.", min=10, show_default="1000")] = None,
    paced_s: Annotated[
        float | None,
        typer.Option(help="Seconds at the rate of the line. 0 leaves that out.", min=0, show_default="15"),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON file of all samples to write.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="HTML page to write, one file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Measure bundles on this machine: bare inference, and the whole way through a station.

    Both are measured back to back and at the rate of a line. The latency of a part is the time from the frame in memory
    to the verdict decoded in another process. --json and --out hold every sample, for edge-bench compare.
    """
    if quick and full:
        raise EdgeError("--quick and --full: give one of them")
    if budget_ms is not None and not budget_ms > 0:
        raise EdgeError(f"budget-ms {budget_ms:g}: say how many milliseconds a verdict may take, as in 50")
    if paced_s is not None and not 0 <= paced_s < inf:
        raise EdgeError(f"paced-s {paced_s:g}: say how many seconds to measure at the line's cadence, as in 15")
    for file in (one for one in (out, html) if one is not None):
        folder = file.absolute().parent
        if not folder.is_dir():
            raise EdgeError(f"no such folder: {folder}")
        if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
            raise EdgeError(f"{file}: cannot be written; name a file in a folder of yours")

    from edge.bench import budget, schedule
    from edge.bench.benchmark_run import find, telling
    from edge.bench.result import Precision
    from edge.bench.settings_grid import USUAL, Axes, everything, settings
    from edge.bundle import load_bundle
    from edge.bundle.shipped import found_bundle
    from edge.terminal.progress import Progress

    write_page = None if html is None else _page_writer()
    pace = _pace(rate or CADENCE, jitter, idle)
    asked = Axes(
        artifacts=tuple(backend or ()),
        precisions=_known("precision", precision, get_args(Precision)),
        threads=tuple(threads or ()),
        streams=tuple(streams or ()),
        sizes=tuple(map(parse_size, size or ())),
        static=tuple(one == "static" for one in _known("shape", shape, ("static", "dynamic"))),
    )
    effort = (schedule.QUICK if quick else schedule.FULL if full else schedule.USUAL).changed(frames, paced_s)
    with Progress() as progress:
        progress.begin("checking the files of the bundles")
        loaded = [load_bundle(found_bundle(path), holds=True) for path in bundles]
    items = [(one, setting) for one in loaded for setting in settings(one, asked, everything() if full else USUAL)]
    question = None
    if budget_ms is not None:
        question = budget.question(budget_ms, pace, is_asked=rate is not None, quick=quick)
    with Progress() as progress:
        result = find(items, pace, effort, question, bool(backend), telling(progress))
    if out is not None:
        out.write_text(result.model_dump_json(), encoding="utf-8")
    if html is not None and write_page is not None:
        html.write_text(write_page(result), encoding="utf-8")
    _show(result, as_json)
    sys.exit(1 if any(search.holds_asked is False for search in result.searches) else 0)


def _known(flag: str, given: list[str] | None, words: tuple[Word, ...]) -> tuple[Word, ...]:
    """The given words, in the order of `words`. Raises EdgeError, listing `words`, if one is not among them."""
    for word in given or ():
        if word not in words:
            raise EdgeError(f"{flag} {word!r}: give {', '.join(words[:-1])} or {words[-1]}")
    return tuple(word for word in words if word in (given or ()))


def _pace(rate: str, jitter: str, idle: str | None) -> "Pace":
    from edge.bench.pace import parse_idle, parse_rate, parse_share
    from edge.bench.result import Pace

    idle_s, every_s = (0.0, None) if idle is None else parse_idle(idle)
    rate_per_min = parse_rate(rate)
    return Pace(rate_per_min=rate_per_min, jitter=parse_share(jitter), idle_every_s=every_s, idle_s=idle_s)


def _page_writer() -> "Callable[[Result], str]":
    """The function that renders the page. Raises EdgeError if its packages are missing, before anything is measured."""
    try:
        from edge.bench.page import render
    except ImportError as error:
        raise EdgeError(
            f"--html needs {error.name}, which is not installed: pip install 'edge-inspect[verify]'"
        ) from error
    return render


def _show(result: "Result", as_json: bool) -> None:
    if as_json:
        print(result.model_dump_json())
        return
    from edge.bench.table import print_result
    from edge.terminal.console import Console

    console = Console()
    print_result(console if console.is_terminal else Console(width=180), result)


def main() -> None:
    """Entry point: runs the subcommand that the first argument names, else the benchmark."""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also ends a station that is being measured
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word not in SUBCOMMANDS:
        run_app(app, extra="verify")
    other = new_app()
    try:
        other.command()(getattr(import_module(f"edge.cli.bench_{word}"), word))
    except ModuleNotFoundError as error:
        fail(f"edge-bench {word} needs {error.name}, which is not installed")
    sys.argv[:2] = [f"{sys.argv[0]} {word}"]
    run_app(other)


if __name__ == "__main__":
    main()
