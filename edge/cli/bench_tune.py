"""edge-bench tune: find the best settings for a bundle on this machine, and keep them for edge-run."""

import time
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge.bench.tune import Tuning

REDRAWN_S = 1.0
"""Between two drawings of the bar while parts come."""


def tune(
    bundle: Annotated[Path, typer.Argument(help="Bundle, or the name of a shipped one.")],
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT.")] = "1280x720",
    rate: Annotated[str, typer.Option(help="The line's cadence, as 600/min or 10/s.")] = "600/min",
    deadline_ms: Annotated[
        float | None, typer.Option(help="Longest time a verdict may take; else the fastest is taken.", min=0.001)
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of the line for each setting that comes close.", min=1)] = 40,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and say it, write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write it although others kept this machine busy.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON on standard output.")] = False,
) -> None:
    """Measure artifacts, threads, spinning and keeping the model warm at the line's pace; keep the best for edge-run.

    The best has the lowest p99.9, or p99 where too few parts were shown to know it; of those that are as good, the
    lowest p50, then the least processor. edge-run uses it on this machine for this bundle, and says so.
    """
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    from edge.bench import tune as tuning
    from edge.bench.pace import parse_rate
    from edge.bench.result import Pace
    from edge.bundle import load_bundle
    from edge.bundle.shipped import found_bundle
    from edge.errors import EdgeError
    from edge.sources.size import parse_size
    from edge.station.config.tuned import command
    from edge.terminal.console import Console

    if isinf(seconds):
        raise EdgeError("seconds inf: say how long to measure each setting, as in 40")
    loaded, shape = load_bundle(found_bundle(bundle), holds=True), parse_size(size)
    pace = Pace(rate_per_min=parse_rate(rate))
    console = Console(stderr=True)
    # the bar is drawn between measurements and just after a verdict: a thread would draw while something is measured
    with Progress(
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
        expand=True,
        disable=not console.is_terminal,
    ) as progress:
        task, drawn_s = progress.add_task(""), 0.0

        def tell(what: str, done: int, total: int | None = None) -> None:
            nonlocal drawn_s
            if total is not None:
                progress.reset(task, total=total)
            is_due = bool(what) or time.monotonic() - drawn_s > REDRAWN_S
            progress.update(task, description=escape(what) or None, advance=done, refresh=is_due)
            drawn_s = time.monotonic() if is_due else drawn_s

        found = tuning.tune(loaded, shape, pace, deadline_ms, seconds, tell)
    kept = found.tuned(loaded, deadline_ms)
    if as_json:
        print(kept.model_dump_json())
    else:
        _show(found)
        print(f"best: edge-run --bundle {bundle} {command(kept.found)}")
    if dry_run:
        return
    if not force and any(one.disturbance is not None and one.disturbance.is_disturbed for one in found.paced):
        raise EdgeError("not written: others kept this machine busy; tune again when it is quiet, or give --force")
    try:
        file = kept.write()
    except OSError as error:
        raise EdgeError(
            f"{error.filename}: cannot be written ({error.strerror}); EDGE_STATE names another folder"
        ) from error
    if not as_json:
        print(f"written: {file}; edge-run uses it for {kept.bundle} on this machine, --no-tuned ignores it")


def _show(found: "Tuning") -> None:
    from rich.markup import escape
    from rich.table import Table

    from edge.bench.settings_grid import named
    from edge.bench.statistics import interval, percentile
    from edge.terminal.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=160)
    best, percent = found.choice.best, found.choice.percent
    rate = best.pace.rate_per_min
    table = Table(
        title=escape(f"{best.bundle}, whole way at {rate:g}/min"), caption="ms; in brackets the 95 % interval"
    )
    for name in ("setting", "kept warm", "p50", f"p{percent:g}", "CPU ms a part", ""):
        table.add_column(name, justify="left" if name in ("setting", "") else "right")
    for one in sorted(
        (one for one in found.paced if one.samples_ms), key=lambda one: percentile(one.samples_ms, percent)
    ):
        disturbed = " *" if one.disturbance is not None and one.disturbance.is_disturbed else ""
        cells = []
        for p in (50.0, percent):
            low, high = interval(one.samples_ms, p)
            ends = f"{low:.2f}, {'–' if isinf(high) else f'{high:.2f}'}"
            cells.append(f"{percentile(one.samples_ms, p):.2f} \\[{ends}]")
        cpu = "" if one.cpu_s_a_frame is None else f"{1000 * one.cpu_s_a_frame:.1f}"
        word = "best" if one is best else "as good" if one in found.choice.equals else ""
        table.add_row(escape(named(one.setting)) + disturbed, "yes" if one.pace.keeps_warm else "no", *cells, cpu, word)
    console.print(table)
    said = {one.disturbance.said for one in found.paced if one.disturbance and one.disturbance.is_disturbed}
    if said:
        print(f"DISTURBED (*): {max(said, key=len)}; tune again on a quiet machine")
