"""edge-bench tune: finds the best settings for a bundle on this machine, and stores them for edge-run."""

from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge.bench.tune import Tuning


def tune(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle, or the name of a shipped one.")],
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the frames, pixels.")] = "1280x720",
    rate: Annotated[str, typer.Option(help="Rate of the line, as in 600/min or 10/s.")] = "600/min",
    budget_ms: Annotated[
        float | None,
        typer.Option(
            help="Longest time a verdict may take, milliseconds.", min=0.001, show_default="none, the fastest is taken"
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Seconds at the rate of the line for each setting that comes close.", min=1)
    ] = 40,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and print the result, but write nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write the result although other processes kept this machine busy.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Find the best settings for a bundle on this machine, and keep them for edge-run.

    Artifacts, threads, spinning and keeping the model warm are measured at the rate of the line. The best setting has
    the lowest p99.9, or p99 if too few parts were shown to know it. Of settings that are as good, the one with the
    lowest p50 is taken, then the one that needs the least processor time. edge-run uses it on this machine for this
    bundle, and says so.
    """
    from edge.bench import tune as tuning
    from edge.bench.benchmark_run import telling
    from edge.bench.pace import parse_rate
    from edge.bench.result import Pace
    from edge.bundle import load_bundle
    from edge.bundle.shipped import found_bundle
    from edge.errors import EdgeError
    from edge.sources.size import parse_size
    from edge.station.config.tuned import command
    from edge.terminal.progress import Progress

    if isinf(seconds):
        raise EdgeError("seconds inf: say how long to measure each setting, as in 40")
    loaded, shape = load_bundle(found_bundle(bundle), holds=True), parse_size(size)
    pace = Pace(rate_per_min=parse_rate(rate))
    with Progress() as progress:
        found = tuning.tune(loaded, shape, pace, budget_ms, seconds, telling(progress))
    kept = found.tuned(loaded, budget_ms)
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
